"""A1111's `modules.script_callbacks`. A callback belongs to the extension whose module registers it.

Those that `SERVED` names are called, in the order of registration: in every job where a file of the extension registers
them when it is imported, in one job where the extension does so while that is drawn. The others are taken, and the log
says that they are never called.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, field
from typing import Any

from modules.a1111.desk import KEPT as KEPT
from modules.a1111.desk import Callback as Callback
from modules.a1111.desk import registered as registered
from modules.a1111.house import Withheld, now
from modules.a1111.importing import package_of

log = logging.getLogger(__name__)
SERVED = (
    *("cfg_denoiser", "cfg_denoised", "cfg_after_cfg", "before_image_saved", "image_saved", "model_loaded"),
    *("infotext_pasted", "app_started", "before_component", "after_component"),
    *("before_ui", "script_unloaded", "image_grid", "ui_tabs"),
)
TAKEN = (
    *("before_reload", "ui_train_tabs", "extra_noise"),
    *("list_optimizers", "list_unets", "before_token_counter"),
)
CALLED = "_a1111_called"


@dataclass(slots=True)
class CFGDenoiserParams:
    """What the denoiser is about to see: those with the prompt first, then those without, in the rows of all tensors.

    `x` are latents (rows, C, H, W), `sigma` noise levels (rows); both may be changed in place or replaced.
    """

    x: Any
    sigma: Any
    sampling_step: int
    total_sampling_steps: int
    denoiser: Any
    """Its `step`, `steps` and `total_steps`, in steps of the pass."""
    image_cond: Any = field(default_factory=lambda: Withheld("CFGDenoiserParams.image_cond"))
    text_cond: Any = field(default_factory=lambda: Withheld("CFGDenoiserParams.text_cond"))
    text_uncond: Any = field(default_factory=lambda: Withheld("CFGDenoiserParams.text_uncond"))


@dataclass(slots=True)
class CFGDenoisedParams:
    """The finished latents that the denoiser's answers mean, those with the prompt first, then those without."""

    x: Any
    sampling_step: int
    total_sampling_steps: int
    inner_model: Any = field(default_factory=lambda: Withheld("CFGDenoisedParams.inner_model"))


@dataclass(slots=True)
class AfterCFGCallbackParams:
    """The finished latents that the answer after guidance means (pictures, C, H, W)."""

    x: Any
    sampling_step: int
    total_sampling_steps: int


@dataclass(slots=True)
class ImageSaveParams:
    """A picture on its way to the gallery: `image` (PIL) and `pnginfo["parameters"]`, its infotext, may be changed."""

    image: Any
    p: Any
    filename: str
    """A path in the extension's own folder: for what it writes beside it, as the file's real name is the studio's.
    There is a file only when the picture has been saved."""
    pnginfo: dict[str, Any]


@dataclass(slots=True)
class ImageGridLoopParams:
    """A sheet that is about to be put together: its pictures (PIL), columns and rows, which may be changed."""

    imgs: list[Any]
    cols: int
    rows: int


def _book(package: str) -> dict[str, list[Callback]]:
    """Where callbacks of an extension stand: those of the job that it is asked about, else those of its import."""
    job = now()
    return job.desk.callbacks if job is not None and job.desk.package == package else registered(package)


def _package(deep: int = 2) -> str:
    """Of the module that registers: the caller's caller."""
    return package_of(str(sys._getframe(deep).f_globals.get("__name__", "")))


def _add(kind: str, callback: Callback) -> None:
    package = _package(3)
    _book(package).setdefault(kind, []).append(callback)
    called = vars(sys.modules[package]).get(CALLED)
    if called is not None:
        called.serve(kind)


def on_cfg_denoiser(callback: Callback, *, name: str | None = None) -> None:
    """`callback(CFGDenoiserParams)` before each call of the denoiser; not with models that match flows."""
    _add("cfg_denoiser", callback)


def on_cfg_denoised(callback: Callback, *, name: str | None = None) -> None:
    """`callback(CFGDenoisedParams)` for the denoiser's answers."""
    _add("cfg_denoised", callback)


def on_cfg_after_cfg(callback: Callback, *, name: str | None = None) -> None:
    """`callback(AfterCFGCallbackParams)` for what guidance makes of them."""
    _add("cfg_after_cfg", callback)


def on_before_image_saved(callback: Callback, *, name: str | None = None) -> None:
    """`callback(ImageSaveParams)` for what goes into the gallery; who asked for the picture gets it unchanged."""
    _add("before_image_saved", callback)


def on_image_saved(callback: Callback, *, name: str | None = None) -> None:
    """`callback(ImageSaveParams)` once a picture is in the gallery; `filename` is a copy that goes afterwards."""
    _add("image_saved", callback)


def on_app_started(callback: Callback, *, name: str | None = None) -> None:
    """`callback(page, app)` when the server is about to answer: what is added to `app`, a FastAPI of its own,
    answers at its addresses; `page` is Gradio's, None without one."""
    _add("app_started", callback)


def on_before_component(callback: Callback, *, name: str | None = None) -> None:
    """`callback(component, **kwargs)` before each component of the page, under A1111's ids, and each of the extension's
    own is there; they are stand-ins."""
    _add("before_component", callback)


def on_after_component(callback: Callback, *, name: str | None = None) -> None:
    """The same once it is there."""
    _add("after_component", callback)


def on_image_grid(callback: Callback, *, name: str | None = None) -> None:
    """`callback(ImageGridLoopParams)` before a script of the extension gets a sheet of `images.image_grid`."""
    _add("image_grid", callback)


def on_ui_tabs(callback: Callback, *, name: str | None = None) -> None:
    """`callback()` gives (blocks, title, id) of tabs when the page is built; each is a room of it."""
    _add("ui_tabs", callback)


def on_infotext_pasted(callback: Callback, *, name: str | None = None) -> None:
    """`callback(infotext, fields)` when an infotext is read back; the fields, texts by labels, may be changed."""
    _add("infotext_pasted", callback)


def on_model_loaded(callback: Callback, *, name: str | None = None) -> None:
    """`callback(sd_model)` with facts of a model that stands in memory."""
    _add("model_loaded", callback)


def on_before_ui(callback: Callback, *, name: str | None = None) -> None:
    """`callback()` once the file is imported, before its scripts are asked for their inputs."""
    _add("before_ui", callback)


def on_script_unloaded(callback: Callback, *, name: str | None = None) -> None:
    """`callback()` when the extension is let go of."""
    _add("script_unloaded", callback)


def on_ui_settings(callback: Callback, *, name: str | None = None) -> None:
    """Called at once: what it adds with `opts.add_option` is there from then on."""
    callback()


def remove_current_script_callbacks() -> None:
    """All callbacks of the extension that asks go: for the job that it is asked about, or altogether."""
    _book(_package()).clear()


def remove_callbacks_for_function(callback: Callback) -> None:
    """A callback of the extension that asks goes, as `remove_current_script_callbacks` says."""
    for kept in _book(_package()).values():
        kept[:] = [one for one in kept if one != callback]


def __getattr__(name: str) -> Any:
    """The registrations of callbacks that are taken and never called."""
    if name.removeprefix("on_") not in TAKEN or not name.startswith("on_"):
        raise AttributeError(f"modules.script_callbacks has no {name!r} here")

    def take(callback: Callback, *, name_: str | None = None, **named: Any) -> None:
        log.warning("%s registers %s, which is never called here", callback.__module__, name)

    return take
