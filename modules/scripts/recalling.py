"""The way from infotext to a request, for scripts."""

from __future__ import annotations

from modules.contracts.errors import InvalidRequest
from modules.contracts.infotext import parse, to_request
from modules.contracts.request import GenerationRequest


def recall(infotext: str, base: GenerationRequest, changes: str = "") -> tuple[GenerationRequest, tuple[str, ...]]:
    """`base` with everything that an infotext says, and the names of fields that nothing was made of.

    Reads what this program, A1111, Forge and SD.Next write. `changes` are fields, `Steps: 30, CFG scale: 5`, that hold
    in place of those of the text. Pictures, mask, batch and output stay those of `base`. Raises `InvalidRequest` for
    changes that are no fields, or of a text that has none.
    """
    text, changes = infotext.strip(), changes.strip().strip(",").replace("\n", ", ")
    if changes:
        if ":" not in changes:
            raise InvalidRequest(f"'{changes:.60}' is no field of an infotext; they look like Steps: 30, CFG scale: 5.")
        if not parse(text, defaults=False).keys() - {"Prompt", "Negative prompt"}:
            raise InvalidRequest("The infotext has a prompt alone, and no fields that could be changed.")
        text = f"{text}, {changes}"
    return to_request(parse(text), base)
