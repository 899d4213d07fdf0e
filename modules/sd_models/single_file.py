"""Loads all parts of a model that is one `.safetensors` file, in the naming of its original code or of diffusers.

Configs are read off the shapes, except where the folder beside the file has one (see `modules.sd_models.sources`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from modules.contracts.catalog import Family, ModelEntry
from modules.contracts.errors import BrokenModel
from modules.contracts.plan import Placement
from modules.sd_models import (
    cascade_dimensions,
    dimensions,
    ltx_parts,
    original_names,
    part_dimensions,
    transformer_dimensions,
)
from modules.sd_models.components import (
    build_empty,
    cut_end,
    fill,
    find_class,
    find_scheduler,
    is_transformers,
    read_config,
)
from modules.sd_models.faults import blaming
from modules.sd_models.header import read_json
from modules.sd_models.sources import CONFIGS, Shapes, Source, Sources
from modules.sd_models.tensors import Advance, group_of, kept_in_float32, read_tensors
from modules.sd_models.vocabulary import make_tokenizer, read_tokenizer

Progress = Callable[[float, str], None]
DIMENSIONS: dict[tuple[str, str], Callable[[Shapes], dict[str, Any]]] = {
    ("UNet2DConditionModel", "ldm"): dimensions.unet,
    ("UNet2DConditionModel", "diffusers"): dimensions.unet_diffusers,
    ("SD3Transformer2DModel", "ldm"): dimensions.sd3,
    ("FluxTransformer2DModel", "ldm"): dimensions.flux,
    ("ChromaTransformer2DModel", "ldm"): dimensions.chroma,
    ("PixArtTransformer2DModel", "ldm"): dimensions.pixart,
    ("ZImageTransformer2DModel", "ldm"): dimensions.z_image,
    ("ZImageTransformer2DModel", "diffusers"): dimensions.z_image,
    ("Lumina2Transformer2DModel", "ldm"): dimensions.lumina2,
    ("HunyuanDiT2DModel", "ldm"): transformer_dimensions.hunyuan_dit,
    ("Flux2Transformer2DModel", "ldm"): transformer_dimensions.flux2,
    ("Kandinsky5Transformer3DModel", "diffusers"): transformer_dimensions.kandinsky5,
    ("AuraFlowTransformer2DModel", "ldm"): transformer_dimensions.auraflow,
    ("SanaTransformer2DModel", "ldm"): transformer_dimensions.sana,
    ("QwenImageTransformer2DModel", "diffusers"): transformer_dimensions.qwen_image,
    ("WanTransformer3DModel", "ldm"): transformer_dimensions.wan,
    ("LTXVideoTransformer3DModel", "ldm"): ltx_parts.transformer,
    ("AutoencoderKLLTXVideo", "ltx"): ltx_parts.vae,
    ("AutoencoderKLLTXVideo", "diffusers"): ltx_parts.vae,
    ("StableCascadeUNet", "ldm"): cascade_dimensions.unet,
    ("StableCascadeUNet", "diffusers"): cascade_dimensions.unet,
    ("PaellaVQModel", "ldm"): cascade_dimensions.paella,
    ("AutoencoderKL", "ldm"): dimensions.vae,
    ("AutoencoderKL", "diffusers"): dimensions.vae,
    ("AutoencoderKLQwenImage", "wan"): part_dimensions.film_vae,
    ("AutoencoderKLQwenImage", "diffusers"): part_dimensions.film_vae,
    ("AutoencoderKLWan", "wan"): part_dimensions.film_vae,
    ("AutoencoderKLWan", "diffusers"): part_dimensions.film_vae,
    ("AutoencoderKLFlux2", "diffusers"): dimensions.vae,
    ("AutoencoderDC", "diffusers"): part_dimensions.deep_vae,
    ("CLIPTextModel", "clip"): dimensions.clip,
    ("CLIPTextModel", "open_clip"): dimensions.open_clip,
    ("CLIPTextModelWithProjection", "clip"): dimensions.clip,
    ("CLIPTextModelWithProjection", "open_clip"): dimensions.open_clip,
    ("T5EncoderModel", "t5"): dimensions.t5,
    ("BertModel", "bert"): part_dimensions.bert,
    ("UMT5EncoderModel", "umt5"): dimensions.t5,
    ("Qwen3Model", "qwen3"): dimensions.qwen3,
    ("Gemma2Model", "gemma2"): dimensions.gemma2,
    ("ChatGLMModel", "chatglm"): part_dimensions.chatglm,
    ("MistralModel", "mistral"): part_dimensions.mistral,
    ("Qwen2_5_VLModel", "qwen2_vl"): part_dimensions.qwen2_vl,
}
"""How the config of a class is read off shapes in a naming."""
TRANSFORMERS: dict[str, Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]] = {
    "SD3Transformer2DModel": original_names.sd3,
    "FluxTransformer2DModel": original_names.flux,
    "ChromaTransformer2DModel": original_names.chroma,
    "PixArtTransformer2DModel": original_names.pixart,
    "ZImageTransformer2DModel": original_names.z_image,
    "Lumina2Transformer2DModel": original_names.lumina2,
    "HunyuanDiT2DModel": original_names.hunyuan_dit,
    "Flux2Transformer2DModel": original_names.flux2,
    "AuraFlowTransformer2DModel": original_names.auraflow,
    "SanaTransformer2DModel": original_names.sana,
    "WanTransformer3DModel": original_names.wan,
    "LTXVideoTransformer3DModel": ltx_parts.transformer_names,
    "StableCascadeUNet": original_names.cascade,
    "PaellaVQModel": original_names.paella,
}
"""How weights get from the naming of their original code to that of the class; UNets and AutoencoderKL have others."""
UNUSED_LAYERS = {"sd2": 1, "sd2-inpaint": 1}
"""Last layers of the text encoder that files of these families hold and the model never runs."""


def load_single_file(
    entry: ModelEntry,
    family: Family,
    placement: Mapping[str, Placement],
    progress: Progress,
    folders: Sequence[Path] = (),
) -> tuple[dict[str, Any], dict[str, Any]]:
    """All parts of the file, and the plain options of its pipeline. Raises `BrokenModel` naming the part."""
    sources = Sources(entry.path, family.id, folders)
    rows: Mapping[str, Mapping[str, Any]] = sources.recipe["parts"]
    found = _find_all(sources, rows)
    total = sum(source.bytes for source in found.values()) or 1
    done = 0
    components: dict[str, Any] = {}
    for part, row in rows.items():

        def advance(count: int, part: str = part) -> None:
            nonlocal done
            done += count
            progress(min(done / total, 1.0), part)

        with blaming(entry.name, part):
            if part in found:
                components[part] = load_weights(part, row, found[part], family.id, placement, advance)
            elif part == "scheduler":
                components[part] = _scheduler(sources, row, entry)
            elif part.startswith("tokenizer") and _encoder_of(part) in found:
                components[part] = _tokenizer(sources, part, row)
    return components, dict(sources.recipe["options"])


def _find_all(sources: Sources, rows: Mapping[str, Any]) -> dict[str, Source]:
    found: dict[str, Source] = {}
    for part in rows:
        if part == "scheduler" or part.startswith("tokenizer"):
            continue
        source = sources.find(part)
        if source is not None:
            found[part] = source
        elif part not in sources.recipe.get("optional", ()):
            raise BrokenModel(sources.missing(part))
    return found


def _encoder_of(tokenizer: str) -> str:
    return f"text_encoder{tokenizer.removeprefix('tokenizer')}"


def load_weights(
    part: str,
    row: Mapping[str, Any],
    source: Source,
    family: str,
    placement: Mapping[str, Placement],
    advance: Advance,
) -> Any:
    """One part made of weights, on its device and in its precision."""
    kind = find_class(row["class"])
    config = _config(kind, part, row, source, family)
    model = build_empty(kind, kind.config_class(**config) if is_transformers(kind) else config)
    where = placement[group_of(part)]
    tensors = read_tensors(
        source.header.files,
        where,
        rename=lambda name: name[len(source.prefix) :] if name.startswith(source.prefix) else None,
        keep_float32=kept_in_float32(kind, where),
        advance=advance,
    )
    named = translate(row["class"], source.naming, tensors, config)
    return fill(cut_end(model, named), named)


def _config(kind: Any, part: str, row: Mapping[str, Any], source: Source, family: str) -> dict[str, Any]:
    """The config beside the file, else what the shapes and the family's row say."""
    if source.folder is not None and (source.folder / "config.json").is_file():
        own = read_config(kind, source.folder)
        return dict(own.to_dict()) if is_transformers(kind) else dict(own)
    derive = DIMENSIONS.get((row["class"], source.naming))
    if derive is None:
        raise BrokenModel(
            f"weights in {source.naming} naming need a config; put config.json into the folder {part} beside the file"
        )
    config = {**row["config"], **derive(source.shapes)}
    if source.naming == "open_clip":
        config["num_hidden_layers"] -= UNUSED_LAYERS.get(family, 0)
    return config


def translate(
    kind: str, naming: str, tensors: dict[str, torch.Tensor], config: Mapping[str, Any]
) -> dict[str, torch.Tensor]:
    """Tensors under the names that the class uses."""
    if naming == "ldm":
        if kind == "UNet2DConditionModel":
            return original_names.unet(tensors, config)
        if kind == "AutoencoderKL":
            return original_names.vae(tensors, config)
        return TRANSFORMERS[kind](tensors)
    if naming == "wan":
        return original_names.film_vae(tensors)
    if naming == "ltx":
        return ltx_parts.vae_names(tensors)
    if naming == "open_clip":
        tensors = original_names.open_clip(tensors, config["num_hidden_layers"])
    if kind == "CLIPTextModelWithProjection" and "text_projection.weight" not in tensors:
        # Files of SD 3 leave the projection out where it changes nothing.
        some = next(iter(tensors.values()))
        identity = torch.eye(config["hidden_size"], dtype=some.dtype, device=some.device)
        return {**tensors, "text_projection.weight": identity}
    return tensors


def _scheduler(sources: Sources, row: Mapping[str, Any], entry: ModelEntry) -> Any:
    own = sources.sidecar / "scheduler" / "scheduler_config.json"
    if own.is_file():
        config = read_json(own)
        return find_scheduler(str(config.get("_class_name", row["class"]))).from_config(config)
    config = dict(row["config"])
    stated = entry.details.get("prediction_type")
    if stated and "prediction_type" in config:
        config["prediction_type"] = stated
    return find_scheduler(row["class"]).from_config(config)


def _tokenizer(sources: Sources, part: str, row: Mapping[str, Any]) -> Any:
    folder = sources.config_folder(part)
    if folder is not None:
        return read_tokenizer(row["class"], folder)
    return make_tokenizer(row, CONFIGS, sources.folders, f"{sources.sidecar.name}/{part}")
