"""Styles, wildcards and the token counter as one service, over the files of an installation."""

from __future__ import annotations

from pathlib import Path

from modules.contracts.catalog import Catalog
from modules.contracts.errors import InvalidRequest
from modules.contracts.prompts import Style, TokenCount
from modules.contracts.validation import MAX_PROMPT_CHARACTERS
from modules.prompts.styles import Styles
from modules.prompts.tokens import Tokenizers
from modules.prompts.wildcards import Wildcards
from modules.prompts.words import Sources
from modules.support.paths import ROOT, Paths


class PromptBook:
    """Implements `modules.contracts.prompts.PromptShelf`. Safe from any thread.

    Of the data folder it reads `styles.csv`, which it also writes, the folder `styles` with more of them, and the
    folder `wildcards`.
    """

    def __init__(self, paths: Paths | None = None, catalog: Catalog | None = None) -> None:
        """Without `paths` there are no styles and no wildcards; without `catalog` tokens are CLIP's."""
        data: Path | None = None if paths is None else paths.data
        self._styles = Styles(data and data / "styles.csv", data and data / "styles")
        self._wildcards = Wildcards(data and data / "wildcards")
        configs = ROOT / "configs" if paths is None else paths.configs
        self._tokenizers = Tokenizers(configs / "model-configs")
        self._catalog = catalog

    def styles(self) -> tuple[Style, ...]:
        """All styles, those of the studio's own file first."""
        return self._styles.all()

    def keep_style(self, style: Style) -> None:
        """Write it down, in place of one of the same name. Raises `InvalidRequest`."""
        self._styles.keep(style)

    def drop_style(self, name: str) -> None:
        """Forget it. Raises `UnknownName`."""
        self._styles.drop(name)

    def wildcards(self) -> tuple[str, ...]:
        """Names of all wildcards."""
        return self._wildcards.names()

    def count(self, text: str, model: str | None, steps: int) -> TokenCount:
        """Tokens of a prompt for a model. Raises `StudioError` for an unknown model and a prompt that is too long."""
        if len(text) > MAX_PROMPT_CHARACTERS:
            raise InvalidRequest(f"The prompt has {len(text)} characters; at most {MAX_PROMPT_CHARACTERS} are allowed.")
        entry = None if self._catalog is None else self._catalog.find_model(model)
        return self._tokenizers.of(entry).count(text, steps, "Original", 20)

    def sources(self, *, comments: bool) -> Sources:
        """What prompts are resolved with; `comments` says whether `#` begins one."""
        return Sources(self._styles.find, self._wildcards.lines, comments)
