"""How a job is made to fit: a cost model, and a ladder of measures from the fastest to the thriftiest.

The model of the peak, in bytes:

    weights(measures) + max(denoise(rows), decode(pictures))
    denoise = rows · tokens · width · bytes · DENOISER_LIVE
              + rows · heads · tokens² · bytes · 2, where attention is quadratic (one head under attention_slicing)
    decode  = pictures · pixels · vae width · vae bytes · VAE_LIVE
              + pictures · cells² · vae bytes · 2, where attention is quadratic
              (one picture under vae_slicing, at most one tile under vae_tiling)

`weights` is everything that sits on the device at once: all parts, all but the text encoders, the largest part
(model_offload) or one leaf (sequential_offload). The two LIVE constants say how many full-size activations are alive
together. They are estimates from the layers of SD 1.5 and are to be calibrated on real devices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from modules.bootstrap.options import VramMode
from modules.contracts.plan import MemoryPlan

DENOISER_LIVE = 48
VAE_LIVE = 12
LEAF_BYTES = 64 << 20
"""Room for the largest leaf that sequential offload brings to the device."""
MARGIN = 0.92
"""Share of the free memory that a plan may fill; the rest is fragmentation and the backend's own."""

SLICING = "vae_slicing"
TILING = "vae_tiling"
ATTENTION = "attention_slicing"
TEXT = "text_encoder_cpu"
MODEL = "model_offload"
SEQUENTIAL = "sequential_offload"

ACCELERATOR_LADDER: tuple[tuple[str, ...], ...] = (
    (),
    (SLICING,),
    (SLICING, TILING),
    (TEXT, SLICING, TILING),
    (MODEL, SLICING, TILING),
    (MODEL, ATTENTION, SLICING, TILING),
    (SEQUENTIAL, ATTENTION, SLICING, TILING),
)
CPU_LADDER: tuple[tuple[str, ...], ...] = (
    (),
    (SLICING,),
    (SLICING, TILING),
    (ATTENTION, SLICING, TILING),
)
"""On a CPU weights are where they are; offloading them would only copy."""
COVERED = {MODEL: frozenset({TEXT}), SEQUENTIAL: frozenset({TEXT, MODEL})}
"""What a measure does better than others, which therefore leave when it comes."""
ORDER = (TEXT, MODEL, SEQUENTIAL, ATTENTION, SLICING, TILING)


@dataclass(frozen=True, slots=True)
class ModelBytes:
    """Bytes of the weights of each group, in the precision they are computed in."""

    denoiser: int
    text_encoder: int = 0
    vae: int = 0

    @property
    def total(self) -> int:
        """All groups."""
        return self.denoiser + self.text_encoder + self.vae

    @classmethod
    def of(cls, components: Mapping[str, Any]) -> ModelBytes:
        """Measure loaded components by their names (`unet` or `transformer`, `text_encoder…`, `vae`)."""
        sizes = {"denoiser": 0, "text_encoder": 0, "vae": 0}
        for name, module in components.items():
            group = group_of(name)
            if group is not None and hasattr(module, "parameters"):
                sizes[group] += tensor_bytes(module)
        return cls(**sizes)


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


def group_of(name: str) -> str | None:
    """The group of a component by its name in the pipeline; None for tokenizers, schedulers and the like."""
    if name in ("unet", "transformer"):
        return "denoiser"
    if name.startswith("text_encoder"):
        return "text_encoder"
    return "vae" if name == "vae" else None


def tensor_bytes(module: Any) -> int:
    """Bytes of all parameters and buffers of a module, shared ones once."""
    tensors: Iterable[Any] = (*module.parameters(), *module.buffers())
    return sum({id(tensor): tensor.numel() * tensor.element_size() for tensor in tensors}.values())


def predict(
    model: ModelBytes, measures: tuple[str, ...], pixels: tuple[int, int], pictures: int, rows: int, facts: ModelFacts
) -> int:
    """The peak in bytes under these measures; see the formula at the top of the file."""
    width, height = pixels
    cells = -(-width // facts.latent_factor) * -(-height // facts.latent_factor)
    denoise = _denoise(cells, rows, ATTENTION in measures, facts)
    area = width * height
    if TILING in measures:
        area = min(area, facts.vae_tile**2)
        cells = min(cells, (facts.vae_tile // facts.latent_factor) ** 2)
    together = 1 if SLICING in measures else pictures
    decode = together * area * facts.vae_width * facts.vae_bytes * VAE_LIVE
    if facts.quadratic:
        decode += together * cells * cells * facts.vae_bytes * 2
    if SEQUENTIAL in measures:
        return min(LEAF_BYTES, model.total) + max(denoise, decode)
    if MODEL in measures:
        return max(model.text_encoder, model.denoiser + denoise, model.vae + decode)
    weights = model.total - (model.text_encoder if TEXT in measures else 0)
    return weights + max(denoise, decode)


def _denoise(cells: int, rows: int, sliced: bool, facts: ModelFacts) -> int:
    tokens = -(-cells // facts.cells_per_token)
    total = rows * tokens * facts.width * facts.bytes * DENOISER_LIVE
    if facts.quadratic:
        total += (1 if sliced else rows * facts.heads) * tokens * tokens * facts.bytes * 2
    return total


def plan_memory(
    model_bytes: ModelBytes,
    width: int,
    height: int,
    batch: int,
    free: int | None,
    vram: VramMode = "normal",
    facts: ModelFacts = ModelFacts(),
) -> MemoryPlan:
    """The fastest plan that is predicted to fit `batch` pictures of `width` by `height` pixels.

    `free` is the bytes that this job may take for weights and activations together, memory that its own resident
    weights fill already included; None where nothing is known, and then only `vram` speaks. `vram` is the wish of
    `--medvram` (at least model_offload) and `--lowvram` (sequential_offload); a CPU has neither. `max_batch` counts
    rows of the denoiser and is never less than one picture needs. When nothing fits, the thriftiest plan comes back
    with its prediction, because the prediction may be wrong.
    """
    ladder = ACCELERATOR_LADDER if facts.accelerator else CPU_LADDER
    first = _first_rung(ladder, vram) if facts.accelerator else 0
    if not facts.quadratic:
        # Where kernels avoid the score matrix, slicing attention only costs time.
        ladder = tuple(tuple(name for name in rung if name != ATTENTION) for rung in ladder)
    pixels, own = (width, height), batch * facts.rows_per_picture
    room = None if free is None else int(free * MARGIN)
    for measures in ladder[first:]:
        peak = predict(model_bytes, measures, pixels, batch, own, facts)
        if room is None or peak <= room:
            return MemoryPlan(measures, peak, _largest(model_bytes, measures, pixels, batch, room, facts))
    return MemoryPlan(ladder[-1], peak, facts.rows_per_picture)


def _first_rung(ladder: tuple[tuple[str, ...], ...], vram: VramMode) -> int:
    needed = {"normal": None, "medvram": MODEL, "lowvram": SEQUENTIAL}[vram]
    return next(rung for rung, measures in enumerate(ladder) if needed is None or needed in measures)


def _largest(
    model: ModelBytes,
    measures: tuple[str, ...],
    pixels: tuple[int, int],
    pictures: int,
    room: int | None,
    facts: ModelFacts,
) -> int:
    """The most rows that fit, up to what the settings allow."""
    least = facts.rows_per_picture
    for rows in range(facts.max_rows, least, -1):
        if room is None or predict(model, measures, pixels, pictures, rows, facts) <= room:
            return rows
    return least


def next_plan(plan: MemoryPlan, *, accelerator: bool = True) -> MemoryPlan | None:
    """The next cheaper plan, to be tried once after memory ran out; None when there is nothing left to save.

    It takes the next rung of the ladder and half the merged batch; on the last rung only the batch shrinks.
    `predicted_peak` is None, because the prediction has just proved wrong.
    """
    ladder = ACCELERATOR_LADDER if accelerator else CPU_LADDER
    taken = frozenset(plan.measures)
    reached = taken.union(*(COVERED.get(name, frozenset()) for name in taken))
    rung = max(step for step, measures in enumerate(ladder) if reached.issuperset(measures))
    half = max(1, plan.max_batch // 2)
    if rung + 1 < len(ladder):
        return replace(plan, measures=_joined(taken, ladder[rung + 1]), predicted_peak=None, max_batch=half)
    return replace(plan, predicted_peak=None, max_batch=half) if plan.max_batch > 1 else None


def _joined(taken: frozenset[str], more: tuple[str, ...]) -> tuple[str, ...]:
    """Both sets of measures in the order in which they are taken, without those that another one covers."""
    names = taken.union(more)
    covered = frozenset().union(*(COVERED.get(name, frozenset()) for name in names))
    return tuple(name for name in ORDER if name in names - covered)


def facts_of(components: Mapping[str, Any], facts: ModelFacts = ModelFacts()) -> ModelFacts:
    """`facts` with what the configs of loaded components say; the rest stays as given."""
    denoiser = next((module for name, module in components.items() if group_of(name) == "denoiser"), None)
    if denoiser is not None:
        width, heads, cells = _denoiser_shape(denoiser.config, facts.heads)
        facts = replace(facts, bytes=_value_bytes(denoiser), width=width, heads=heads, cells_per_token=cells)
    vae = components.get("vae")
    if vae is not None:
        channels = getattr(vae.config, "block_out_channels", None) or (64,)
        factor = 2 ** (len(channels) - 1)
        facts = replace(facts, vae_width=channels[0], vae_bytes=_value_bytes(vae), latent_factor=factor)
    return facts


def _denoiser_shape(config: Any, heads: int) -> tuple[int, int, int]:
    """Width, heads and latent cells per token."""
    channels = getattr(config, "block_out_channels", None)
    if channels:
        return int(channels[0]), heads, 1
    heads = getattr(config, "num_attention_heads", None) or heads
    size = getattr(config, "attention_head_dim", None) or 64
    # Flux packs two by two cells into its channels and says patch_size 1.
    packed = getattr(config, "in_channels", 16) >= 64
    patch = 2 if packed else getattr(config, "patch_size", 1)
    return int(heads * size), int(heads), int(patch * patch)


def _value_bytes(module: Any) -> int:
    first = next(iter(module.parameters()), None)
    return 4 if first is None else int(first.element_size())
