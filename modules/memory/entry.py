"""Standing in front of a module's calls: `forward`, and `encode` and `decode` where it has them.

Why not module hooks: an autoencoder is called by `encode` and `decode`, which hooks do not see end, and a hook does not
run when the call raises. A wrapper round the call does both, so a lock taken in front of it is always given back.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

CALLS = ("forward", "encode", "decode")
Around = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""Gets the original call with its arguments and does it."""

_MISSING = object()


class ExecutionMark:
    """Tells on which device an offloaded module computes, in the attribute `_hf_hook` that diffusers looks at."""

    def __init__(self, device: str, arrive: Callable[[], None] = lambda: None) -> None:
        """`arrive` brings the weights to where they stay between calls."""
        import torch

        self.execution_device = torch.device(device)
        self.arrive = arrive


def summon(module: Any) -> None:
    """Have an offloaded module's weights where the next call will use them, so that a change made now is seen by that
    call and can be taken back after it. Nothing happens to a module that is not offloaded as a whole."""
    mark = vars(module).get("_hf_hook")
    if isinstance(mark, ExecutionMark):
        mark.arrive()


@contextlib.contextmanager
def standing_before(module: Any, around: Around) -> Iterator[None]:
    """Send every call of `module` through `around` until the block ends; then its attributes are as before.

    Whoever replaces the same attribute inside the block has to put it back first; `RuntimeError` if not.
    """
    before = {name: vars(module).get(name, _MISSING) for name in CALLS if callable(getattr(module, name, None))}
    placed = {}
    for name in before:
        placed[name] = functools.partial(_call, around, getattr(module, name))
        vars(module)[name] = placed[name]
    try:
        yield
    finally:
        for name, value in before.items():
            if vars(module).get(name) is not placed[name]:
                raise RuntimeError(f"{type(module).__name__}.{name} was replaced and not put back.")
            put_back(module, name, value)


def _call(around: Around, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return around(original, args, kwargs)


@contextlib.contextmanager
def attribute(module: Any, name: str, value: Any) -> Iterator[None]:
    """Set an instance attribute of a module until the block ends."""
    before = vars(module).get(name, _MISSING)
    vars(module)[name] = value
    try:
        yield
    finally:
        put_back(module, name, before)


def put_back(module: Any, name: str, value: Any) -> None:
    """Give an instance attribute its earlier value, or take it away when it had none."""
    if value is _MISSING:
        vars(module).pop(name, None)
    else:
        vars(module)[name] = value
