"""What stands beside the rows of a picture in a denoiser's calls: references, ControlNets, image prompts, networks.

All of it is counted in rows, so that it may be added to those of the picture. A request names networks and does not say
what they are, so what its words tell has to do. Seconds are learnt from measured jobs all the same; this is what tells
one job from another.
"""

from __future__ import annotations

import re

from modules.contracts.control import CONTROL, ControlUnit
from modules.contracts.detailer import MASK, MERGES, PART, SKIP, Detail
from modules.contracts.request import GenerationRequest
from modules.contracts.style import AUTOMATIC, PROMPTED, STATISTICS

CONTROL_SHARE = 0.45
"""Arithmetic of a ControlNet as a share of its denoiser's: counted on the architectures, 0.35 for SD 1.5 at 512 by 512
pixels, 0.45 for SDXL at 1024 by 1024, 0.61 for pocket, where looking at the hint weighs more."""
PROMPTER_SHARE = 0.05
"""A further cross-attention to a few tokens in each layer that has one."""
REDUX_SHARE = 0.2
"""729 tokens beside the 512 of the text and the 4096 of a picture of 1024 by 1024 pixels: all of Flux.1's layers see
them. Beside smaller pictures they are more."""
NETWORK_SHARE = 0.1
"""A LoRA of rank 16 beside all attentions: its arithmetic is 0.02 beside 1280 channels, and 0.22 was measured beside 64
to 256 channels."""
_NETWORK = re.compile(r"<\s*(?:lora|lyco)\s*:", re.IGNORECASE)
_PROMPTERS = ("ip-adapter", "ip_adapter")


def rows_beside(request: GenerationRequest, bound: float, free: float, *, hires: bool) -> float:
    """Rows of work that come to the `bound` rows of a picture's prompts and the `free` ones of its negative prompt, on
    average over the steps of the first pass, or of the one of `hires`.

    A reference has a row beside each row that looks at it, as have a style by shared attention and a content. A unit
    counts for its span of the steps, and on the rows of the prompt alone where its control mode says so. Whether a unit
    has a ControlNet, or a T2I-Adapter, which costs next to nothing, its name does not tell for sure: it counts as a
    ControlNet unless preprocessor or name say that it is an IP-Adapter or a Redux. A style whose method is left open
    counts as shared attention, the dearest one, where no IP-Adapter is named. Networks are those of the text as it was
    sent; what styles and wildcards bring is not known yet.
    """
    shown, steered = 0.0, 0.0
    for unit in request.control.units:
        if not unit.acts or (request.hires.enabled and not unit.passes(hires=hires)):
            continue
        seen = (bound if unit.control_mode == CONTROL else bound + free) * max(
            unit.guidance_end - unit.guidance_start, 0
        )
        if unit.refers:
            shown += seen
        else:
            steered += seen * _share(unit)
    style = request.style
    if style.acts and style.method != STATISTICS:
        prompted = style.method == PROMPTED or (style.method == AUTOMATIC and style.adapter != "")
        steered += (bound + free) * PROMPTER_SHARE * prompted
        held = request.image is not None and style.content > 0
        shown += (bound + free) * (int(not prompted) + int(held))
    text = (request.hires.prompt if hires else "") or request.prompt.text
    return shown + steered + (bound + free + shown) * networks_share(text)


def networks_share(text: str) -> float:
    """What the networks that a prompt calls by tags add to a row."""
    return NETWORK_SHARE * len(_NETWORK.findall(text))


def _share(unit: ControlUnit) -> float:
    """What a unit's network adds to a row, as far as the unit's words tell."""
    model = unit.model.casefold()
    if "redux" in model:
        return REDUX_SHARE
    prompting = any(name in word for name in _PROMPTERS for word in (unit.module.strip().casefold(), model))
    return PROMPTER_SHARE if prompting else CONTROL_SHARE


def regions_of(detail: Detail) -> int:
    """How many regions a picture is expected to have for a detail; the truth is known once the picture is there.

    One, where nothing says more, as most pictures of people have one face. Whoever writes prompts for regions apart
    expects as many as there are, those that are to be left alone not counted. A mask of one's own and regions that are
    merged are one. `most` is never exceeded. A picture without any region costs less than was foretold, a crowd more.
    """
    regions, wanted = detail.regions, detail.detailer
    if wanted.strength <= 0:
        return 0
    texts, against = wanted.prompt.split(PART), wanted.negative.split(PART)
    parts = [*texts, *texts[-1:] * (len(against) - len(texts))]
    expected = sum(part.strip() != SKIP for part in parts)
    if regions.merge != MERGES[0] or str(regions.detector).strip().casefold() == MASK.casefold():
        expected = min(expected, 1)
    return min(expected, regions.most) if regions.most > 0 else expected
