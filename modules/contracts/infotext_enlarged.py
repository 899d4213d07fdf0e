"""What infotext says of a picture that was made larger, under the keys of A1111's extras tab."""

from __future__ import annotations

from collections.abc import Mapping

from modules.contracts.enlarging import EnlargeParams
from modules.contracts.infotext_format import parse, quote

BY, TO, CROP = "Postprocess upscale by", "Postprocess upscale to", "Postprocess crop to"
UPSCALER, SECOND = "Postprocess upscaler", "Postprocess upscaler 2"
SHARE, HASH = "Postprocess upscaler 2 visibility", "Postprocess upscaler hash"
FACES, FACES_SHARE = "Postprocess face restorer", "Postprocess face restorer visibility"
FACES_WEIGHT, FACES_FIRST = "Postprocess face restorer weight", "Postprocess upscale first"
FACES_HASH = "Postprocess face restorer hash"
OTHERS = frozenset({"GFPGAN visibility", "CodeFormer visibility", "CodeFormer weight"})
"""What A1111 writes of restored faces."""
KEYS = frozenset(
    {BY, TO, CROP, UPSCALER, SECOND, SHARE, HASH, FACES, FACES_SHARE, FACES_WEIGHT, FACES_FIRST, FACES_HASH, *OTHERS}
)


def enlarged_fields(wish: EnlargeParams) -> dict[str, object]:
    """Keys and values in A1111's order. The visibility and the hash are not A1111's, which keeps them to itself."""
    fields: dict[str, object] = {}
    if wish.width or wish.height:
        fields[TO] = f"{wish.width}x{wish.height}"
        if wish.crop and wish.width and wish.height:
            fields[CROP] = f"{wish.width}x{wish.height}"
    else:
        fields[BY] = wish.scale
    shares = wish.shares
    fields[UPSCALER] = shares[0][0]
    if len(shares) > 1:
        fields |= {SECOND: shares[1][0], SHARE: wish.second_share}
    if wish.restores:
        fields |= {FACES: wish.restorer, FACES_SHARE: wish.restorer_share, FACES_WEIGHT: wish.restorer_weight}
        fields |= {FACES_FIRST: True} if wish.upscale_first else {}
    return fields


def write_pairs(fields: Mapping[str, object]) -> str:
    """One line of pairs, without those that say nothing."""
    return ", ".join(f"{key}: {quote(value)}" for key, value in fields.items() if value not in (None, ""))


def add_to_infotext(source: str, fields: Mapping[str, object]) -> str:
    """`source`, the text of the picture as it was, with the pairs at its end."""
    text, pairs = source.strip(), write_pairs(fields)
    if not text:
        return pairs
    drawn = len(parse(text, defaults=False)) > 2  # more than the two prompts: its last line holds pairs
    return f"{text}{', ' if drawn else chr(10)}{pairs}"
