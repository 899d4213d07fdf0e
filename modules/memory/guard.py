"""What happens when memory runs out: let go, then try the next cheaper plan once, then say so."""

from __future__ import annotations

import gc
import logging
import traceback
from collections.abc import Callable
from typing import TypeVar

from modules.contracts.errors import OutOfMemory
from modules.contracts.plan import MemoryPlan
from modules.device.base import DeviceHandler
from modules.memory.planner import next_plan

log = logging.getLogger(__name__)
T = TypeVar("T")

ADVICE = "Make the picture or the batch smaller, or start with --medvram or --lowvram."


def recover(handler: DeviceHandler, error: BaseException | None = None) -> None:
    """Give back what a failed call left behind: the tensors in its frames, then garbage, then the allocator's cache.

    `error` is the exception that ended the call; the frames of its traceback (and of what caused it) lose their
    variables, so it can still be reported but not debugged further.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    gc.collect()
    handler.empty_cache()


def is_out_of_memory(error: BaseException, handler: DeviceHandler) -> bool:
    """Whether memory ran out, said by the backend or already translated."""
    return isinstance(error, OutOfMemory) or handler.is_out_of_memory(error)


def out_of_memory(handler: DeviceHandler, plan: MemoryPlan, error: BaseException) -> OutOfMemory:
    """The error for a person: what was needed, what is free, what to do."""
    free = handler.memory().free
    advice = None if "sequential_offload" in plan.measures and plan.max_batch <= 1 else ADVICE
    needed = plan.predicted_peak
    sizes = f" About {needed / 2**20:.0f} MiB were needed." if needed else ""
    sizes += f" {free / 2**20:.0f} MiB are free." if free is not None else ""
    name = handler.label
    return OutOfMemory(
        f"{name} ran out of memory.{sizes}",
        needed=needed,
        free=free,
        advice=advice or "The picture is too large for this device.",
    )


def attempt(
    plan: MemoryPlan,
    work: Callable[[MemoryPlan], T],
    handler: DeviceHandler,
    note: Callable[[str], None] = lambda text: None,
    used: Callable[[], MemoryPlan] | None = None,
) -> T:
    """`work(plan)`; when memory runs out, recover and do it once more with the next cheaper plan.

    `work` has to leave nothing half-done behind when it raises. When it refines the plan once it knows more, `used`
    tells which one it really took, and the cheaper one is looked for from there. Raises `OutOfMemory` when the second
    try fails too or no cheaper plan is left; any other error passes through.
    """
    try:
        return work(plan)
    except (RuntimeError, MemoryError, OutOfMemory) as error:
        if not is_out_of_memory(error, handler):
            raise
        recover(handler, error)
        plan = used() if used is not None else plan
        cheaper = next_plan(plan, accelerator=handler.accelerator)
        if cheaper is None:
            raise out_of_memory(handler, plan, error) from None
    text = f"Memory ran out; tried again with {', '.join(cheaper.measures) or 'a smaller batch'}."
    log.warning("%s", text)
    note(text)
    try:
        return work(cheaper)
    except (RuntimeError, MemoryError, OutOfMemory) as error:
        if not is_out_of_memory(error, handler):
            raise
        recover(handler, error)
        raise out_of_memory(handler, cheaper, error) from None
