"""Writes a diffusers folder as one `.safetensors` file in the layout that the original code of the family used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.factories import flow_models, flux2, hunyuan, ldm_keys, ltx, transformer_keys, video


def weights_of(folder: Path) -> dict[str, Any]:
    """All weights of one component folder."""
    from safetensors.torch import load_file

    found: dict[str, Any] = {}
    for file in sorted(folder.glob("*.safetensors")):
        found.update(load_file(file))
    return found


def config_of(folder: Path) -> dict[str, Any]:
    """The component's `config.json`."""
    return json.loads((folder / "config.json").read_text("utf-8"))


def _prefixed(prefix: str, weights: dict[str, Any]) -> dict[str, Any]:
    return {prefix + name: value for name, value in weights.items()}


def _unet_and_vae(source: Path) -> dict[str, Any]:
    config = config_of(source / "vae")
    return {
        **_prefixed("model.diffusion_model.", ldm_keys.unet(weights_of(source / "unet"), config_of(source / "unet"))),
        **_prefixed("first_stage_model.", ldm_keys.vae(weights_of(source / "vae"), len(config["block_out_channels"]))),
    }


def _sd15(source: Path) -> dict[str, Any]:
    text = _prefixed("cond_stage_model.transformer.", ldm_keys.clip(weights_of(source / "text_encoder")))
    return {**_unet_and_vae(source), **text}


def _sd2(source: Path) -> dict[str, Any]:
    """The original of SD 2 keeps a last layer that is never run, and the projection."""
    import torch

    text = ldm_keys.open_clip(weights_of(source / "text_encoder"))
    layers = config_of(source / "text_encoder")["num_hidden_layers"]
    first = "transformer.resblocks.0."
    spare = {
        f"transformer.resblocks.{layers}.{name[len(first) :]}": value.clone()
        for name, value in text.items()
        if name.startswith(first)
    }
    width = config_of(source / "text_encoder")["hidden_size"]
    return {
        **_unet_and_vae(source),
        **_prefixed("cond_stage_model.model.", {**text, **spare, "text_projection": torch.eye(width)}),
    }


def _sdxl(source: Path) -> dict[str, Any]:
    first, second = weights_of(source / "text_encoder"), weights_of(source / "text_encoder_2")
    return {
        **_unet_and_vae(source),
        **_prefixed("conditioner.embedders.0.transformer.", ldm_keys.clip(first)),
        **_prefixed("conditioner.embedders.1.model.", ldm_keys.open_clip(second)),
    }


def _sd3(source: Path) -> dict[str, Any]:
    """Everything in one file, as the original `incl_clips_t5xxl` file has it."""
    vae = config_of(source / "vae")
    parts = {
        "model.diffusion_model.": transformer_keys.sd3(weights_of(source / "transformer")),
        "first_stage_model.": ldm_keys.vae(weights_of(source / "vae"), len(vae["block_out_channels"])),
        "text_encoders.clip_l.transformer.": ldm_keys.clip(weights_of(source / "text_encoder")),
        "text_encoders.clip_g.transformer.": ldm_keys.clip(weights_of(source / "text_encoder_2")),
    }
    if (source / "text_encoder_3").is_dir():
        parts["text_encoders.t5xxl.transformer."] = weights_of(source / "text_encoder_3")
    return {prefix + name: value for prefix, weights in parts.items() for name, value in weights.items()}


def _flux(source: Path) -> dict[str, Any]:
    """The transformer alone, without any prefix, as Flux was published; the sidecar gets the other parts whole."""
    return transformer_keys.flux(weights_of(source / "transformer"))


def _chroma(source: Path) -> dict[str, Any]:
    """The transformer alone, as Flux."""
    return transformer_keys.chroma(weights_of(source / "transformer"))


def _pixart(source: Path) -> dict[str, Any]:
    """The transformer alone."""
    return transformer_keys.pixart(weights_of(source / "transformer"))


def _z_image(source: Path) -> dict[str, Any]:
    """The transformer alone."""
    return transformer_keys.z_image(weights_of(source / "transformer"))


def _lumina2(source: Path) -> dict[str, Any]:
    """The transformer alone."""
    return transformer_keys.lumina2(weights_of(source / "transformer"))


def _hunyuan_dit(source: Path) -> dict[str, Any]:
    """The transformer alone."""
    return hunyuan.hunyuan_dit(weights_of(source / "transformer"))


def _flux2(source: Path) -> dict[str, Any]:
    """The transformer alone."""
    return flux2.flux2(weights_of(source / "transformer"))


def _auraflow(source: Path) -> dict[str, Any]:
    """The transformer alone."""
    return flow_models.auraflow(weights_of(source / "transformer"))


def _sana(source: Path) -> dict[str, Any]:
    """The transformer alone."""
    return flow_models.sana(weights_of(source / "transformer"))


def _wan(source: Path) -> dict[str, Any]:
    """The transformer alone."""
    return video.wan(weights_of(source / "transformer"))


def _ltx(source: Path) -> dict[str, Any]:
    """Transformer and VAE."""
    return ltx.original(weights_of(source / "transformer"), weights_of(source / "vae"))


def _qwen_image(source: Path) -> dict[str, Any]:
    """The transformer alone, which has one naming only; the VAE beside it is in Wan's."""
    return weights_of(source / "transformer")


def _kandinsky5(source: Path) -> dict[str, Any]:
    """The transformer alone, which has one naming only."""
    return weights_of(source / "transformer")


def _kolors(source: Path) -> dict[str, Any]:
    """The UNet alone, which is shared in the naming of diffusers."""
    return weights_of(source / "unet")


def _cascade(source: Path) -> dict[str, Any]:
    """The first stage alone."""
    return cascade_keys(weights_of(source / "prior_prior"))


def cascade_keys(weights: dict[str, Any]) -> dict[str, Any]:
    """A stage of Stable Cascade as its authors name it: queries, keys and values in one tensor."""
    import torch

    named: dict[str, Any] = {}
    for name, value in weights.items():
        kind = name.rpartition(".")[2]
        if ".to_q." in name:
            three = [weights[name.replace(".to_q.", f".to_{letter}.")] for letter in "qkv"]
            named[name.replace(f".to_q.{kind}", f".attn.in_proj_{kind}")] = torch.cat(three)
        elif ".to_k." not in name and ".to_v." not in name:
            named[name.replace(".to_out.0.", ".attn.out_proj.")] = value
    if "effnet_mapper.0.weight" in named:
        for kind in ("weight", "bias"):
            named[f"clip_mapper.{kind}"] = named.pop(f"clip_txt_pooled_mapper.{kind}")
    return named


WRITERS = {
    "stable-cascade": _cascade,
    "sd15": _sd15,
    "sd2": _sd2,
    "sdxl": _sdxl,
    "sd3": _sd3,
    "flux": _flux,
    "chroma": _chroma,
    "pixart": _pixart,
    "z-image": _z_image,
    "lumina2": _lumina2,
    "hunyuan-dit": _hunyuan_dit,
    "kandinsky5": _kandinsky5,
    "kolors": _kolors,
    "flux2": _flux2,
    "flux2-klein": _flux2,
    "auraflow": _auraflow,
    "sana": _sana,
    "wan": _wan,
    "wan-i2v": _wan,
    "ltx": _ltx,
    "qwen-image": _qwen_image,
}
BESIDE = {
    "stable-cascade": ("text_encoder",),
    "flux": ("vae", "text_encoder", "text_encoder_2"),
    "chroma": ("vae", "text_encoder"),
    "pixart": ("vae", "text_encoder"),
    "z-image": ("vae", "text_encoder"),
    "lumina2": ("vae", "text_encoder"),
    "hunyuan-dit": ("vae", "text_encoder", "text_encoder_2"),
    "kandinsky5": ("vae", "text_encoder", "text_encoder_2"),
    "kolors": ("vae", "text_encoder"),
    "flux2": ("vae", "text_encoder"),
    "flux2-klein": ("vae", "text_encoder"),
    "auraflow": ("vae", "text_encoder"),
    "sana": ("vae", "text_encoder"),
    "wan": ("vae", "text_encoder"),
    "wan-i2v": ("vae", "text_encoder", "image_encoder"),
    "ltx": ("text_encoder",),
    "qwen-image": ("vae", "text_encoder"),
}
"""Parts whose weights go into the sidecar folder."""


def sidecar_of(target: Path) -> Path:
    """The folder beside a single file that holds what the file itself cannot: tokenizers and, if wanted, configs."""
    return target.with_suffix(".config")


def single_file(
    source: Path, target: Path, layout: str, *, metadata: dict[str, str] | None = None, configs: bool = True
) -> Path:
    """Write `source` (a diffusers folder) to `target` in the LDM layout of `layout`, a key of `WRITERS`.

    The sidecar folder gets the tokenizers, and with `configs` also the configs of all components and the scheduler.
    """
    from safetensors.torch import save_file

    weights = {name: value.contiguous() for name, value in WRITERS[layout](source).items()}
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, target, metadata={"format": "pt", **(metadata or {})})
    kinds = ("json", "txt", "model")
    wanted = [f"{'*' if configs else 'tokenizer*'}/*.{kind}" for kind in kinds]
    for pattern in wanted:
        for file in source.glob(pattern):
            copy = sidecar_of(target) / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
    for part in BESIDE.get(layout, ()):
        shutil.copytree(source / part, sidecar_of(target) / part, dirs_exist_ok=True)
    return target
