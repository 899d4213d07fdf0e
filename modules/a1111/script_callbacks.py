"""A1111's `modules.script_callbacks`. A callback belongs to the extension whose module registers it.

Those that have a function here are called in every job, in the order of registration, where a file of the extension
registers them when it is imported. The others are taken, and the log says that they are never called.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from modules.a1111.house import Withheld
from modules.a1111.importing import package_of

log = logging.getLogger(__name__)
TAKEN = (
    *("app_started", "before_reload", "ui_tabs", "ui_train_tabs", "image_saved"),
    *("extra_noise", "before_component", "after_component", "image_grid", "infotext_pasted", "script_unloaded"),
    *("before_ui", "list_optimizers", "list_unets", "before_token_counter"),
)
Callback = Callable[..., Any]
KEPT = "_a1111_callbacks"


@dataclass(slots=True)
class CFGDenoiserParams:
    """Latents (pictures, C, H, W) on their way into a step; `x` may be replaced or changed in place."""

    x: Any
    sigma: float
    sampling_step: int
    total_sampling_steps: int
    image_cond: Any = field(default_factory=lambda: Withheld("CFGDenoiserParams.image_cond"))
    text_cond: Any = field(default_factory=lambda: Withheld("CFGDenoiserParams.text_cond"))
    text_uncond: Any = field(default_factory=lambda: Withheld("CFGDenoiserParams.text_uncond"))
    denoiser: Any = field(default_factory=lambda: Withheld("CFGDenoiserParams.denoiser"))


@dataclass(slots=True)
class CFGDenoisedParams:
    """The denoiser's answers, those with the prompt first, then those without (2 x pictures, C, H, W)."""

    x: Any
    sampling_step: int
    total_sampling_steps: int
    inner_model: Any = field(default_factory=lambda: Withheld("CFGDenoisedParams.inner_model"))


@dataclass(slots=True)
class AfterCFGCallbackParams:
    """The answer after guidance (pictures, C, H, W)."""

    x: Any
    sampling_step: int
    total_sampling_steps: int


@dataclass(slots=True)
class ImageSaveParams:
    """A picture on its way to the gallery: `image` (PIL) and `pnginfo["parameters"]`, its infotext, may be changed."""

    image: Any
    p: Any
    filename: str
    """Empty: names are the studio's."""
    pnginfo: dict[str, Any]


def registered(package: str) -> dict[str, list[Callback]]:
    """The callbacks of an extension by kind. They go when its modules do."""
    found: dict[str, list[Callback]] = vars(sys.modules[package]).setdefault(KEPT, {})
    return found


def _package() -> str:
    """Of the module that registers: the caller's caller."""
    return package_of(str(sys._getframe(2).f_globals.get("__name__", "")))


def on_cfg_denoiser(callback: Callback, *, name: str | None = None) -> None:
    """`callback(CFGDenoiserParams)` before each step."""
    registered(_package()).setdefault("cfg_denoiser", []).append(callback)


def on_cfg_denoised(callback: Callback, *, name: str | None = None) -> None:
    """`callback(CFGDenoisedParams)` for the denoiser's answers."""
    registered(_package()).setdefault("cfg_denoised", []).append(callback)


def on_cfg_after_cfg(callback: Callback, *, name: str | None = None) -> None:
    """`callback(AfterCFGCallbackParams)` for what guidance makes of them."""
    registered(_package()).setdefault("cfg_after_cfg", []).append(callback)


def on_before_image_saved(callback: Callback, *, name: str | None = None) -> None:
    """`callback(ImageSaveParams)` for what goes into the gallery; who asked for the picture gets it unchanged."""
    registered(_package()).setdefault("before_image_saved", []).append(callback)


def on_model_loaded(callback: Callback, *, name: str | None = None) -> None:
    """`callback(sd_model)` with facts of a model that stands in memory."""
    registered(_package()).setdefault("model_loaded", []).append(callback)


def on_ui_settings(callback: Callback, *, name: str | None = None) -> None:
    """Called at once: what it adds with `opts.add_option` is there from then on."""
    callback()


def remove_current_script_callbacks() -> None:
    """All callbacks of the extension that asks go."""
    registered(_package()).clear()


def remove_callbacks_for_function(callback: Callback) -> None:
    """A callback of the extension that asks goes."""
    for kept in registered(_package()).values():
        kept[:] = [one for one in kept if one is not callback]


def __getattr__(name: str) -> Any:
    """The registrations of callbacks that are taken and never called."""
    if name.removeprefix("on_") not in TAKEN or not name.startswith("on_"):
        raise AttributeError(f"modules.script_callbacks has no {name!r} here")

    def take(callback: Callback, *, name_: str | None = None, **named: Any) -> None:
        log.warning("%s registers %s, which is never called here", callback.__module__, name)

    return take
