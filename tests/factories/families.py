"""A tiny random model of every family: adding a family to `configs/families.json` adds a row here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

from tests.factories import (
    cascade,
    flow_models,
    flux2,
    hunyuan,
    kandinsky,
    kolors,
    ltx,
    models,
    qwen,
    transformers,
    video,
)

BUILDERS: Mapping[str, Callable[[Path], Path]] = MappingProxyType(
    {
        "sd15": models.tiny_sd15,
        "sd15-inpaint": models.tiny_sd15_inpaint,
        "sd15-edit": models.tiny_sd15_edit,
        "sd2": models.tiny_sd2,
        "sd2-inpaint": partial(models.tiny_sd2, prediction="epsilon", in_channels=9),
        "sdxl": models.tiny_sdxl,
        "sdxl-inpaint": partial(models.tiny_sdxl, in_channels=9),
        "sdxl-refiner": models.tiny_sdxl_refiner,
        "kolors": kolors.tiny_kolors,
        "sd3": models.tiny_sd3,
        "flux": models.tiny_flux,
        "flux-schnell": partial(models.tiny_flux, guidance=False),
        "flux-kontext": partial(models.tiny_flux, pipeline="FluxKontextPipeline"),
        "flux-fill": partial(models.tiny_flux, shown=320, pipeline="FluxFillPipeline"),
        "chroma": transformers.tiny_chroma,
        "pixart": transformers.tiny_pixart,
        "z-image": transformers.tiny_z_image,
        "lumina2": transformers.tiny_lumina2,
        "wan": video.tiny_wan,
        "wan-i2v": video.tiny_wan_i2v,
        "wan-ti2v": video.tiny_wan_ti2v,
        "ltx": ltx.tiny_ltx,
        "hunyuan-dit": hunyuan.tiny_hunyuan_dit,
        "flux2": flux2.tiny_flux2,
        "flux2-klein": flux2.tiny_flux2_klein,
        "kandinsky5": kandinsky.tiny_kandinsky5,
        "stable-cascade": cascade.tiny_cascade,
        "auraflow": flow_models.tiny_auraflow,
        "sana": flow_models.tiny_sana,
        "qwen-image": qwen.tiny_qwen_image,
        "qwen-image-edit": partial(qwen.tiny_qwen_image, pipeline="QwenImageEditPipeline"),
        "qwen-image-edit-plus": partial(qwen.tiny_qwen_image, pipeline="QwenImageEditPlusPipeline"),
    }
)
"""By family: what writes such a model as a diffusers folder. One latent cell is `latent_factor` pixels, as ever."""
