"""From a tag of a prompt to how a network is used: weights, their course over the steps, blocks, rank.

`<lora:NAME:TE:UNET:DYN>` and the names `te`, `unet`, `dyn` are A1111's; `lbw`, `start`, `stop` and `step` those of the
extension LoRA Block Weight; `in`, `mid`, `out` and weights as `w@place,w@place` those of SD.Next.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from modules.contracts.errors import InvalidRequest, UnknownModel, UnsupportedFeature
from modules.contracts.networks import Curve, Networks, NetworkTag, NetworkUse
from modules.networks.blocks import parse_blocks

KINDS = ("lora", "lyco")
"""Words before the first colon that mean a network of this room; `lyco` is what LyCORIS had of its own once."""
KNOWN = frozenset({"te", "unet", "dyn", "lbw", "start", "stop", "step", "in", "mid", "out"})
PARTS = ("in", "mid", "out")
WARN = "warn"


def uses_of(
    tags: Iterable[NetworkTag], networks: Networks, unknown: str, notes: list[str]
) -> dict[NetworkTag, NetworkUse]:
    """How each tag's network is used, by tag.

    Raises `InvalidRequest` for arguments that mean nothing, `UnknownModel` for a name that is not there, `BrokenModel`
    for a file that cannot be used. With `unknown` = `warn` a missing network is noted and left out.
    """
    found: dict[NetworkTag, NetworkUse] = {}
    for tag in dict.fromkeys(tags):
        if tag.kind == "hypernet":
            raise UnsupportedFeature(f"Hypernetworks such as {tag.name!r} cannot be used; LoRA and its kin can.")
        if tag.kind not in KINDS:
            notes.append(f"<{tag.kind}:{tag.name}> means nothing here and was left out; {', '.join(KINDS)} do.")
            continue
        try:
            found[tag] = use_of(tag, networks)
        except UnknownModel as error:
            if unknown != WARN:
                raise
            notes.append(f"{error.message.rstrip('.')}; it was left out.")
    return found


def use_of(tag: NetworkTag, networks: Networks) -> NetworkUse:
    """How one tag's network is used. Raises as `uses_of` does."""
    strange = [key for key, _ in tag.named if key not in KNOWN]
    if strange:
        allowed = ", ".join(sorted(KNOWN))
        raise InvalidRequest(f"<{tag.kind}:{tag.name}> has the argument {strange[0]!r}; allowed are {allowed}.")
    weight = tag.argument("te", 0) or "1"
    text = _points(tag, "te", weight)
    denoiser = _points(tag, "unet", tag.argument("unet", 1) or weight)
    start, stop = _span(tag)
    blocks = tag.argument("lbw")
    parts = tuple((key, _number(tag, key, value)) for key in PARTS if (value := tag.argument(key)) is not None)
    return NetworkUse(
        entry=networks.find("lora", tag.name),
        text=text[0][1],
        denoiser=Curve(denoiser, start, stop),
        rank=_rank(tag),
        blocks=parse_blocks(blocks) if blocks else (),
        parts=parts,
    )


def _points(tag: NetworkTag, key: str, text: str) -> tuple[tuple[float, float], ...]:
    """One weight, or weights with their places: `1@0,0.5@0.4`."""
    if "@" not in text and "~" not in text:
        return ((0.0, _number(tag, key, text)),)
    points = []
    for piece in re.split(r"[,;]", text):
        weight, _, place = piece.replace("~", "@").partition("@")
        points.append((_number(tag, key, place), _number(tag, key, weight)))
    if any(place < 0 for place, _ in points):
        raise InvalidRequest(f"<{tag.kind}:{tag.name}> has {key} {text!r}; places are 0 or more.")
    return tuple(sorted(points))


def _span(tag: NetworkTag) -> tuple[float, float | None]:
    """From where to where it has an effect: `start=`, `stop=`, or both as `step=5-10`."""
    start, stop = tag.argument("start"), tag.argument("stop")
    both = tag.argument("step")
    if both is not None:
        start, _, stop = both.partition("-")
    begin = _number(tag, "start", start) if start else 0.0
    end = _number(tag, "stop", stop) if stop else None
    if begin < 0 or (end is not None and end < 0):
        raise InvalidRequest(f"<{tag.kind}:{tag.name}> starts or stops before the first step.")
    return begin, end


def _rank(tag: NetworkTag) -> int | None:
    text = tag.argument("dyn", 2)
    if text is None or text.lower() == "none":
        return None
    if not text.strip().isdecimal() or not 0 < int(text) <= 65536:
        raise InvalidRequest(f"<{tag.kind}:{tag.name}> has dyn {text!r}; a rank of 1 or more is needed.")
    return int(text)


def _number(tag: NetworkTag, key: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) < 1e6:
        raise InvalidRequest(f"<{tag.kind}:{tag.name}> has {key} {text!r}; a number is needed.")
    return value
