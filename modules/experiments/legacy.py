"""The axes of A1111's X/Y/Z plot: their labels, in the order of its two tabs, and what they are here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from modules.contracts.errors import InvalidRequest, UnsupportedFeature
from modules.contracts.request import GenerationRequest
from modules.experiments.kinds import Kind, find_kind

Tab = Literal["txt2img", "img2img"]
NOTHING = "Nothing"
ABSENT = "-"
"""Stands for the key of an axis that is in A1111's list and has no counterpart here."""


@dataclass(frozen=True, slots=True)
class LegacyAxis:
    """One row of A1111's list."""

    label: str
    key: str
    """Key of the kind; empty for nothing."""
    tabs: tuple[Tab, ...] = ("txt2img", "img2img")
    img2img: str | None = None
    """The key in image to image, where it is another."""

    def key_in(self, tab: Tab) -> str:
        """The key in that tab."""
        return self.img2img if tab == "img2img" and self.img2img is not None else self.key


_WORDS: tuple[Tab, ...] = ("txt2img",)
_PICTURES: tuple[Tab, ...] = ("img2img",)
AXES: tuple[LegacyAxis, ...] = (
    LegacyAxis(NOTHING, ""),
    LegacyAxis("Seed", "seeds.seed"),
    LegacyAxis("Var. seed", "seeds.subseed"),
    LegacyAxis("Var. strength", "seeds.subseed_strength"),
    LegacyAxis("Steps", "sampling.steps"),
    LegacyAxis("Hires steps", "hires.steps", _WORDS),
    LegacyAxis("CFG Scale", "sampling.cfg_scale"),
    LegacyAxis("Image CFG Scale", "image.edit_scale", _PICTURES),
    LegacyAxis("Prompt S/R", "prompt.replace"),
    LegacyAxis("Prompt order", "prompt.order"),
    LegacyAxis("Sampler", "sampling.sampler"),
    LegacyAxis("Hires sampler", "hires.sampler", _WORDS),
    LegacyAxis("Checkpoint name", "model.checkpoint"),
    LegacyAxis("Negative Guidance minimum sigma", "sampling.s_min_uncond"),
    LegacyAxis("Sigma Churn", "sampling.s_churn"),
    LegacyAxis("Sigma min", "sampling.s_tmin"),
    LegacyAxis("Sigma max", "sampling.s_tmax"),
    LegacyAxis("Sigma noise", "sampling.s_noise"),
    LegacyAxis("Schedule type", "sampling.scheduler"),
    LegacyAxis("Schedule min sigma", ABSENT),
    LegacyAxis("Schedule max sigma", ABSENT),
    LegacyAxis("Schedule rho", ABSENT),
    LegacyAxis("Beta schedule alpha", ABSENT),
    LegacyAxis("Beta schedule beta", ABSENT),
    LegacyAxis("Eta", "sampling.eta"),
    LegacyAxis("Clip skip", "prompt.clip_skip"),
    LegacyAxis("Denoising", "hires.denoising_strength", img2img="image.denoising_strength"),
    LegacyAxis("Initial noise multiplier", ABSENT, img2img="image.noise_multiplier"),
    LegacyAxis("Extra noise", ABSENT),
    LegacyAxis("Hires upscaler", "hires.upscaler", _WORDS),
    LegacyAxis("Cond. Image Mask Weight", ABSENT, _PICTURES),
    LegacyAxis("VAE", "model.vae"),
    LegacyAxis("Styles", "prompt.styles"),
    LegacyAxis("UniPC Order", ABSENT),
    LegacyAxis("Face restore", ABSENT),
    LegacyAxis("Token merging ratio", "features.token_merging"),
    LegacyAxis("Token merging ratio high-res", ABSENT),
    LegacyAxis("Always discard next-to-last sigma", ABSENT),
    LegacyAxis("SGM noise multiplier", ABSENT),
    LegacyAxis("Refiner checkpoint", "refiner.checkpoint"),
    LegacyAxis("Refiner switch at", "refiner.switch_at"),
    LegacyAxis("RNG source", ABSENT),
    LegacyAxis("FP8 mode", ABSENT),
    LegacyAxis("Size", "canvas.size"),
)
"""In A1111's order; the number of an axis is its place among those of the tab."""


def tab_of(request: GenerationRequest) -> Tab:
    """The tab that a request would be drawn from."""
    return "txt2img" if request.image is None else "img2img"


def labels_of(tab: Tab) -> list[str]:
    """The labels of a tab, in the order in which A1111 numbers them."""
    return [axis.label for axis in AXES if tab in axis.tabs]


def axis_at(tab: Tab, wanted: object) -> LegacyAxis:
    """The axis of that number or label. Raises `InvalidRequest` when the tab has none."""
    here = [axis for axis in AXES if tab in axis.tabs]
    if isinstance(wanted, int | float) and not isinstance(wanted, bool) and wanted in range(len(here)):
        return here[int(wanted)]
    if wanted is None or wanted == "":
        return here[0]
    for axis in here:
        if isinstance(wanted, str) and wanted.strip().casefold() == axis.label.casefold():
            return axis
    raise InvalidRequest(f"X/Y/Z plot: there is no axis {wanted!r:.60} in {tab}; there are 0 to {len(here) - 1}.")


def kind_of(axis: LegacyAxis, tab: Tab) -> Kind:
    """The kind of an axis. Raises `UnsupportedFeature` for one that has no counterpart."""
    key = axis.key_in(tab)
    if key == ABSENT:
        raise UnsupportedFeature(f"X/Y/Z plot: the axis {axis.label!r} is not available in this version.")
    return find_kind(key)


def kind_named(wanted: str, tab: Tab) -> Kind:
    """The kind of that key, label, or label of A1111's. Raises `InvalidRequest`."""
    name = wanted.strip().casefold()
    for axis in AXES:
        if axis.key and tab in axis.tabs and axis.label.casefold() == name:
            return kind_of(axis, tab)
    return find_kind(wanted)
