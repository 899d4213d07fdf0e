"""Infotext in requests: parameters as text, taken apart for `png-info` and filled into bodies that leave fields out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modules.api.fields import fields_of
from modules.contracts.infotext import parse
from modules.contracts.infotext_recall import to_request
from modules.contracts.request import GenerationRequest, ImageParams, InpaintParams
from modules.contracts.scripts import Scripts

FULL = GenerationRequest(image=ImageParams(), inpaint=InpaintParams())


def parameters_of(text: str, scripts: Scripts) -> dict[str, str]:
    """The infotext by its labels, with what A1111's readers take for granted, as scripts want it to be read; empty
    when there is no text."""
    return scripts.recalled(text, parse(text)) if text.strip() else {}


def fill_from_infotext(values: Mapping[str, Any], given: set[str], mode: str, scripts: Scripts) -> dict[str, Any]:
    """The body with every field that the client left out, also of `override_settings`, taken from its `infotext`, if it
    sent one.

    The checkpoint of the text is left alone, as A1111 does: a picture from elsewhere must not switch models. VAE and
    text encoder are filled in like the rest; whether they are there is for whoever reads the body.
    """
    filled = dict(values)
    text = values.get("infotext")
    if not isinstance(text, str) or not text.strip():
        return filled
    said = scripts.recalled(text, parse(text, defaults=False))
    asked, _ = to_request(said, FULL)
    overrides = values.get("override_settings")
    changed = {key for key, one in overrides.items() if one is not None} if isinstance(overrides, Mapping) else set()
    for item in fields_of(mode):
        declared = item.declared
        name, value = declared.param.legacy, getattr(getattr(asked, declared.path[0]), declared.path[1])
        if name is None or name in given or declared.param.override in changed:
            continue
        if declared.path == ("model", "checkpoint"):
            continue
        if value != declared.default or declared.param.infotext in said:
            filled[name] = list(value) if isinstance(value, tuple) else value
    if "sampler_name" not in given and "sampler_index" in given:
        filled["sampler_name"] = values.get("sampler_name")
    return filled
