"""The whole recipe of a picture as plain JSON values: enough to draw it again, here or elsewhere."""

from __future__ import annotations

import importlib.metadata
import math
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cache
from types import MappingProxyType
from typing import Any

from modules.contracts.parameters import declared
from modules.contracts.plan import GenerationPlan, PassPlan, PicturePlan, Recipe, SamplerPlan
from modules.contracts.request import GROUPS

FORMAT = 1
"""Counts up when a reader of recipes has to know."""
LIBRARIES = ("torch", "diffusers", "transformers")


@cache
def find_versions() -> Mapping[str, str]:
    """Versions of everything that takes part in the arithmetic."""
    found = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return MappingProxyType({"python": platform.python_version(), **found})


def write_recipe(
    plan: GenerationPlan,
    picture: PicturePlan,
    *,
    version: str,
    hashes: Mapping[str, str | None],
    device: str,
    settings: Mapping[str, Any],
    notes: tuple[str, ...],
) -> Recipe:
    """The recipe of one picture. Given pictures and masks are described by size only; their bytes stay out."""
    film = {} if plan.film is None else {"film": {"frames": plan.film.frames, "fps": plan.film.fps}}
    return {
        **film,
        "format": FORMAT,
        "versions": {"atelier": version, **find_versions()},
        "model": {
            "name": plan.model.name,
            "family": plan.family.id,
            "sha256": hashes.get("model"),
        },
        "vae": None if plan.vae is None else {"name": plan.vae.name, "sha256": hashes.get("vae")},
        **_describe_reader(plan, hashes),
        "mode": plan.mode,
        "prompt": picture.prompt,
        "negative_prompt": picture.negative,
        "words": {name: text for name, text in asdict(picture.words).items() if text},
        "seed": picture.seed,
        "subseed": picture.subseed,
        "index": picture.index,
        "first": _describe_pass(plan.first) | ({} if plan.shrink is None else {"shrink": asdict(plan.shrink)}),
        "hires": None if plan.hires is None else _describe_pass(plan.hires),
        "device": device,
        "placement": {group: asdict(placement) for group, placement in plan.placement.items()},
        "attention": plan.memory.attention,
        "compiled": plan.memory.compiled,
        "memory": {"measures": list(plan.memory.measures), "max_batch": plan.memory.max_batch},
        "settings": {name: settings[name] for name in _settings_of(plan)},
        "parameters": write_parameters(plan),
        "notes": list(notes),
    }


def _describe_reader(plan: GenerationPlan, hashes: Mapping[str, str | None]) -> dict[str, Any]:
    if plan.text_encoder is None:
        return {}
    return {"text_encoder": {"name": plan.text_encoder.name, "sha256": hashes.get("text_encoder")}}


def _settings_of(plan: GenerationPlan) -> Iterator[str]:
    """Settings that this picture's pixels depend on and that nothing else in the recipe tells."""
    yield from ("upcast_vae_on_nan", "enable_prompt_comments")
    if plan.request.image is not None:
        yield "img2img_fix_steps"
    upscalers = (one.upscaler for one in (plan.first, plan.hires) if one is not None)
    if any(upscaler is not None and upscaler.path is not None for upscaler in upscalers):
        yield from ("ESRGAN_tile", "ESRGAN_tile_overlap")


def _describe_pass(plan: PassPlan) -> dict[str, Any]:
    described = {
        "width": plan.width,
        "height": plan.height,
        "cfg_scale": plan.cfg_scale,
        "strength": plan.strength,
        "steps": plan.steps,
        "sampler": _describe_sampler(plan.sampler),
    }
    if plan.refiner is not None:
        described["refiner"] = plan.refiner.model.name
    if plan.tiles is not None:
        described["tiles"] = asdict(plan.tiles)
    if plan.changes:
        legs = [{"sampler": _describe_sampler(leg.sampler), "begin": leg.begin, "end": leg.end} for leg in plan.legs]
        described["legs"] = legs
    return described


def _describe_sampler(plan: SamplerPlan) -> dict[str, Any]:
    return {key: _plain(value) for key, value in asdict(plan).items()}


def write_parameters(plan: GenerationPlan) -> dict[str, Any]:
    """Every declared parameter of the request as it was given, by its dotted name."""
    values: dict[str, Any] = {}
    for name, group in GROUPS.items():
        held = getattr(plan.request, name)
        if held is None:
            continue
        for item in declared(group, (name,)):
            values[item.name] = _plain(getattr(held, item.path[1]))
    if plan.request.image is not None:
        values["image.count"] = len(plan.request.image.images)
    if plan.request.style.image:
        values["style.image"] = "given"
    if plan.request.first_pass:
        values["hires.first_pass"] = "given"
    if plan.request.inpaint is not None and plan.request.inpaint.latent_mask:
        values["inpaint.latent_mask"] = "given"
    return values


def _plain(value: Any) -> Any:
    """JSON has no infinity, and no tuples."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return list(value) if isinstance(value, tuple) else value
