"""Checks of a request that need no model: bounds, words, contradictions."""

from __future__ import annotations

import math
from typing import Any

from modules.contracts.control import check_units, unit_parameters, value_of
from modules.contracts.detailer import MOST_DETAILS, check_detail, detail_parameters
from modules.contracts.detailer import value_of as detail_value
from modules.contracts.enlarging import EnlargeParams, check_enlarging
from modules.contracts.errors import InvalidRequest
from modules.contracts.outpaint import check_outpaint
from modules.contracts.parameters import Declared
from modules.contracts.request import MAX_SEED, GenerationRequest, parameters
from modules.contracts.style import STATISTICS
from modules.contracts.tiles import check_sd_upscale, check_tiles
from modules.contracts.tone import check_tone

MAX_PROMPT_CHARACTERS = 100_000
MAX_PICTURES = 1024


def validate(request: GenerationRequest) -> None:
    """Raise `InvalidRequest` naming the first value that is out of bounds; return None when all are lawful."""
    for item in parameters():
        group = getattr(request, item.path[0])
        if group is not None:
            _check(item, getattr(group, item.path[1]))
    _check_whole(request)
    for number, unit in enumerate(request.control.units):
        for item in unit_parameters():
            _check(item, value_of(unit, item), f"ControlNet unit {number}: ")
    check_units(request.control, request.image is not None)
    _check_details(request)


def _check_details(request: GenerationRequest) -> None:
    if 1 + len(request.further) > MOST_DETAILS:
        raise InvalidRequest(f"{1 + len(request.further)} details were given; at most {MOST_DETAILS} are allowed.")
    if request.enlarge is not None and request.details:
        raise InvalidRequest("A job that makes pictures larger draws nothing; leave the detailer out.")
    for number, detail in enumerate(request.further, 2):
        for item in detail_parameters():
            _check(item, detail_value(detail, item), f"Detail {number}: ")
    for number, detail in enumerate(request.details, 1):
        check_detail(detail, f"Detail {number}: ")


def _check(item: Declared, value: Any, owner: str = "") -> None:
    label, rule = owner + item.param.label, item.param
    if value is None:
        return
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidRequest(f"{label} is {value}; a finite number is needed.")
    if isinstance(value, str) and len(value) > MAX_PROMPT_CHARACTERS:
        raise InvalidRequest(f"{label} has {len(value)} characters; at most {MAX_PROMPT_CHARACTERS} are allowed.")
    if isinstance(rule.choices, tuple) and value not in rule.choices:
        raise InvalidRequest(f"{label} is {value!r}; allowed are {', '.join(map(repr, rule.choices))}.")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    if rule.minimum is not None and value < rule.minimum:
        raise InvalidRequest(f"{label} is {value}; {_span(rule.minimum, rule.maximum)}.")
    if rule.maximum is not None and value > rule.maximum:
        raise InvalidRequest(f"{label} is {value}; {_span(rule.minimum, rule.maximum)}.")


def _span(minimum: float | None, maximum: float | None) -> str:
    if minimum is None:
        return f"at most {maximum:g} is allowed"
    if maximum is None:
        return f"at least {minimum:g} is needed"
    return f"allowed is {minimum:.15g} to {maximum:.15g}"


def _check_whole(request: GenerationRequest) -> None:
    if request.enlarge is not None:
        _check_enlarged(request, request.enlarge)
        return
    _check_inside(request)
    check_tone(request.tone)
    _check_style(request)
    check_tiles(request.tiles)
    check_sd_upscale(request.upscale, picture=request.image is not None, mask=request.inpaint is not None)
    check_outpaint(request.outpaint, picture=request.image is not None, enlarged=request.upscale.acts)
    pictures = request.canvas.batch_size * request.canvas.batch_count
    if pictures > MAX_PICTURES:
        raise InvalidRequest(f"Batch size times batch count is {pictures}; at most {MAX_PICTURES} are allowed.")
    _check_each(request, pictures)
    if request.first_pass and (request.image is not None or not request.hires.enabled):
        raise InvalidRequest("A picture in place of the first pass is for a hires pass; enable it, and give no other.")
    if request.inpaint is not None:
        if request.image is None:
            raise InvalidRequest("A mask was given without a picture; inpainting needs both.")
        if not request.inpaint.mask:
            raise InvalidRequest("Inpainting was asked for, but the mask is empty; send a picture as mask.")
    if request.image is not None:
        given = len(request.image.images)
        if given == 0:
            raise InvalidRequest("Image to image was asked for, but no picture was given; send at least one.")
        if given not in (1, request.canvas.batch_size):
            raise InvalidRequest(
                f"{given} pictures were given for a batch of {request.canvas.batch_size}; send one, or one per picture."
            )


def _check_each(request: GenerationRequest, pictures: int) -> None:
    """Raise `InvalidRequest` where single pictures are asked for that are not as many, or cannot be."""
    if request.each and len(request.each) != pictures:
        raise InvalidRequest(f"{len(request.each)} pictures have words of their own in a job of {pictures}.")
    for number, one in enumerate(request.each, 1):
        for label, text in (("Prompt", one.prompt), ("Negative prompt", one.negative)):
            if len(text) > MAX_PROMPT_CHARACTERS:
                raise InvalidRequest(
                    f"{label} of picture {number} has {len(text)} characters; "
                    f"at most {MAX_PROMPT_CHARACTERS} are allowed."
                )
        for label, seed in (("Seed", one.seed), ("Variation seed", one.subseed)):
            if not 0 <= seed <= MAX_SEED:
                raise InvalidRequest(f"{label} of picture {number} is {seed}; allowed is 0 to {MAX_SEED}.")


def _check_enlarged(request: GenerationRequest, wish: EnlargeParams) -> None:
    """Raise `InvalidRequest` for what does not go with making pictures larger, and for what cannot be made larger."""
    if any(unit.acts for unit in request.control.units):
        raise InvalidRequest("A job that makes pictures larger draws nothing that ControlNets could steer.")
    if request.image is not None or request.inpaint is not None or request.hires.enabled:
        raise InvalidRequest("A job makes pictures larger or draws some; leave image, inpaint and hires out.")
    if request.style.acts:
        raise InvalidRequest("A job that makes pictures larger gives them no style; leave the style picture out.")
    check_enlarging(wish)


def _check_style(request: GenerationRequest) -> None:
    if request.style.acts and request.style.method == STATISTICS and request.image is None:
        raise InvalidRequest("Style by statistics draws nothing, so it needs a picture to start from; give one.")
    if request.style.acts and request.style.method == STATISTICS and request.details:
        raise InvalidRequest("Style by statistics draws nothing; leave the detailer out, or ask for another method.")


def _check_inside(request: GenerationRequest) -> None:
    """Raise `InvalidRequest` where two wishes change the same attention."""
    features = request.features
    if features.token_merging > 0 and features.hypertile > 0:
        raise InvalidRequest("Token merging and HyperTile change the same attention; ask for one of them.")
    if features.thinned and request.attention.seg_scale > 0:
        raise InvalidRequest("SEG blurs whole pictures, which token merging and HyperTile take apart; leave one out.")
