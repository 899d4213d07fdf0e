"""Between a request and the fields of A1111's `p`: names come from the declarations' legacy names.

Only fields that a script changed reach the request, so what it never knew of stays as it was asked for.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from PIL import Image

from modules.a1111.house import HOUSE
from modules.contracts.errors import InvalidRequest, UnsupportedFeature
from modules.contracts.parameters import Declared
from modules.contracts.request import GROUPS, GenerationRequest, ImageParams, InpaintParams, parameters

TOLD = ("prompt", "canvas", "seeds", "sampling", "hires", "image", "inpaint")
"""Groups whose parameters are fields of `p`."""
ALSO = {"mask_blur": ("mask_blur_x",)}
USUAL: Mapping[str, Any] = {"sampler_name": "Euler", "scheduler": "Automatic", "cfg_scale": 7.0}
"""What a script reads where the request leaves a choice to the model."""


@cache
def fields_for(has_image: bool) -> Mapping[str, Declared]:
    """Fields of `p` by name. `denoising_strength` is the second pass's where there is no picture to start from."""
    return {
        item.param.legacy: item
        for item in parameters()
        if item.param.legacy
        and item.path[0] in TOLD
        and not (item.name == "hires.denoising_strength" and has_image)
        and not (item.path[0] in ("image", "inpaint") and not has_image)
    }


def told(request: GenerationRequest) -> dict[str, Any]:
    """The fields of `p` for a request."""
    found: dict[str, Any] = {}
    for name, item in fields_for(request.image is not None).items():
        group = getattr(request, item.path[0])
        value = item.default if group is None else getattr(group, item.path[1])
        found[name] = _outward(item, name, value, request)
    return found


def _outward(item: Declared, name: str, value: Any, request: GenerationRequest) -> Any:
    if value is None and name in ("width", "height"):
        return HOUSE.services.catalog.find_model(request.model.checkpoint).native_size
    if isinstance(item.param.choices, tuple) and item.path[0] in ("image", "inpaint"):
        return item.param.choices.index(value)
    if isinstance(value, tuple):
        return list(value)
    return USUAL.get(name) if value is None else value


def changed(base: GenerationRequest, given: Mapping[str, Any]) -> GenerationRequest:
    """The request with those fields of `p`. Raises `InvalidRequest` for what is of no lawful kind."""
    changes: dict[str, dict[str, Any]] = {}
    known = fields_for(base.image is not None)
    for name, value in given.items():
        item = known.get(name)
        if item is not None:
            changes.setdefault(item.path[0], {})[item.path[1]] = _inward(item, name, value)
    groups = {name: replace(getattr(base, name) or GROUPS[name](), **each) for name, each in changes.items()}
    if "inpaint" in groups and base.inpaint is None:
        del groups["inpaint"]
    return replace(base, **groups)


def overridden(base: GenerationRequest, settings: Mapping[str, Any]) -> GenerationRequest:
    """The request with A1111's `override_settings`. Raises `UnsupportedFeature` for one that jobs do not carry."""
    known = {item.param.override: item for item in parameters() if item.param.override}
    for key, value in settings.items():
        item = known.get(key)
        if item is None:
            raise UnsupportedFeature(f"override_settings: {key!r:.60} cannot be set for one job.")
        group = getattr(base, item.path[0]) or GROUPS[item.path[0]]()
        base = replace(base, **{item.path[0]: replace(group, **{item.path[1]: _inward(item, key, value)})})
    return base


def _inward(item: Declared, name: str, value: Any) -> Any:
    choices, usual = item.param.choices, item.default
    try:
        if isinstance(choices, tuple) and isinstance(value, int) and not isinstance(value, bool):
            return choices[value]
        if value is None:
            return usual
        if isinstance(usual, tuple):
            return tuple(value)
        if isinstance(usual, bool):
            return bool(value)
        if isinstance(usual, int) or item.annotation.startswith("int"):
            return int(value)
        return float(value) if isinstance(usual, float) or item.annotation.startswith("float") else str(value)
    except (TypeError, ValueError, IndexError) as error:
        raise InvalidRequest(f"p.{name} is {value!r:.60}; {item.param.label} cannot be that.") from error


def with_pictures(base: GenerationRequest, images: list[Any] | None, mask: Any) -> GenerationRequest:
    """The request with pictures to start from and a mask (PIL); None leaves what it has."""
    if images is not None:
        data = tuple(map(encoded, images))
        base = replace(base, image=replace(base.image or ImageParams(), images=data))
    if mask is not None:
        base = replace(base, inpaint=replace(base.inpaint or InpaintParams(), mask=encoded(mask)))
    return base


def encoded(image: Any) -> bytes:
    """A picture as PNG. Raises `InvalidRequest` for what is none."""
    if not isinstance(image, Image.Image):
        raise InvalidRequest(f"init_images and masks have to be PIL images, not {type(image).__name__}.")
    target = io.BytesIO()
    image.save(target, "PNG", compress_level=1)
    return target.getvalue()


def decoded(data: bytes) -> Any:
    """The picture in encoded bytes."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image
