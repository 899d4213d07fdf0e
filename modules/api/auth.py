"""Who is calling, as one dependency of every API route: a name and password, a token, or a session of the page."""

from __future__ import annotations

import asyncio

from fastapi.openapi.models import HTTPBase
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from modules.contracts.accounts import Caller, Doorkeeper, Proof
from modules.contracts.errors import NotSignedIn


def proof_of(connection: HTTPConnection) -> Proof:
    """What a request or WebSocket brought to show who it is from."""
    return Proof.of(connection)


class SignedIn(SecurityBase):
    """Callable as a dependency: returns the caller and keeps them in `request.state`, or answers 401.

    While the studio is open everybody is `local` and whatever stands in the Authorization header, even nothing, is
    ignored.
    """

    def __init__(self, door: Doorkeeper) -> None:
        self.model = HTTPBase(scheme="basic")
        self.scheme_name = "basic"
        self._door = door

    async def __call__(self, request: HTTPConnection) -> Caller:
        """The caller. Raises `NotSignedIn` for a stranger, `OverLimit` for one who guesses.

        `NotReady` for a password while nobody can count the wrong ones.
        """
        proof = proof_of(request)
        # A password's check is slow on purpose, so it must not hold up the loop.
        caller = await asyncio.to_thread(self._door.identify, proof)
        if caller is None:
            raise NotSignedIn("A name and password, or a token, that the studio knows is needed.")
        request.state.caller = caller
        request.state.owner = caller.name
        return caller
