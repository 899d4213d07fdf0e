"""What the fronts know of prompts: styles by name, and how many tokens a text has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from modules.contracts.errors import UnknownName, UnsupportedFeature


@dataclass(frozen=True, slots=True)
class Style:
    """Words that are put round a prompt: in place of `{prompt}` in them, or after it."""

    name: str
    prompt: str = ""
    negative: str = ""


@dataclass(frozen=True, slots=True)
class TokenCount:
    """What a prompt comes to for the text encoder that has the least room."""

    tokens: int
    limit: int
    """Room of the pieces that it takes."""
    pieces: int
    """How many sequences the encoder reads for it."""


class PromptShelf(Protocol):
    """Styles, wildcards and the token counter. Safe from any thread; may read files, so it blocks for a moment."""

    def styles(self) -> tuple[Style, ...]:
        """All styles, those of the first file first."""

    def keep_style(self, style: Style) -> None:
        """Write it down, in place of one of the same name. Raises `InvalidRequest` for a name or text that cannot be
        kept."""

    def drop_style(self, name: str) -> None:
        """Forget it. Raises `UnknownName` where there is none of that name that the studio keeps itself."""

    def wildcards(self) -> tuple[str, ...]:
        """Names that stand between double underscores, in order."""

    def count(self, text: str, model: str | None, steps: int) -> TokenCount:
        """Tokens of a prompt for a model, which need not be loaded; None is the default one.

        Where the prompt changes with the steps or joins several, the longest counts. Raises `StudioError`.
        """


class NoPrompts:
    """The shelf of a studio without one."""

    def styles(self) -> tuple[Style, ...]:
        """None."""
        return ()

    def keep_style(self, style: Style) -> None:
        """Raises `UnsupportedFeature`."""
        raise UnsupportedFeature("This studio keeps no styles.")

    def drop_style(self, name: str) -> None:
        """Raises `UnknownName`."""
        raise UnknownName(f"There is no style {name!r}.")

    def wildcards(self) -> tuple[str, ...]:
        """None."""
        return ()

    def count(self, text: str, model: str | None, steps: int) -> TokenCount:
        """Raises `UnsupportedFeature`."""
        raise UnsupportedFeature("This studio counts no tokens.")
