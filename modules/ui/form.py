"""Between the values of the form and the frozen request: which parameters the page offers, and how they are carried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from modules.contracts.errors import InvalidRequest
from modules.contracts.parameters import Declared
from modules.contracts.request import GenerationRequest, parameters
from modules.ui.facts import ModelFacts

ELEM_IDS: dict[str, str] = {
    "model.checkpoint": "setting_sd_model_checkpoint",
    "prompt.text": "txt2img_prompt",
    "prompt.negative": "txt2img_neg_prompt",
    "canvas.width": "txt2img_width",
    "canvas.height": "txt2img_height",
    "sampling.steps": "txt2img_steps",
    "sampling.cfg_scale": "txt2img_cfg_scale",
    "refiner.decoder_steps": "txt2img_decoder_steps",
    "sampling.sampler": "txt2img_sampling",
    "sampling.scheduler": "txt2img_scheduler",
    "seeds.seed": "txt2img_seed",
    "canvas.batch_size": "txt2img_batch_size",
    "canvas.batch_count": "txt2img_batch_count",
    "seeds.subseed": "txt2img_subseed",
    "seeds.subseed_strength": "txt2img_subseed_strength",
    "prompt.styles": "txt2img_styles",
    "prompt.clip_skip": "txt2img_clip_skip",
    "prompt.emphasis": "txt2img_emphasis",
    "prompt.areas": "txt2img_prompt_areas",
    "canvas.tiling": "txt2img_tiling",
    "guidance.start": "txt2img_cfg_start",
    "guidance.end": "txt2img_cfg_end",
    "guidance.schedule": "txt2img_cfg_schedule",
    "guidance.mimic_scale": "txt2img_mimic_scale",
    "guidance.apg": "txt2img_apg",
    "guidance.perp_neg": "txt2img_perp_neg",
    "sampling.s_min_uncond": "txt2img_s_min_uncond",
    "sampling.s_min_uncond_all": "txt2img_s_min_uncond_all",
    "attention.pag_scale": "txt2img_pag_scale",
    "attention.seg_scale": "txt2img_seg_scale",
    "attention.slg_scale": "txt2img_slg_scale",
    "features.freeu_b1": "txt2img_freeu_b1",
    "features.freeu_b2": "txt2img_freeu_b2",
    "features.freeu_s1": "txt2img_freeu_s1",
    "features.freeu_s2": "txt2img_freeu_s2",
    "features.token_merging": "txt2img_token_merging_ratio",
    "features.hypertile": "txt2img_hypertile_size",
    "features.shrink": "txt2img_deep_shrink",
    "features.shrink_end": "txt2img_deep_shrink_end",
    "handover.sampler": "txt2img_second_sampler",
    "handover.steps": "txt2img_second_steps",
    "handover.at": "txt2img_second_at",
    "tone.brightness": "txt2img_hdr_brightness",
    "tone.mode": "txt2img_hdr_mode",
    "tone.color": "txt2img_hdr_color",
    "tone.sharpen": "txt2img_hdr_sharpen",
    "tone.tint": "txt2img_hdr_color_picker",
    "tone.tint_ratio": "txt2img_hdr_tint_ratio",
    "reach.clamp": "txt2img_hdr_clamp",
    "reach.maximize": "txt2img_hdr_maximize",
    "refiner.checkpoint": "txt2img_checkpoint",
    "refiner.switch_at": "txt2img_switch_at",
    "model.text_encoder": "txt2img_text_encoder",
    "cache.method": "txt2img_step_cache",
    "cache.interval": "txt2img_step_cache_interval",
    "cache.threshold": "txt2img_step_cache_threshold",
    "cache.depth": "txt2img_step_cache_depth",
    "cache.order": "txt2img_step_cache_order",
    "tiles.method": "txt2img_tiled_diffusion",
    "tiles.width": "txt2img_tile_width",
    "tiles.height": "txt2img_tile_height",
    "tiles.overlap": "txt2img_tile_overlap",
    "tiles.passes": "txt2img_tile_passes",
    "tiles.vae": "txt2img_tiled_vae",
    "film.frames": "txt2img_frames",
    "film.fps": "txt2img_fps",
    "film.format": "txt2img_film_format",
    "regions.detector": "txt2img_detailer_model",
    "regions.classes": "txt2img_detailer_classes",
    "regions.confidence": "txt2img_detailer_confidence",
    "regions.most": "txt2img_detailer_most",
    "detailer.prompt": "txt2img_detailer_prompt",
    "detailer.negative": "txt2img_detailer_negative",
    "detailer.strength": "txt2img_detailer_strength",
    "detailer.padding": "txt2img_detailer_padding",
    "detailer.steps": "txt2img_detailer_steps",
    "faces.restore": "txt2img_restore_faces",
    "faces.restorer": "txt2img_face_restorer",
    "faces.share": "txt2img_face_restorer_visibility",
    "hires.enabled": "txt2img_hr_enable",
    "hires.scale": "txt2img_hr_scale",
    "hires.upscaler": "txt2img_hr_upscaler",
    "hires.steps": "txt2img_hires_steps",
    "hires.denoising_strength": "txt2img_denoising_strength",
}
"""Declared name → id in the page. The ids are those that A1111's extensions and user scripts hook."""

NAMES: tuple[str, ...] = tuple(ELEM_IDS)
"""Declared names in the order in which the handlers get their values."""

OPEN = frozenset({"sampling.sampler", "refiner.checkpoint", "regions.detector", "model.text_encoder"})
"""Parameters whose list has a word for nothing chosen, sent as an empty one."""


def declarations() -> dict[str, Declared]:
    """The declarations of the parameters that the page offers, by name. Raises `KeyError` when one is gone."""
    known = {item.name: item for item in parameters()}
    return {name: known[name] for name in NAMES}


def compose(
    values: Sequence[Any], defaults: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
) -> GenerationRequest:
    """The request that the form's values ask for; what the page has no input for, or an empty one, is as `defaults`
    say by group and field, or else as declared.

    Raises `InvalidRequest` when a value is of the wrong kind. Bounds are checked where the job is stored.
    """
    groups = {group: dict(fields) for group, fields in defaults.items()}
    for (name, declared), value in zip(declarations().items(), values, strict=True):
        group, field = declared.path
        if value is not None and value not in ("", []) and not _left_open(declared, value):
            groups.setdefault(group, {})[field] = coerce(declared, value)
        elif name == "prompt.text":
            groups.setdefault(group, {})[field] = ""
    request = GenerationRequest()
    filled = {group: replace(getattr(request, group), **fields) for group, fields in groups.items()}
    return replace(request, **filled)


def _left_open(declared: Declared, value: Any) -> bool:
    """Whether a number is the 0 that Gradio's input shows and sends for none, where 0 itself is not allowed."""
    least = declared.param.minimum
    return value == 0 and declared.annotation.endswith("| None") and least is not None and least > 0


def spread(request: GenerationRequest, facts: ModelFacts) -> list[Any]:
    """The form's values for a request; what the request leaves open is filled with the model's own values."""
    return [_shown(name, getattr(getattr(request, name.split(".")[0]), name.split(".")[1]), facts) for name in NAMES]


KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "prompt": ("prompt.text", "prompt.negative", "prompt.styles"),
        "seed": ("seeds.",),
        "size": ("canvas.width", "canvas.height"),
        "model": ("model.",),
        "sampling": ("sampling.", "prompt.clip_skip"),
    }
)
"""Settings that are taken from a picture by themselves, each by the beginnings of their declared names."""


def only(values: list[Any], kinds: Sequence[str], left: Any) -> list[Any]:
    """The form's values with `left` for all that is of none of the kinds; no kinds are all."""
    wanted = tuple(begin for kind in kinds for begin in KINDS.get(kind, ()))
    if not kinds:
        return values
    return [value if name.startswith(wanted) else left for name, value in zip(NAMES, values, strict=True)]


def defaults(facts: ModelFacts) -> dict[str, Any]:
    """The form's values for a fresh request with that model, by declared name."""
    own: Mapping[str, Any] = {f"sampling.{key}": value for key, value in facts.defaults.items()}
    values = dict(zip(NAMES, spread(GenerationRequest(), facts), strict=True))
    return {**values, **{name: value for name, value in own.items() if name in values}}


def _shown(name: str, value: Any, facts: ModelFacts) -> Any:
    if value is not None:
        return list(value) if isinstance(value, tuple) else value
    if name in ("canvas.width", "canvas.height"):
        return facts.native
    if name == "model.checkpoint":
        return facts.name
    return facts.defaults.get(name.removeprefix("sampling."), "" if name in OPEN else None)


def coerce(declared: Declared, value: Any) -> Any:
    """A value of an input in the type of its parameter. Raises `InvalidRequest` for one of the wrong kind."""
    kind = declared.annotation.removesuffix(" | None")
    label = declared.param.label
    if kind == "bool":
        return bool(value)
    if kind.startswith("tuple"):
        return tuple(str(word) for word in ([value] if isinstance(value, str) else value))
    if kind == "str":
        return str(value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InvalidRequest(f"{label} is {value!r}; a number is needed.") from None
    if kind == "float":
        return number
    if not number.is_integer():
        raise InvalidRequest(f"{label} is {number:g}; a whole number is needed.")
    return int(number)
