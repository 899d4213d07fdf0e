"""What a diffusers folder is: `model_index.json`, the configs of its components, and the headers of their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.contracts.errors import BrokenModel
from modules.sd_models.detect import Broken, Outcome, Recognised, Unknown, denoiser_facts
from modules.sd_models.families import Rule
from modules.sd_models.header import INDEX, PICKLE_ADVICE, SIDECAR, Header, read_header, read_index, read_json
from modules.sd_models.scan import stage_beside
from modules.support.latent_shape import channels_of, factor_of

STEMS = ("diffusion_pytorch_model", "model")
VARIANTS = ("", "fp16", "bf16")
"""Tried in this order: full precision is preferred where both are there."""
DEFAULTS = "defaults.json"
"""A file of ours that may stand beside the index: `sampler`, `scheduler`, `steps`, `cfg_scale` to draw with."""
MAX_CELLS = 1024
"""Largest native size that is believed, in latent cells."""
DENOISERS = ("unet", "transformer", "prior")
SECOND = "transformer_2"
"""A further denoiser that takes over in the middle, as in Wan 2.2 A14B."""
CALLED = {"vqgan": "vae", "prior_prior": "prior"}
"""What pipelines of several stages call parts that have other names here."""
EYES = "vision_encoder"
"""What sees the picture that a film begins with; other pipelines have such a part for what is not asked here."""
SEEING = {"WanImageToVideoPipeline": "image_encoder"}
"""Pipelines with eyes, and what they call them."""
FIRST_STAGE = "prior_"
"""What such a pipeline puts before its copies of the readers, which are the same ones once more."""
PICKLED = ("diffusion_pytorch_model.bin", "pytorch_model.bin", "diffusion_pytorch_model.fp16.bin")


@dataclass(frozen=True, slots=True)
class Part:
    """One component named by `model_index.json`."""

    name: str
    library: str
    kind: str
    """The class that the index names. It is looked up in a table, never imported by this name."""
    path: Path
    """Its folder."""


def read_parts(folder: Path) -> tuple[str, dict[str, Part], dict[str, Any]]:
    """The pipeline's class name, the components that are there, and the plain options of `model_index.json`.

    Raises `BrokenModel` when the index is no such thing or names a component whose folder is missing.
    """
    index = read_json(folder / INDEX)
    parts: dict[str, Part] = {}
    options: dict[str, Any] = {}
    for name, value in index.items():
        if name.startswith("_"):
            continue
        if not isinstance(value, list):
            options[name] = value
        elif len(value) == 2 and all(isinstance(item, str) for item in value):
            if not name.isidentifier():
                raise BrokenModel(f"{folder.name}/{INDEX} names a component {name!r}, which is no plain name.")
            own = EYES if name == SEEING.get(str(index.get("_class_name"))) else CALLED.get(name, name)
            if not own.startswith(FIRST_STAGE):
                parts[own] = Part(own, value[0], value[1], folder / name)
    beside = stage_beside(folder)
    if "decoder" in parts and "prior" not in parts and beside is not None:
        parts["prior"] = Part("prior", parts["decoder"].library, parts["decoder"].kind, beside / "prior")
    for part in parts.values():
        if not part.path.is_dir() and part.name not in ("safety_checker", "feature_extractor"):
            raise BrokenModel(f"{folder.name} lacks the folder {part.path.name} that its {INDEX} names.")
    return str(index.get("_class_name", "")), parts, options


def find_weights(folder: Path) -> Path:
    """The weights file of a component, or its index when it is sharded; full precision first, then fp16, bf16.

    Raises `BrokenModel` when there is none, and says so when there are only pickled ones.
    """
    for variant in VARIANTS:
        for stem in STEMS:
            single = folder / f"{stem}{'.' + variant if variant else ''}.safetensors"
            index = folder / f"{stem}.safetensors.index{'.' + variant if variant else ''}.json"
            for candidate in (single, index):
                if candidate.is_file():
                    return candidate
    where = f"{folder.parent.name}/{folder.name}"
    pickled = next((name for name in PICKLED if (folder / name).is_file()), None)
    if pickled:
        raise BrokenModel(f"{where} holds only pickled weights. {PICKLE_ADVICE} {where}/{pickled}")
    raise BrokenModel(f"{where} holds no weights; {STEMS[0]}.safetensors or {STEMS[1]}.safetensors was expected.")


def read_weights(folder: Path) -> Header:
    """The checked header of a component's weights, sharded or not. Raises `BrokenModel`."""
    path = find_weights(folder)
    return read_index(path) if path.name.endswith(".json") else read_header(path)


def variant_of(path: Path) -> str | None:
    """`fp16` or `bf16` when the name of a weights file or index says so."""
    return next((variant for variant in VARIANTS if variant and f".{variant}." in path.name), None)


def inspect_folder(folder: Path, rules: Sequence[Rule]) -> Outcome:
    """What the diffusers folder is. Never raises for what it holds."""
    try:
        return _inspect(folder, rules)
    except BrokenModel as error:
        return Broken(error.message)
    except OSError as error:
        return Broken(f"{folder.name} cannot be read: {error.strerror or error}.")


def _inspect(folder: Path, rules: Sequence[Rule]) -> Outcome:
    pipeline, parts, _ = read_parts(folder)
    name = next((name for name in DENOISERS if name in parts), None)
    if name is None and "decoder" in parts:
        return Broken(
            f"{folder.name} is a last stage; put the folder of its first one beside it as {folder.name}-prior."
        )
    if name is None:
        return Unknown(f"{folder.name} is a {pipeline or 'folder'} without unet or transformer.")
    if SECOND in parts:
        return Unknown(
            f"{folder.name} ({pipeline}) has two denoisers, one for each half of the way; models of one can be drawn."
        )
    if name == "prior" and "decoder" not in parts:
        return Unknown(f"{folder.name} is a first stage alone; it is used with the folder of the last one beside it.")
    header = read_weights(parts[name].path)
    objections: list[str] = []
    for rule in rules:
        if rule.layout == "ldm":
            continue
        objection = rule.objection(header.shapes, pipeline)
        if objection is None:
            return _recognised(folder, rule.family, name, parts, pipeline)
        objections.append(f"for {rule.family} {objection}")
    return Unknown(f"{folder.name} ({pipeline}) is of no known model family: {'; '.join(objections[:3])}.")


def _recognised(
    folder: Path, family: str, denoiser: str, parts: Mapping[str, Part], pipeline: str
) -> Recognised | Broken:
    headers = {name: read_weights(part.path) for name, part in parts.items() if holds_weights(name)}
    facts: dict[str, Any] = {
        "pipeline": pipeline,
        "dtype": headers[denoiser].dtype,
        "parts": list(headers),
        "files": sum(len(header.files) for header in headers.values()),
        **denoiser_facts(headers[denoiser].shapes),
    }
    variant = variant_of(find_weights(parts[denoiser].path))
    if variant:
        facts["variant"] = variant
    facts.update(_config_facts(folder, parts))
    if own := own_defaults(folder):
        facts["defaults"] = own
    if "vae" not in parts:
        return Broken(f"{folder.name} lacks a vae; its {INDEX} names {', '.join(parts)}.")
    if fault := _context_fault(folder, family, facts, headers):
        return Broken(fault)
    return Recognised(family, "diffusers", "", facts)


def holds_weights(name: str) -> bool:
    """Whether a component of that name is made of weights that the studio loads."""
    return name in (*DENOISERS, "decoder", "vae", EYES) or name.startswith("text_encoder")


def _config_facts(folder: Path, parts: Mapping[str, Part]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    scheduler = folder / "scheduler" / "scheduler_config.json"
    if "scheduler" in parts and scheduler.is_file():
        facts.update(_scheduler_facts(read_json(scheduler)))
    if "decoder" in parts:
        return facts  # what the autoencoder says is about latents that the first stage does not draw
    vae = _config(folder, "vae")
    factor = factor_of(vae) or 8
    facts["latent_factor"] = factor
    if channels := channels_of(vae):
        facts["latent_channels"] = channels
    denoiser = next(name for name in DENOISERS if name in parts)
    cells, pixels = _config(folder, denoiser).get("sample_size"), vae.get("sample_size")
    if isinstance(cells, int) and 0 < cells <= MAX_CELLS:
        facts["native_size"] = cells * factor
    elif isinstance(pixels, int) and 0 < pixels <= MAX_CELLS * 8:
        facts["native_size"] = pixels
    return facts


def own_defaults(folder: Path) -> dict[str, Any]:
    """What the file DEFAULTS of a model's folder says it is best drawn with; what makes no sense is left out."""
    try:
        said = _optional(folder / DEFAULTS)
    except BrokenModel:
        return {}  # a wish that cannot be read does not make the model unusable
    own: dict[str, Any] = {key: said[key] for key in ("sampler", "scheduler") if isinstance(said.get(key), str)}
    steps, cfg = said.get("steps"), said.get("cfg_scale")
    if isinstance(steps, int) and 1 <= steps <= 1000:
        own["steps"] = steps
    if isinstance(cfg, int | float) and 0 <= cfg <= 100:
        own["cfg_scale"] = float(cfg)
    shrink = said.get("deep_shrink")
    if isinstance(shrink, dict):
        level, end = shrink.get("level"), shrink.get("end")
        if isinstance(level, int) and 0 <= level <= 3 and isinstance(end, int | float) and 0 < end <= 1:
            own["deep_shrink"] = {"level": level, "end": float(end)}
    return own


def facts_beside(file: Path) -> dict[str, Any]:
    """Native size and prediction type that the folder beside a single file states; empty where there is none."""
    folder = file.with_suffix(SIDECAR)
    facts: dict[str, Any] = {}
    try:
        for denoiser in DENOISERS:
            cells = _optional(folder / denoiser / "config.json").get("sample_size")
            if isinstance(cells, int) and 0 < cells <= MAX_CELLS:
                facts["native_size"] = cells * (factor_of(_optional(folder / "vae" / "config.json")) or 8)
        said = _optional(folder / "scheduler" / "scheduler_config.json")
    except BrokenModel:
        return {}  # loading the model says what is wrong with it
    return facts | _scheduler_facts(said)


def _scheduler_facts(config: Mapping[str, Any]) -> dict[str, Any]:
    names = {"prediction_type": "prediction_type", "_class_name": "scheduler", "timestep_spacing": "timestep_spacing"}
    return {fact: config[name] for name, fact in names.items() if isinstance(config.get(name), str)}


def _optional(file: Path) -> dict[str, Any]:
    return read_json(file) if file.is_file() else {}


def _config(folder: Path, part: str) -> dict[str, Any]:
    path = folder / part / "config.json"
    if not path.is_file():
        raise BrokenModel(f"{folder.name}/{part} lacks its config.json.")
    return read_json(path)


def _context_fault(folder: Path, family: str, facts: Mapping[str, Any], headers: Mapping[str, Header]) -> str | None:
    """A denoiser and a text encoder that do not fit each other."""
    if family.partition("-")[0] not in ("sd15", "sd2") or "text_encoder" not in headers:
        return None
    names = ("text_model.final_layer_norm.weight", "final_layer_norm.weight")
    width = next(
        (headers["text_encoder"].shapes[name][0] for name in names if name in headers["text_encoder"].shapes), 0
    )
    expected = facts.get("context_width")
    if width and expected and width != expected:
        return f"{folder.name}: its text encoder gives {width} numbers a token and its unet takes {expected}."
    return None
