"""What infotext says of a plan: the ordered fields, made from the declarations of the request's parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from modules.contracts.cache import NO_CACHE
from modules.contracts.control import MOST_UNITS
from modules.contracts.infotext_control import key_of, write_unit
from modules.contracts.infotext_details import write_details
from modules.contracts.infotext_format import exact_prompts, write
from modules.contracts.parameters import Declared, declared
from modules.contracts.plan import GenerationPlan, PicturePlan
from modules.contracts.request import parameters
from modules.contracts.style import StyleParams

ORDER = (
    "Steps",
    "Sampler",
    "Schedule type",
    "CFG scale",
    "Seed",
    "Size",
    "Model hash",
    "Model",
    "VAE hash",
    "VAE",
    "Variation seed",
    "Variation seed strength",
    "Seed resize from",
    "Denoising strength",
    "Clip skip",
    "RNG",
    "Tiling",
    "CFG rescale",
    "Hires checkpoint",
    "Hires sampler",
    "Hires prompt",
    "Hires negative prompt",
    "Hires schedule type",
    "Hires upscale",
    "Hires resize",
    "Hires steps",
    "Hires upscaler",
    "Hires denoising strength",
    "Mask mode",
    "Mask blur",
    "Inpaint area",
    "Masked area padding",
    "Masked content",
    "Noise multiplier",
    "Refiner",
    "Refiner switch at",
    "Refiner switch by sampling steps",
    "Hires refiner",
    "Eta",
    "Sigma churn",
    "Sigma tmin",
    "Sigma tmax",
    "Sigma noise",
)
"""A1111's order. Anything else follows in the order it was given, and `Version` ends the line."""

ALWAYS = frozenset(
    {"Steps", "Sampler", "Schedule type", "CFG scale", "Seed", "Denoising strength", "Hires upscaler", "Mask blur"}
    | {"Masked content", "Masked area padding", "Refiner switch at", "Style strength", "Content strength"}
)
"""Labels that are written even when the value is the default, where their group takes part at all."""

TEMPLATE, NEGATIVE_TEMPLATE = "Template", "Negative Template"
"""What a prompt was drawn from; the prompt itself is what was drawn. The keys of the Dynamic Prompts extension."""
STYLE_FIELDS = frozenset(item.param.infotext for item in declared(StyleParams) if item.param.infotext)
"""Labels of what a request says of style."""
INPAINT_AREAS = ("Whole picture", "Only masked")
MASK_MODES = ("Inpaint masked", "Inpaint not masked")


def fields_of(plan: GenerationPlan, picture: PicturePlan) -> dict[str, object]:
    """Labels and values of everything that the plan says of one picture, in `ORDER`, without hashes and version."""
    resolved = _resolved(plan, picture)
    found: dict[str, object] = {}
    for item in parameters():
        label = item.param.infotext
        if label is not None and _takes_part(item, plan):
            value = resolved.get(item.name, _read(item, plan))
            if value is not None and (value != item.default or label in ALWAYS):
                found[label] = value
    found.update(_composites(plan))
    return {key: found[key] for key in [*ORDER, *found] if key in found}


def infotext_of(
    plan: GenerationPlan,
    picture: PicturePlan,
    *,
    model_hash: str | None,
    vae_name: str | None,
    vae_hash: str | None,
    version: str,
    extra: Mapping[str, str],
) -> str:
    """A1111 infotext of one picture of a plan.

    Hashes are written when known (a short one is A1111's habit). `extra` is added before `Version`; a key of it that
    has a fixed place takes the value there.
    """
    fields = {
        **fields_of(plan, picture),
        "Model": plan.model.name,
        "Model hash": model_hash,
        "VAE": vae_name,
        "VAE hash": vae_hash,
        **exact_prompts(picture.prompt, picture.negative),
        TEMPLATE: picture.words.template,
        NEGATIVE_TEMPLATE: picture.words.negative_template,
        **extra,
    }
    ordered = {key: fields[key] for key in [*ORDER, *fields] if key in fields}
    ordered.pop("Version", None)
    return write(picture.prompt, picture.negative, {**ordered, "Version": extra.get("Version", version)})


def _resolved(plan: GenerationPlan, picture: PicturePlan) -> dict[str, Any]:
    """Values that the plan knows better than the request, by declared name."""
    sampler = plan.first.sampler
    values: dict[str, Any] = {
        "seeds.seed": picture.seed,
        "seeds.subseed": picture.subseed,
        # What was asked for: a schedule of which only the end is run may have more.
        "sampling.steps": plan.request.sampling.steps,
        "sampling.sampler": sampler.sampler,
        "sampling.scheduler": sampler.scheduler,
        "sampling.cfg_scale": plan.first.cfg_scale,
        "hires.prompt": picture.words.hires_prompt,
        "hires.negative": picture.words.hires_negative,
    }
    if plan.first.changes:
        # The schedule's name only where it was asked for: without one the sampler brings its own.
        second = plan.first.legs[-1].sampler
        values["handover.sampler"] = second.sampler
        values["handover.scheduler"] = second.scheduler
    for name in ("second", "third", "negative_second", "negative_third"):
        values[f"prompt.{name}"] = getattr(picture.words, name)
    values["model.text_encoder"] = None if plan.text_encoder is None else plan.text_encoder.name
    values["cache.method"] = plan.request.cache.chosen(plan.family.capabilities)
    if plan.shrink is not None:
        shrink = plan.shrink
        values |= {"features.shrink": shrink.factor, "features.shrink_level": shrink.level}
        values["features.shrink_end"] = shrink.end
    if plan.style is not None:
        values["style.method"] = plan.style.method
        values["style.adapter"] = plan.style.entry.title if plan.style.entry else ""
    if plan.film is not None:
        values["film.frames"], values["film.fps"] = plan.film.frames, plan.film.fps
    if plan.faces is not None:
        values["faces.restorer"], values["faces.weight"] = plan.faces.restorer.name, plan.faces.weight
    if plan.refiner is not None:
        values["refiner.checkpoint"] = plan.refiner.model.title
    if plan.hires is not None:
        wanted = plan.request.hires
        values["hires.sampler"] = plan.hires.sampler.sampler if wanted.sampler else None
        values["hires.scheduler"] = plan.hires.sampler.scheduler if wanted.scheduler else None
    return values


_GROUPS: Mapping[str, Callable[[GenerationPlan], bool]] = MappingProxyType(
    {
        "hires": lambda plan: plan.hires is not None,
        "image": lambda plan: plan.mode != "txt2img",
        "inpaint": lambda plan: plan.mode == "inpaint",
        "style": lambda plan: plan.style is not None,
        "cache": lambda plan: plan.request.cache.chosen(plan.family.capabilities) != NO_CACHE,
        "regions": lambda plan: plan.request.regions.acts,
        "detailer": lambda plan: plan.request.regions.acts,
        "film": lambda plan: plan.film is not None,
        "faces": lambda plan: plan.faces is not None,
        "upscale": lambda plan: plan.request.upscale.acts,
        "outpaint": lambda plan: plan.request.outpaint.acts,
        "refiner": lambda plan: plan.refiner is not None,
    }
)
"""When a group has an effect at all; the others always do."""
_FIELDS: Mapping[str, Callable[[GenerationPlan], bool]] = MappingProxyType(
    {
        "model.vae": lambda plan: False,  # written with its hash
        "inpaint.padding": lambda plan: _only_masked(plan),
        "features.shrink": lambda plan: plan.shrink is not None or plan.request.features.shrink == 1,
        "features.shrink_level": lambda plan: plan.shrink is not None,
        "features.shrink_end": lambda plan: plan.shrink is not None,
        "image.denoising_strength": lambda plan: not plan.family.first_frame,
        "tiles.passes": lambda plan: plan.hires is not None,
        "refiner.passes": lambda plan: plan.hires is not None,
        "seeds.subseed": lambda plan: plan.request.seeds.subseed_strength > 0,
        "seeds.subseed_strength": lambda plan: plan.request.seeds.subseed_strength > 0,
    }
)
"""When a field has one, where that is not always when its group has."""


def _takes_part(item: Declared, plan: GenerationPlan) -> bool:
    """Whether the parameter has an effect in this plan."""
    if item.name == "refiner.decoder_steps":
        return bool(plan.family.decoder)
    tests = (_GROUPS.get(item.path[0]), _FIELDS.get(item.name))
    return all(test is None or test(plan) for test in tests)


def _read(item: Declared, plan: GenerationPlan) -> Any:
    group = getattr(plan.request, item.path[0])
    return None if group is None else getattr(group, item.path[-1])


def _only_masked(plan: GenerationPlan) -> bool:
    return plan.request.inpaint is not None and plan.request.inpaint.only_masked


def _composites(plan: GenerationPlan) -> dict[str, object]:
    """Fields that stand for more than one parameter, or for none."""
    request = plan.request
    found: dict[str, object] = {"Size": f"{plan.first.width}x{plan.first.height}", "RNG": "CPU"}
    seeds = request.seeds
    if seeds.resize_from_width > 0 and seeds.resize_from_height > 0:
        found["Seed resize from"] = f"{seeds.resize_from_width}x{seeds.resize_from_height}"
    if plan.hires is not None:
        hires = request.hires
        if hires.resize_width or hires.resize_height:
            found["Hires resize"] = f"{hires.resize_width}x{hires.resize_height}"
        else:
            found["Hires upscale"] = hires.scale
        label = "Denoising strength" if plan.mode == "txt2img" else "Hires denoising strength"
        found[label] = hires.denoising_strength
    if plan.mode == "inpaint" and request.inpaint is not None:
        found["Mask mode"] = MASK_MODES[request.inpaint.invert]
        found["Inpaint area"] = INPAINT_AREAS[request.inpaint.only_masked]
    for use in plan.controls:
        if use.number >= MOST_UNITS:
            continue  # the style's own, which its fields tell of
        found[key_of(use.number)] = write_unit(use.named)
    found |= write_details(request.further)
    return found
