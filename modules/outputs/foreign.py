"""Parameters that other programs leave in pictures in forms of their own, told as infotext."""

from __future__ import annotations

import json
from collections.abc import Mapping

from modules.contracts.infotext import write

NOVELAI_SAMPLERS = {
    "k_euler": "Euler",
    "k_euler_ancestral": "Euler a",
    "k_lms": "LMS",
    "k_heun": "Heun",
    "k_dpm_2": "DPM2",
    "k_dpm_2_ancestral": "DPM2 a",
    "k_dpm_fast": "DPM fast",
    "k_dpm_adaptive": "DPM adaptive",
    "k_dpmpp_2m": "DPM++ 2M",
    "k_dpmpp_2m_sde": "DPM++ 2M SDE",
    "k_dpmpp_2s_ancestral": "DPM++ 2S a",
    "k_dpmpp_sde": "DPM++ SDE",
    "ddim": "DDIM",
    "ddim_v3": "DDIM",
    "plms": "PLMS",
}


def translate(items: Mapping[str, str], width: int, height: int) -> str:
    """Infotext made from text entries of a picture; empty when nothing known is among them."""
    if items.get("Software") == "NovelAI" and "Comment" in items:
        return _novelai(items, width, height)
    return ""


def _novelai(items: Mapping[str, str], width: int, height: int) -> str:
    """NovelAI: the prompt in `Description`, the rest as JSON in `Comment`."""
    try:
        said = json.loads(items["Comment"])
    except (ValueError, RecursionError):
        return ""
    if not isinstance(said, dict):
        return ""
    sampler = str(said.get("sampler", ""))
    fields = {
        "Steps": said.get("steps"),
        "Sampler": NOVELAI_SAMPLERS.get(sampler, sampler),
        "CFG scale": said.get("scale"),
        "Seed": said.get("seed"),
        "Size": f"{width}x{height}",
        "Denoising strength": said.get("strength"),
        "Clip skip": 2,
    }
    return write(items.get("Description", str(said.get("prompt", ""))), str(said.get("uc", "")), fields)
