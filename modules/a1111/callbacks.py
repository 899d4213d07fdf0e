"""A1111's callbacks, and what it calls its sampler with, at the moments of our own API."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from PIL.PngImagePlugin import PngInfo

from modules.a1111.desk import Desk, desk_of
from modules.a1111.house import Now, within
from modules.a1111.importing import PREFIX
from modules.a1111.processing import StableDiffusionProcessing
from modules.a1111.script_callbacks import (
    CALLED,
    AfterCFGCallbackParams,
    CFGDenoisedParams,
    CFGDenoiserParams,
    ImageSaveParams,
    registered,
)
from modules.a1111.sd_samplers_kdiffusion import SAMPLER
from modules.a1111.shared import model_facts
from modules.contracts.request import GenerationRequest
from modules.contracts.result import Picture
from modules.contracts.scripts import StepFacts
from modules.scripts.context import JobContext
from modules.scripts.v1 import Room, Script

KEY = "a1111_now"


class Called(Script):
    """Serves the callbacks and the sampler of one extension. A moment that nobody registered for is not asked."""

    title = "A1111 callbacks"
    package = ""

    def serve(self, kind: str) -> None:
        """From now on be asked at the moments that serve that kind."""
        for name, act in MOMENTS.get(kind, {}).items():
            setattr(type(self), name, act)

    def before_job(self, job: JobContext, request: GenerationRequest) -> None:
        """Remember what is drawn, for those that ask about the job."""
        job.state[KEY] = Now(job, request, desk_of(self.package, job))
        with within(job.state[KEY]):
            job.state["p"] = StableDiffusionProcessing.of(request)
        vars(job.state["p"]).update(job.state[KEY].desk.extras)

    def closed(self) -> None:
        """`on_script_unloaded`."""
        for callback in registered(self.package).get("script_unloaded", ()):
            callback()

    def call(self, job: JobContext, kind: str, given: Any) -> Any:
        """The callbacks of that kind, one after the other; none once the extension's modules are gone."""
        if self.package in sys.modules:
            with within(job.state[KEY]):
                for callback in list(job.state[KEY].desk.callbacks.get(kind, ())):
                    callback(given)
        return given


def _silent(job: JobContext, kind: str) -> bool:
    """Nobody wants to hear of it in this job; then nothing is copied there and back, which rounds."""
    return not job.state[KEY].desk.callbacks.get(kind)


def _swapped(free: Any, bound: Any) -> Any:
    """A1111's order of rows: with the prompt first."""
    import torch

    return bound if free is None else torch.cat([bound, free])


def _input(self: Any, job: JobContext, facts: StepFacts, given: tuple[Any, Any, Any]) -> tuple[Any, Any, Any] | None:
    """Rows come without the prompt first."""
    if _silent(job, "cfg_denoiser"):
        return None
    before = [one.clone() for one in _tensors(given)]
    count = len(facts.batch.pictures)
    guided = len(given[0]) == 2 * count
    x, sigma = (_swapped(one[:count], one[count:]) if guided else one for one in given[:2])
    words = given[2]
    denoiser = SimpleNamespace(step=facts.step, steps=facts.steps, total_steps=facts.steps, p=job.state["p"])
    params = CFGDenoiserParams(x, sigma, facts.step, facts.steps, denoiser)
    if words is not None:
        bound = {name: one[count:] if guided else one for name, one in words.items()}
        params.text_cond = _told(bound)
        if guided:
            params.text_uncond = _told({name: one[:count] for name, one in words.items()})
    self.call(job, "cfg_denoiser", params)
    if words is not None:
        words = _said(params.text_cond, words)
        if guided:
            free = _said(params.text_uncond, words)
            words = {name: _swapped(words[name], free[name]) for name in words}
    x, sigma = params.x, params.sigma
    if guided:
        x, sigma = (_swapped(one[:count], one[count:]) for one in (x, sigma))
    found = x, sigma, words
    return None if _alike(before, _tensors(found)) else found


def _tensors(given: tuple[Any, Any, Any]) -> list[Any]:
    return [*given[:2], *(given[2] or {}).values()]


def _alike(before: list[Any], after: list[Any]) -> bool:
    """A callback that changed nothing changes no pixel: what is shown goes there and back with rounding."""
    import torch

    return all(isinstance(new, torch.Tensor) and torch.equal(old, new) for old, new in zip(before, after, strict=True))


def _told(words: dict[str, Any]) -> Any:
    """As A1111 has them: one tensor, or for models with a pooled text both by its names."""
    return {"crossattn": words["embeds"], "vector": words["pooled"]} if "pooled" in words else words["embeds"]


def _said(told: Any, words: dict[str, Any]) -> dict[str, Any]:
    """What an extension made of them, by our names."""
    if "pooled" not in words:
        return {"embeds": told}
    return {"embeds": told["crossattn"], "pooled": told["vector"]}


def _denoised(self: Any, job: JobContext, facts: StepFacts, clean: tuple[Any, Any]) -> tuple[Any, Any] | None:
    if _silent(job, "cfg_denoised"):
        return None
    free, bound = clean
    found = self.call(job, "cfg_denoised", CFGDenoisedParams(_swapped(free, bound), facts.step, facts.steps)).x
    return (None, found) if free is None else (found[len(bound) :], found[: len(bound)])


def _stepping(self: Any, job: JobContext, facts: StepFacts, way: tuple[Any, Any]) -> tuple[Any, Any]:
    """`on_cfg_after_cfg`, then the sampler's `callback_state`, as k-diffusion calls it."""
    import torch

    clean = self.call(job, "cfg_after_cfg", AfterCFGCallbackParams(way[1], facts.step, facts.steps)).x
    kind = vars(sys.modules[self.package]).get(SAMPLER) if self.package in sys.modules else None
    if kind is None:
        return way[0], clean
    desk: Desk = job.state[KEY].desk
    sigma = torch.tensor(facts.sigma)
    told = {"x": way[0], "i": facts.step, "sigma": sigma, "sigma_hat": sigma, "denoised": clean.clone()}
    with desk.lock, within(job.state[KEY]):
        if desk.sampler is None:
            desk.sampler = kind()
        desk.sampler.p = job.state["p"]
        desk.sampler.p.is_hr_pass = facts.second
        desk.sampler.callback_state(told)
    return told["x"], told["denoised"]


def _file_of(job: JobContext, picture: Picture) -> Path:
    """The same path whenever this picture of this job is spoken of, and that of no other."""
    # All jobs of an extension share its folder, and the id of one may be any text that its client chose.
    whose = hashlib.sha256(job.job_id.encode()).hexdigest()[:16]
    return job.storage / f"{picture.index:05}-{picture.seed}-{whose}.png"


def _saving(self: Any, job: JobContext, picture: Picture) -> Picture:
    """The file's image and text. Its name and folder are the studio's."""
    pnginfo = {"parameters": picture.infotext}
    given = ImageSaveParams(picture.image, job.state["p"], str(_file_of(job, picture)), pnginfo)
    self.call(job, "before_image_saved", given)
    return replace(picture, image=given.image, infotext=str(given.pnginfo.get("parameters") or ""))


def _saved(self: Any, job: JobContext, picture: Picture) -> None:
    """`on_image_saved` with a copy of the file, which is there as long as the callbacks of the extension run."""
    file = _file_of(job, picture)
    pnginfo = {"parameters": picture.infotext}
    kept = PngInfo()
    kept.add_text("parameters", picture.infotext)
    picture.image.save(file, "PNG", pnginfo=kept, compress_level=1)
    try:
        self.call(job, "image_saved", ImageSaveParams(picture.image, job.state["p"], str(file), pnginfo))
    finally:
        file.unlink(missing_ok=True)


def _recalled(self: Any, infotext: str, fields: dict[str, str]) -> dict[str, str]:
    """`on_infotext_pasted`, which changes the fields in place."""
    for callback in registered(self.package).get("infotext_pasted", ()) if self.package in sys.modules else ():
        callback(infotext, fields)
    return fields


def _application(self: Any, page: Any) -> Any:
    """`on_app_started`, with an application that is the extension's own."""
    from fastapi import FastAPI

    made = FastAPI(openapi_url=None)
    for callback in registered(self.package).get("app_started", ()) if self.package in sys.modules else ():
        callback(page, made)
    return made


def _rooms(self: Any) -> list[Room]:
    """`on_ui_tabs`, whose tabs are made of stand-ins."""
    found = []
    for callback in registered(self.package).get("ui_tabs", ()) if self.package in sys.modules else ():
        for blocks, title, name in callback() or ():
            slug = re.sub(r"[^A-Za-z0-9_-]+", "_", str(name))
            found.append(Room(slug, str(title), partial(_build, self.package, blocks)))
    return found


def _build(package: str, blocks: Any, check: Callable[[Any], None]) -> None:
    from modules.a1111.tabs import TabBuilder

    TabBuilder(package.removeprefix(PREFIX).rpartition("_")[0], check).build(blocks)


def _loaded(self: Any, name: str, family: str) -> None:
    for callback in registered(self.package).get("model_loaded", ()) if self.package in sys.modules else ():
        callback(model_facts(name))


MOMENTS: dict[str, dict[str, Callable[..., Any]]] = {
    "cfg_denoiser": {"step_input": _input},
    "cfg_denoised": {"clean_predictions": _denoised},
    "cfg_after_cfg": {"stepping": _stepping},
    "sampler": {"stepping": _stepping},
    "before_image_saved": {"saving": _saving},
    "image_saved": {"saved": _saved},
    "ui_tabs": {"rooms": _rooms},
    "app_started": {"application": _application},
    "infotext_pasted": {"recalled": _recalled},
    "model_loaded": {"model_loaded": _loaded},
}


def called_script(package: str, name: str) -> Called:
    """A script for what the extension registered, and will register."""
    made: Any = type("Called", (Called,), {"title": f"{name} (callbacks)", "package": package})()
    kept = vars(sys.modules[package])
    kept[CALLED] = made
    for kind in (*registered(package), *(("sampler",) if SAMPLER in kept else ())):
        made.serve(kind)
    found: Called = made
    return found
