"""Rows of the catalogue: models, VAEs, samplers, schedules, upscalers and model families, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

Layout = Literal["diffusers", "single_file", "hub"]


@dataclass(frozen=True, slots=True)
class Family:
    """A model family as data. Whoever needs a fact of a family reads it here instead of asking for its name."""

    id: str
    """As in `configs/families.json`: `sd15`, `sdxl-inpaint`, `flux` and so on."""
    label: str
    adapter: str
    """Which adapter of the engine draws it: `sd`, `sdxl`, `sd3`, `flux` and so on."""
    pipelines: Mapping[str, str]
    """Diffusers pipeline class per mode: `txt2img`, `img2img`, `inpaint`, `first_frame`."""
    denoiser: str
    """Component name of the denoiser: `unet`, `transformer` or `prior`."""
    text_encoders: tuple[str, ...]
    latent_channels: int
    latent_factor: int
    """Pixels per latent cell along each axis."""
    size_multiple: int
    """Width and height have to be multiples of this many pixels."""
    native_size: int
    """Side in pixels at which the family draws best, when the model's own config does not say."""
    defaults: Mapping[str, Any]
    """Default `sampler`, `scheduler`, `steps`, `cfg_scale`; of a family of films also `frames` and `fps`. With
    `deep_shrink`, its `level` and `end`, pictures above the native size are drawn so."""
    prediction: Literal["epsilon", "v_prediction", "flow"]
    masked_channels: bool = False
    """The denoiser takes mask and masked picture as extra channels."""
    seen_channels: bool = False
    """The denoiser takes the latents of the picture it is to change as extra channels, beside those it draws."""
    seen_tokens: bool = False
    """The denoiser takes the picture it is to change as further tokens behind those it draws."""
    decoder: str = ""
    """Component name of a second denoiser, which draws the autoencoder's latents from what the first one drew."""
    unshifted: bool = False
    """Latents are scaled alone, also where the config of the autoencoder has a shift for another family's."""
    frame_factor: int = 0
    """Frames of a film that one latent frame after the first stands for; 0 for families of pictures."""
    first_frame: Literal["", "kept", "shown"] = ""
    """How a film begins with a given picture: `kept` in its place while all that follows is drawn, or `shown` to the
    denoiser beside what it draws; empty where films begin with none."""
    capabilities: frozenset[str] = frozenset()
    """Words such as `negative_prompt`, `clip_skip`, `cfg_rescale`, `tiling`, `img2img`, `inpaint`, `hires`."""

    @property
    def pipeline(self) -> str:
        """The diffusers class that a folder of this family names: the inpainting one for nine-channel models, else the
        plain one, or what the family has in its place."""
        if self.masked_channels:
            return self.pipelines["inpaint"]
        return next(self.pipelines[mode] for mode in ("txt2img", "img2img", "first_frame") if mode in self.pipelines)

    def drawn_with(self, model: ModelEntry) -> Family:
        """This family with what the model itself says: its own defaults and the shape of its latents, if it does."""
        details = model.details
        shape = {name: details.get(name, getattr(self, name)) for name in ("latent_channels", "latent_factor")}
        return replace(self, defaults={**self.defaults, **details.get("defaults", {})}, **shape)


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model in the catalogue. `problem` is None when it can be used."""

    name: str
    """Catalogue name: the file name without its ending, the folder name or the hub id. Unique."""
    path: Path
    layout: Layout
    family: str | None
    """`Family.id`, or None when unknown or broken."""
    native_size: int
    """Side in pixels at which this model draws best."""
    short_hash: str | None = None
    """First ten hex digits of the SHA-256, once known."""
    sha256: str | None = None
    size_bytes: int = 0
    problem: str | None = None
    """Why it cannot be used, as one sentence; None when it can."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Anything else the header told: dtype, prediction type, variant, shards, metadata."""

    @property
    def title(self) -> str:
        """A1111's title: `name [hash]`, or the name alone while the hash is not known."""
        return f"{self.name} [{self.short_hash}]" if self.short_hash else self.name


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A VAE, upscaler model or other single file of the catalogue."""

    name: str
    path: Path
    kind: str
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class SamplerEntry:
    """One sampler of the table in `configs/`."""

    name: str
    """A1111's display name, e.g. `DPM++ 2M`."""
    aliases: tuple[str, ...]
    flow: bool
    """It can drive flow-matching models."""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScheduleEntry:
    """One sigma schedule (A1111 calls it scheduler)."""

    name: str
    """Internal name, e.g. `karras`."""
    label: str
    """Display name, e.g. `Karras`."""
    aliases: tuple[str, ...] = ()
    default_rho: float = -1.0
    need_inner_model: bool = False


@dataclass(frozen=True, slots=True)
class UpscalerEntry:
    """A way to make a picture larger. Latent ones work before decoding and only in the hires pass."""

    name: str
    latent: bool
    scale: float = 4.0
    path: Path | None = None
    """The weights, for one that is a model."""
    problem: str | None = None
    """Why it cannot be used, as one sentence; None when it can."""


RestorerKind = Literal["gfpgan", "restoreformer", "codeformer"]


@dataclass(frozen=True, slots=True)
class RestorerEntry:
    """A network that draws a face of 512 pixels anew from what is left of it."""

    name: str
    kind: RestorerKind | None
    """None for what cannot be used."""
    path: Path
    problem: str | None = None
    """Why it cannot be used, as one sentence; None when it can."""


class Catalog(Protocol):
    """What there is to choose from. Reading it never imports torch, and only `wait` waits for hashing."""

    def models(self) -> tuple[ModelEntry, ...]:
        """Usable models first, each group by name."""

    def find_model(self, name: str | None) -> ModelEntry:
        """The model of that name, title or hash; None is the default one.

        Raises `UnknownModel` (with near names) or `BrokenModel` (with the reason).
        """

    def wait(self, entry: ModelEntry, timeout: float | None = None) -> ModelEntry:
        """The entry with its hash, waiting for it up to `timeout` seconds; without one when it cannot be had."""

    def vaes(self) -> tuple[FileEntry, ...]:
        """Separate VAE files and folders."""

    def text_encoders(self) -> tuple[FileEntry, ...]:
        """Separate text encoders, files and folders."""

    def default_vae(self) -> str | None:
        """Name of the VAE that whoever started the program gave; None leaves each checkpoint its own."""

    def samplers(self) -> tuple[SamplerEntry, ...]:
        """All samplers in display order."""

    def schedulers(self) -> tuple[ScheduleEntry, ...]:
        """All sigma schedules in display order, `Automatic` first."""

    def upscalers(self) -> tuple[UpscalerEntry, ...]:
        """Latent and image upscalers."""

    def restorers(self) -> tuple[RestorerEntry, ...]:
        """Restorers of faces, by name."""

    def families(self) -> tuple[Family, ...]:
        """All known families."""

    def family(self, id: str) -> Family:
        """The family of that id; raises `KeyError` for an unknown id."""

    def refresh(self) -> None:
        """Look at the folders again."""
