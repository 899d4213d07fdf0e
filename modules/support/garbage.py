"""What Python's collector goes through. A full pass holds the interpreter, and with it every lane and every answer.

What was imported stays to the end: 650,000 objects with torch, diffusers and a model that stands. Going through them
takes a third of a second and finds nothing, so they are set aside once they stand, and the collector keeps to the rest.
Reference counts go on freeing what is set aside; only what refers to itself would stay, and `collect_all` finds that.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def without_passes() -> Iterator[None]:
    """No passes while libraries are imported: the heap grows, each pass is longer than the last, and none finds much.

    It holds for all threads, so the block is to be short. Passes go on afterwards where they did before.
    """
    going = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if going:
            gc.enable()


def set_aside() -> None:
    """Collect, then keep what is left out of later passes, until `collect_all` or the end of the process."""
    gc.collect()
    gc.freeze()


def collect_all() -> None:
    """Collect among everything, what was set aside included, which stays so. Takes up to half a second."""
    aside = gc.get_freeze_count() > 0
    gc.unfreeze()
    gc.collect()
    if aside:
        gc.freeze()
