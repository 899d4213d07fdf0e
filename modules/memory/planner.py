"""How a job is made to fit: a ladder of measures from the fastest to the thriftiest, climbed as far as the cost model
(`modules.memory.cost`) says."""

from __future__ import annotations

from dataclasses import replace

from modules.bootstrap.options import VramMode
from modules.contracts.plan import MemoryPlan
from modules.memory.cost import ATTENTION, MODEL, SEQUENTIAL, SLICING, TEXT, TILING, ModelBytes, ModelFacts, predict

MARGIN = 0.92
"""Share of the free memory that a plan may fill; the rest is fragmentation and the backend's own."""

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


def plan_memory(
    model_bytes: ModelBytes,
    width: int,
    height: int,
    batch: int,
    free: int | None,
    vram: VramMode = "normal",
    facts: ModelFacts | None = None,
    joined: int = 0,
) -> MemoryPlan:
    """The fastest plan that is predicted to fit `batch` pictures of `width` by `height` pixels.

    `free` is the bytes that this job may take for weights and activations together, memory that its own resident
    weights fill already included; None where nothing is known, and then only `vram` speaks. `vram` is the wish of
    `--medvram` (at least model_offload) and `--lowvram` (sequential_offload); a CPU has neither. `max_batch` counts
    rows of the denoiser and is never less than one picture needs. `joined` is how many rows come in one call where
    prompts are joined by `AND`, 0 where none are; such calls are cut to `max_batch` rows, so what does not fit beside
    the rest takes time and no memory. When nothing fits, the thriftiest plan comes back with its prediction, because
    the prediction may be wrong.
    """
    facts = facts or ModelFacts()
    ladder = ACCELERATOR_LADDER if facts.accelerator else CPU_LADDER
    first = _first_rung(ladder, vram) if facts.accelerator else 0
    if not facts.quadratic:
        # Where kernels avoid the score matrix, slicing attention only costs time.
        ladder = tuple(tuple(name for name in rung if name != ATTENTION) for rung in ladder)
    pixels = (width, height)
    least = facts.rows_per_picture if joined else batch * facts.rows_per_picture
    room = None if free is None else int(free * MARGIN)
    for measures in ladder[first:]:
        peak = predict(model_bytes, measures, pixels, batch, least, facts)
        if room is None or peak <= room:
            most = _largest(model_bytes, measures, pixels, batch, room, facts)
            if joined:
                peak = predict(model_bytes, measures, pixels, batch, min(joined, most), facts)
            return MemoryPlan(measures, peak, most)
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


def rests_in_main_memory(size_bytes: int, free: int | None, vram: VramMode, *, accelerator: bool = True) -> bool:
    """Whether a model of that many bytes is to be loaded into main memory rather than onto the device.

    So it is under `--medvram` and `--lowvram`, and when the weights alone would not fit into `free` bytes. Such a model
    can compute under `model_offload` or `sequential_offload` only: plan for it with `vram` "medvram" at least, and do
    not count its weights as memory of the device that it may use.
    """
    if not accelerator:
        return False
    return vram != "normal" or (free is not None and size_bytes > free * MARGIN)


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


def join_plans(one: MemoryPlan, other: MemoryPlan) -> MemoryPlan:
    """The plan under which both models of a job run in turn: the measures of both, on both."""
    peaks = [plan.predicted_peak for plan in (one, other) if plan.predicted_peak is not None]
    return replace(
        one,
        measures=_joined(frozenset(one.measures), other.measures),
        predicted_peak=max(peaks, default=None),
        max_batch=min(one.max_batch, other.max_batch),
    )


def _joined(taken: frozenset[str], more: tuple[str, ...]) -> tuple[str, ...]:
    """Both sets of measures in the order in which they are taken, without those that another one covers."""
    names = taken.union(more)
    covered = frozenset().union(*(COVERED.get(name, frozenset()) for name in names))
    return tuple(name for name in ORDER if name in names - covered)
