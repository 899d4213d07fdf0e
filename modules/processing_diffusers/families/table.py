"""Adapters by the word in a family's row."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from modules.contracts.catalog import Family
from modules.contracts.errors import UnsupportedFeature
from modules.processing_diffusers.families.aura import AuraFlowAdapter
from modules.processing_diffusers.families.base import FamilyAdapter
from modules.processing_diffusers.families.cascade import CascadeAdapter
from modules.processing_diffusers.families.chroma import ChromaAdapter
from modules.processing_diffusers.families.flux import FluxAdapter
from modules.processing_diffusers.families.flux2 import Flux2Adapter, Flux2KleinAdapter
from modules.processing_diffusers.families.flux_shown import FluxFillAdapter, FluxKontextAdapter
from modules.processing_diffusers.families.hunyuan import HunyuanDiTAdapter
from modules.processing_diffusers.families.kandinsky import KandinskyAdapter
from modules.processing_diffusers.families.kolors import KolorsAdapter
from modules.processing_diffusers.families.ltx import LtxAdapter
from modules.processing_diffusers.families.lumina import LuminaAdapter
from modules.processing_diffusers.families.pixart import PixArtAdapter
from modules.processing_diffusers.families.qwen import QwenImageAdapter
from modules.processing_diffusers.families.qwen_edit import QwenEditAdapter, QwenEditPlusAdapter
from modules.processing_diffusers.families.sana import SanaAdapter
from modules.processing_diffusers.families.sd import SdAdapter, SdScaleInsideAdapter
from modules.processing_diffusers.families.sd3 import Sd3Adapter
from modules.processing_diffusers.families.sdxl import SdxlAdapter, SdxlScaleInsideAdapter
from modules.processing_diffusers.families.wan import WanAdapter, WanShownAdapter
from modules.processing_diffusers.families.zimage import ZImageAdapter

ADAPTERS: Mapping[str, FamilyAdapter] = MappingProxyType(
    {
        "sd": SdAdapter(),
        "sdxl": SdxlAdapter(),
        "kolors": KolorsAdapter(),
        "sd3": Sd3Adapter(),
        "flux": FluxAdapter(),
        "flux-kontext": FluxKontextAdapter(),
        "flux-fill": FluxFillAdapter(),
        "chroma": ChromaAdapter(),
        "pixart": PixArtAdapter(),
        "zimage": ZImageAdapter(),
        "lumina": LuminaAdapter(),
        "hunyuan": HunyuanDiTAdapter(),
        "flux2": Flux2Adapter(),
        "flux2-klein": Flux2KleinAdapter(),
        "kandinsky": KandinskyAdapter(),
        "cascade": CascadeAdapter(),
        "aura": AuraFlowAdapter(),
        "sana": SanaAdapter(),
        "wan": WanAdapter(),
        "wan-i2v": WanShownAdapter(),
        "ltx": LtxAdapter(),
        "qwen": QwenImageAdapter(),
        "qwen-edit": QwenEditAdapter(),
        "qwen-edit-plus": QwenEditPlusAdapter(),
    }
)


SCALE_INSIDE: Mapping[str, FamilyAdapter] = MappingProxyType(
    {"sd": SdScaleInsideAdapter(), "sdxl": SdxlScaleInsideAdapter()}
)
"""Those of denoisers that take the CFG scale as an input where others of their family do not."""


def adapter_for(family: Family, denoiser: Any) -> FamilyAdapter:
    """The adapter for that denoiser of the family, which may have an input that others lack."""
    embeds = denoiser.config.get("time_cond_proj_dim") is not None
    return SCALE_INSIDE.get(family.adapter, adapter_of(family)) if embeds else adapter_of(family)


def adapter_of(family: Family) -> FamilyAdapter:
    """The adapter that the row names; `UnsupportedFeature` when this build has none."""
    found = ADAPTERS.get(family.adapter)
    if found is None:
        raise UnsupportedFeature(f"{family.label} cannot be drawn by this build; it draws {', '.join(ADAPTERS)}.")
    return found
