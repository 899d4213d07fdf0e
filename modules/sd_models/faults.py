"""Turns what the libraries throw at a broken model into one sentence that names the model and the part."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from modules.contracts.errors import BrokenModel, StudioError

FAULTS = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    AssertionError,
    ZeroDivisionError,
    StopIteration,
)
"""What the libraries raise for a config, tokenizer or set of weights that makes no sense. Errors of the device, such as
running out of memory, are RuntimeErrors and pass through."""


@contextlib.contextmanager
def blaming(model: str, part: str) -> Iterator[None]:
    """Within the block, every fault becomes a `BrokenModel` that begins with the model's and the part's name."""
    try:
        yield
    except BrokenModel as error:
        raise BrokenModel(f"{model}: {part}: {error.message.rstrip('.')}.") from error
    except StudioError:
        raise
    except FAULTS as error:
        raise BrokenModel(f"{model}: {part} cannot be used: {one_line(error)}.") from error


def one_line(error: BaseException) -> str:
    """The first line of a library's message, without its end mark."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")[:300]
