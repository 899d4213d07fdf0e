"""What a file or folder is, told by the names and shapes of its weights, never by its own name or size.

There are three answers: `Recognised`, `Unknown` (a sound file of no family in the table) and `Broken` (a file that
cannot be a model at all). The last two carry the reason as a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modules.contracts.errors import BrokenModel
from modules.sd_models.families import Rule
from modules.sd_models.header import INDEX, SIDECAR, Header, read_header, read_json
from modules.sd_models.places import PREFIXES, locate

Shapes = Mapping[str, tuple[int, ...]]

DENOISER_ROOTS = {
    "ldm": ("model.diffusion_model.", ""),
    "diffusers": ("unet.", "transformer.", "model.diffusion_model.", ""),
}
"""Beginnings under which the denoiser's weights stand, by naming scheme."""
SAYINGS = ("modelspec.title", "modelspec.architecture")
SCALED_MARKS = frozenset({"scaled_fp8", "model.diffusion_model.scaled_fp8"})
SCALED_ENDINGS = (".scale_weight", ".weight.absmax", ".weight.quant_state.bitsandbytes__nf4", ".weight_scale")
"""Signs of weights that mean nothing without the scales stored beside them."""
LORA_MARKS = ("lora_unet_", "lora_te_", "lora_te1_", "lora_transformer_", "unet.down_blocks.0.lora")


@dataclass(frozen=True, slots=True)
class Recognised:
    """The file is of a known family. `facts` is ready for `ModelEntry.details`."""

    family: str
    layout: str
    prefix: str
    """What stands before the names of the denoiser's weights."""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unknown:
    """A sound file that no rule of the table describes."""

    reason: str


@dataclass(frozen=True, slots=True)
class Broken:
    """A file that cannot be used, whatever it was meant to be."""

    reason: str


Outcome = Recognised | Unknown | Broken


def inspect_file(path: Path, rules: Sequence[Rule]) -> Outcome:
    """What the single file at `path` is. Never raises for what the file holds; `OSError` becomes `Broken` too."""
    try:
        header = read_header(path)
        return inspect_header(header, rules, path.name, said=_said(path, header))
    except BrokenModel as error:
        return Broken(error.message)
    except OSError as error:
        return Broken(f"{path.name} cannot be read: {error.strerror or error}.")


def _said(path: Path, header: Header) -> str:
    """What a single file says of itself: its title and architecture, and the pipeline that the folder beside names."""
    index = path.with_suffix(SIDECAR) / INDEX
    beside = read_json(index).get("_class_name", "") if index.is_file() else ""
    return " ".join([*(header.metadata.get(key, "") for key in SAYINGS), str(beside)])


def inspect_header(header: Header, rules: Sequence[Rule], name: str, *, said: str = "") -> Outcome:
    """What a file with this header is, which says that of itself."""
    shapes = header.shapes
    if not shapes:
        return Broken(f"{name} holds no weights at all.")
    if SCALED_MARKS & set(shapes) or any(name.endswith(SCALED_ENDINGS) for name in shapes):
        return Broken(
            f"{name} holds weights that are quantised with scales of their own; full or half ones are needed."
        )
    best: tuple[float, str] = (-1.0, "")
    for rule in rules:
        if rule.layout == "folder":
            continue
        for prefix in DENOISER_ROOTS[rule.layout]:
            named = below(shapes, prefix)
            objection = rule.objection(named, said)
            if objection is None:
                return Recognised(rule.family, rule.layout, prefix, _facts(header, named, rule.family))
            best = max(best, (_likeness(rule, named), f"for {rule.family} {objection}"), key=lambda pair: pair[0])
    return Unknown(f"{name} is of no known model family: {_other_kind(shapes) or best[1]}.")


def below(shapes: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Entries whose names begin with `prefix`, without it."""
    return {name[len(prefix) :]: value for name, value in shapes.items() if name.startswith(prefix)}


def _likeness(rule: Rule, named: Shapes) -> float:
    """The share of the rule's names that are there."""
    return sum(pattern in named for pattern in rule.has_all) / len(rule.has_all)


def _other_kind(shapes: Shapes) -> str | None:
    """What well-known other thing the weights are, for a helpful answer."""
    if any(name.startswith(LORA_MARKS) or ".lora_down." in name or ".lora_A." in name for name in shapes):
        return "it is a LoRA, not a checkpoint"
    if any("input_hint_block" in name or "controlnet_cond_embedding" in name for name in shapes):
        return "it is a ControlNet, not a checkpoint"
    if any(name.endswith("effnet_mapper.0.weight") for name in shapes):
        return "it is the second stage of Stable Cascade, which is used with the file of stage C beside it"
    if {"vquantizer.codebook.weight", "out_block.0.weight"} <= set(shapes):
        return "it is the autoencoder of Stable Cascade, which is used with the file of stage C beside it"
    if {"decoder.conv_in.weight", "encoder.conv_in.weight"} <= set(shapes):
        return "it is a VAE, not a checkpoint; put it into models/vae"
    if any(name in shapes for name in ("emb_params", "clip_l", "string_to_param")) and len(shapes) < 8:
        return "it is a textual inversion embedding, not a checkpoint"
    return None


def is_vae(shapes: Shapes) -> bool:
    """Whether the weights are an autoencoder alone, in LDM or diffusers naming, or the tiny kind (TAESD)."""
    for prefix in ("", "first_stage_model.", "vae."):
        if {f"{prefix}decoder.conv_in.weight", f"{prefix}decoder.conv_out.weight"} <= set(shapes):
            return True
    return {"decoder.layers.0.weight", "encoder.layers.0.weight"} <= set(shapes)


def parts_of(shapes: Shapes, family: str) -> tuple[str, ...]:
    """Which parts beside the denoiser the file holds."""
    return tuple(part for part in PREFIXES if locate(shapes, part, family) is not None)


def _facts(header: Header, denoiser: Shapes, family: str) -> dict[str, Any]:
    shapes = header.shapes
    facts: dict[str, Any] = {
        "dtype": header.dtype,
        "parts": ["denoiser", *parts_of(shapes, family)],
        "tensors": len(shapes),
        **denoiser_facts(denoiser),
    }
    if "model_ema.decay" in shapes or any(name.startswith("model_ema.") for name in shapes):
        facts["ema"] = True
    prediction = prediction_of(header)
    if prediction:
        facts["prediction_type"] = prediction
    described = {key.removeprefix("modelspec."): value[:500] for key, value in header.metadata.items() if value}
    wanted = ("title", "author", "description", "license", "architecture", "usage_hint", "resolution", "date")
    facts.update({f"metadata_{key}": described[key] for key in wanted if key in described})
    return facts


def denoiser_facts(denoiser: Shapes) -> dict[str, Any]:
    """Input channels, context width and the number of blocks, where the names of the weights tell."""
    facts: dict[str, Any] = {}
    for name in ("input_blocks.0.0.weight", "conv_in.weight", "x_embedder.proj.weight", "pos_embed.proj.weight"):
        if name in denoiser:
            facts["in_channels"] = denoiser[name][1]
    context = next((shape[1] for name, shape in denoiser.items() if name.endswith("attn2.to_k.weight")), None)
    for name in ("context_embedder.weight", "txt_in.weight"):
        if name in denoiser:
            context = denoiser[name][1]
    if context:
        facts["context_width"] = context
    if any(name.endswith((".attn.ln_q.weight", ".attn.norm_q.weight")) for name in denoiser):
        facts["qk_norm"] = True
    return facts


def prediction_of(header: Header) -> str | None:
    """The prediction type, where the file states it: by a marker tensor or by its metadata."""
    if "v_pred" in header.tensors:
        return "v_prediction"
    for key in ("modelspec.prediction_type", "modelspec.predict_key", "prediction_type"):
        value = header.metadata.get(key, "").lower()
        if value in ("v", "v_prediction", "v-prediction", "vpred"):
            return "v_prediction"
        if value in ("epsilon", "eps"):
            return "epsilon"
    return None
