"""How a front asks for the end of the server: whoever runs it says how that is done, and whether it comes back."""

from __future__ import annotations

from collections.abc import Callable

from modules.bootstrap.supervision import RESTART
from modules.contracts.errors import NotReady


class Leaving:
    """Nobody can end a server that nobody has offered to end, as in a command of the terminal."""

    def __init__(self) -> None:
        self._end: Callable[[int], None] | None = None
        self.restarts = False
        """A supervisor starts the server again when it is asked to."""

    def offer(self, end: Callable[[int], None], *, restarts: bool) -> None:
        """`end` takes the exit code and returns at once; running jobs go back into the queue before the end."""
        self._end, self.restarts = end, restarts

    def leave(self, *, again: bool = False) -> None:
        """End the server, `again` to have it started anew. Raises `NotReady` when nobody runs one that could end."""
        if self._end is None or (again and not self.restarts):
            raise NotReady("Nobody is here who could end the server, or start it again.")
        self._end(RESTART if again else 0)
