"""A shallow diffusers pipeline for one lane over modules that all lanes share.

A pipeline object keeps the state of its call (`_guidance_scale`, `_interrupt`, its scheduler), so every lane has one of
its own. It holds stand-ins instead of the modules, so building it costs no memory and its calls go through the
multiplexer.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import diffusers
import torch

from modules.processing_diffusers.first_stage import FirstStage
from modules.processing_diffusers.tail import names_of_arguments
from modules.prompts.spellings import Spellings

OWN: dict[str, type[Any]] = {"FirstStage": FirstStage}
"""Pipelines that are not those of diffusers."""
_SWITCHES = {"requires_safety_checker": False, "add_watermarker": False}


class _SilentBar:
    """A progress bar that nobody looks at; progress is told by events."""

    def update(self, count: int = 1) -> None:
        """Nothing to draw."""


class LaneMixin:
    """What differs from a plain pipeline: where it runs is told, not guessed, and nothing is drawn on the terminal."""

    lane_device: torch.device

    @property
    def _execution_device(self) -> torch.device:
        return self.lane_device

    @contextlib.contextmanager
    def progress_bar(self, iterable: Any = None, total: int | None = None) -> Iterator[_SilentBar]:
        """A bar that does nothing."""
        yield _SilentBar()

    def maybe_free_model_hooks(self) -> None:
        """Hooks belong to the shared modules and outlive the lane."""


@functools.cache
def lane_class(name: str) -> type[Any]:
    """The class of that name, our own or that of diffusers, with `LaneMixin` in front. `AttributeError` for others."""
    plain = OWN.get(name) or getattr(diffusers, name)
    return type(f"Lane{name}", (LaneMixin, plain), {"__init__": plain.__init__})


def build_pipeline(name: str, parts: Mapping[str, Any], device: torch.device) -> Any:
    """A pipeline of the class `name` with those parts; what it wants besides stays empty, the scheduler too."""
    kind = lane_class(name)
    wanted = inspect.signature(kind.__init__).parameters
    arguments = {key: parts.get(key) for key in wanted if key not in ("self", "args", "kwargs")}
    for key, value in _SWITCHES.items():
        if key in wanted:
            arguments[key] = value
    if "force_zeros_for_empty_prompt" in wanted:
        arguments["force_zeros_for_empty_prompt"] = True
    if "requires_aesthetics_score" in wanted:
        arguments["requires_aesthetics_score"] = False
    pipeline = kind(**{**arguments, "scheduler": None})
    pipeline.lane_device = device
    return pipeline


def rescales_itself(kind: type[Any]) -> bool:
    """Whether a pipeline class knows `guidance_rescale`."""
    return "guidance_rescale" in names_of_arguments(kind.__call__)


class LockedTokenizer:
    """A tokenizer that several lanes share. Its compiled core keeps padding and truncation as state and refuses to be
    entered twice at once, so calls take turns."""

    def __init__(self, tokenizer: Any, lock: threading.Lock, spellings: Spellings | None = None) -> None:
        """`spellings` are what is known of a tokenizer that reads words apart, guarded by the same lock."""
        self._tokenizer = tokenizer
        self._lock = lock
        self._spellings = spellings

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_tokenizer"], name)

    def __call__(self, *given: Any, **named: Any) -> Any:
        with self._lock:
            return self._tokenizer(*given, **named)

    def ids(self, text: str) -> list[int]:
        """Token ids of the whole text without begin and end."""
        with self._lock:
            backend = self._tokenizer.backend_tokenizer
            backend.no_truncation()
            backend.no_padding()
            if self._spellings is not None:
                return self._spellings.ids(text, backend)
            found: list[int] = backend.encode(text, add_special_tokens=False).ids
            return found

    def tokenize(self, *given: Any, **named: Any) -> Any:
        """As the tokenizer's own, one lane at a time."""
        with self._lock:
            return self._tokenizer.tokenize(*given, **named)

    def batch_decode(self, *given: Any, **named: Any) -> Any:
        """As the tokenizer's own, one lane at a time."""
        with self._lock:
            return self._tokenizer.batch_decode(*given, **named)
