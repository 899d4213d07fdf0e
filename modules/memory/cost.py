"""What a job is predicted to need.

The model of the peak, in bytes:

    beside + weights(measures) + max(denoise(rows), decode(pictures))
    denoise = rows · tokens · width · bytes · (DENOISER_LIVE + what ControlNets and adapters hand in)
              + rows · heads · tokens² · bytes · SCORES, where attention is quadratic (one head under attention_slicing)
    decode  = pictures · pixels · vae width · vae bytes · VAE_LIVE
              + pictures · cells² · vae bytes · SCORES, where attention is quadratic
              (one picture under vae_slicing, at most one tile under vae_tiling)

`weights` is everything that sits on the device at once: all parts, all but the text encoders, the largest part
(model_offload) or one leaf (sequential_offload). `beside` is the weights of ControlNets, adapters, image encoders,
networks and detectors, which no measure moves. The two LIVE constants say how many full-size activations are alive
together, and SCORES how many score matrices. They were counted on the real architectures with tensors that have shapes
but no memory (SD 1.5: 26.0 in the denoiser at every size and batch, SD 3: 18.0, SDXL: 15.8; decoder 6.0, encoder 5.0;
four score matrices). In the same way were counted the tensors that a ControlNet hands to a UNet: 5.1 for SD 1.5 and
SDXL; 2.1 and 0.6 more are alive inside the UNet with them than without. What a device adds (workspace of its
convolutions, fragmentation) is still to be measured there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from modules.support.latent_shape import factor_of, width_of

DENOISER_LIVE = 26
VAE_LIVE = 6
STEERED_LIVE = 12
"""With ControlNets: what one hands in (5.1) as its lane holds it, once more in a call merged of several lanes, and what
the denoiser makes of it (2.1). What several say is added up before."""
ADAPTED_LIVE = 4
"""With T2I-Adapters: 1.8 for each, held as above."""
SCORES = 4
LEAF_BYTES = 64 << 20
"""Room for the largest layer that sequential offload brings to the device, where it was not measured."""
SLICING = "vae_slicing"
TILING = "vae_tiling"
ATTENTION = "attention_slicing"
TEXT = "text_encoder_cpu"
MODEL = "model_offload"
SEQUENTIAL = "sequential_offload"


@dataclass(frozen=True, slots=True)
class Beside:
    """What a job has beside its model."""

    weights: int = 0
    """Bytes on the device of ControlNets, adapters, networks and the like, under any measure."""
    there: int = 0
    """Bytes of them that are on the device already."""
    live: int = 0
    """Full-size activations of each row that they hand to the denoiser."""


NOTHING = Beside()


@dataclass(frozen=True, slots=True)
class ModelBytes:
    """Bytes of the weights of each group, in the precision they are computed in."""

    denoiser: int
    text_encoder: int = 0
    vae: int = 0
    layer: int = LEAF_BYTES
    """What the largest layer holds by itself."""
    beside: Beside = NOTHING

    @property
    def total(self) -> int:
        """All groups of the model itself."""
        return self.denoiser + self.text_encoder + self.vae

    @classmethod
    def of(cls, components: Mapping[str, Any]) -> ModelBytes:
        """Measure loaded components by their names (`unet`, `transformer`, `text_encoder…`, `vae` and so on)."""
        sizes, layer = {"denoiser": 0, "text_encoder": 0, "vae": 0}, 0
        for name, module in components.items():
            group = group_of(name)
            if group is not None and hasattr(module, "parameters"):
                sizes[group] += tensor_bytes(module)
                layer = max(layer, *(tensor_bytes(part, recurse=False) for part in module.modules()))
        return cls(sizes["denoiser"], sizes["text_encoder"], sizes["vae"], layer)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the cost model has to know besides weights. The defaults are those of SD 1.5 in half precision."""

    latent_factor: int = 8
    """Pixels per latent cell along each axis."""
    width: int = 320
    """Channels of the denoiser's largest activation."""
    cells_per_token: int = 1
    """1 for a UNet, the square of the patch size for a transformer."""
    heads: int = 8
    bytes: int = 2
    """Bytes of one value of the denoiser."""
    vae_width: int = 128
    vae_bytes: int = 2
    rows_per_picture: int = 2
    """2 with classifier-free guidance, else 1."""
    vae_tile: int = 512
    """Side in pixels of one tile under vae_tiling."""
    accelerator: bool = True
    """The device has memory of its own (`DeviceHandler.accelerator`)."""
    max_rows: int = 16
    """Largest merged batch that the settings allow, in rows of the denoiser."""
    quadratic: bool = False
    """`DeviceHandler.attention_is_quadratic`."""

    @property
    def apart(self) -> tuple[ModelFacts, ModelFacts]:
        """The same as if there were nothing but the denoiser, and nothing but the VAE: for jobs in which the two do not
        see pictures of one size."""
        return replace(self, vae_width=0), replace(self, width=0, cells_per_token=1 << 60)


def group_of(name: str) -> str | None:
    """The group of a component by its name in the pipeline; None for tokenizers, schedulers and the like.

    Behind an `@` the name may say whose component it is, where those of two models are together.
    """
    name = name.partition("@")[0]
    if name in ("unet", "transformer", "prior", "decoder"):
        return "denoiser"
    if name.startswith("text_encoder") or name == "vision_encoder":
        return "text_encoder"
    return "vae" if name == "vae" else None


def tensor_bytes(module: Any, *, recurse: bool = True) -> int:
    """Bytes of all parameters and buffers of a module, shared ones once; without `recurse` only its own."""
    tensors: Iterable[Any] = (*module.parameters(recurse), *module.buffers(recurse))
    return sum({id(tensor): tensor.numel() * tensor.element_size() for tensor in tensors}.values())


def predict(
    model: ModelBytes, measures: tuple[str, ...], pixels: tuple[int, int], pictures: int, rows: int, facts: ModelFacts
) -> int:
    """The peak in bytes under these measures; see the formula at the top of the file."""
    width, height = pixels
    cells = -(-width // facts.latent_factor) * -(-height // facts.latent_factor)
    denoise = _denoise(cells, rows, ATTENTION in measures, facts, model.beside.live)
    area = width * height
    if TILING in measures:
        area = min(area, facts.vae_tile**2)
        cells = min(cells, (facts.vae_tile // facts.latent_factor) ** 2)
    together = 1 if SLICING in measures else pictures
    decode = together * area * facts.vae_width * facts.vae_bytes * VAE_LIVE
    if facts.quadratic:
        decode += together * cells * cells * facts.vae_bytes * SCORES
    beside = model.beside.weights
    if SEQUENTIAL in measures:
        return beside + min(model.layer, model.total) + max(denoise, decode)
    if MODEL in measures:
        return beside + max(model.text_encoder, model.denoiser + denoise, model.vae + decode)
    weights = beside + model.total - (model.text_encoder if TEXT in measures else 0)
    return weights + max(denoise, decode)


def _denoise(cells: int, rows: int, sliced: bool, facts: ModelFacts, more: int) -> int:
    tokens = -(-cells // facts.cells_per_token)
    total = rows * tokens * facts.width * facts.bytes * (DENOISER_LIVE + more)
    if facts.quadratic:
        total += (1 if sliced else rows * facts.heads) * tokens * tokens * facts.bytes * SCORES
    return total


def facts_of(components: Mapping[str, Any], facts: ModelFacts | None = None) -> ModelFacts:
    """`facts` with what the configs of loaded components say; the rest stays as given."""
    facts = facts or ModelFacts()
    denoisers = {name: module for name, module in components.items() if group_of(name) == "denoiser"}
    # Of two the one that draws the autoencoder's latents, which are by far the larger.
    denoiser = denoisers.get("decoder") or next(iter(denoisers.values()), None)
    if denoiser is not None:
        width, heads, cells = _denoiser_shape(denoiser.config, facts.heads)
        facts = replace(facts, bytes=_value_bytes(denoiser), width=width, heads=heads, cells_per_token=cells)
    vae = components.get("vae")
    if vae is not None:
        width, factor = width_of(vae.config) or 64, factor_of(vae.config) or 1
        tile = int(getattr(vae, "tile_sample_min_size", getattr(vae, "tile_sample_min_height", facts.vae_tile)))
        facts = replace(facts, vae_width=width, vae_bytes=_value_bytes(vae), latent_factor=factor, vae_tile=tile)
    return facts


def _denoiser_shape(config: Any, heads: int) -> tuple[int, int, int]:
    """Width, heads and latent cells per token."""
    channels = getattr(config, "block_out_channels", None)
    if channels:
        return int(channels[0]), heads, int(getattr(config, "patch_size", None) or 1) ** 2
    if getattr(config, "dim", None):
        # Z-Image names its width; its patches are all of one size, by which their list begins.
        return int(config.dim), int(config.n_heads), int(config.all_patch_size[0]) ** 2
    if getattr(config, "model_dim", None):  # Kandinsky: a head has the numbers of all axes, a patch one of time
        heads = int(config.model_dim) // sum(config.axes_dims)
        return int(config.model_dim), heads, math.prod(config.patch_size)
    heads = getattr(config, "num_attention_heads", None) or heads
    size = getattr(config, "attention_head_dim", None) or 64
    # Flux packs two by two cells into its channels and says patch_size 1; a cell of Flux.2 is packed already.
    packed = getattr(config, "in_channels", 16) >= 64 and not hasattr(config, "timestep_guidance_channels")
    patch = 2 if packed else getattr(config, "patch_size", 1)
    if isinstance(patch, tuple | list):  # of time, height and width
        return int(heads * size), int(heads), math.prod(patch)
    return int(heads * size), int(heads), int(patch * patch)


def _value_bytes(module: Any) -> int:
    first = next(iter(module.parameters()), None)
    return 4 if first is None else int(first.element_size())
