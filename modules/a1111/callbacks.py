"""A1111's callbacks at the moments of our own API."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from modules.a1111.processing import StableDiffusionProcessing
from modules.a1111.script_callbacks import (
    AfterCFGCallbackParams,
    CFGDenoisedParams,
    CFGDenoiserParams,
    ImageSaveParams,
    registered,
)
from modules.a1111.shared import model_facts
from modules.contracts.request import GenerationRequest
from modules.contracts.result import Picture
from modules.contracts.scripts import StepFacts
from modules.scripts.context import JobContext
from modules.scripts.v1 import Script


class Called(Script):
    """Serves the callbacks of one extension. Made only where a file registers some when it is imported."""

    title = "A1111 callbacks"
    package = ""

    def _call(self, kind: str, given: Any) -> None:
        """Their callbacks of that kind; none once the extension's modules are gone."""
        if self.package in sys.modules:
            for callback in list(registered(self.package).get(kind, ())):
                callback(given)

    def _ask(self, kind: str, given: Any) -> Any:
        self._call(kind, given)
        return given.x


def _denoiser(self: Any, job: JobContext, facts: StepFacts, latents: Any) -> Any:
    """Before the first step, and after each for the next one; not after the last."""
    if facts.step >= facts.steps:
        return None
    return self._ask("cfg_denoiser", CFGDenoiserParams(latents, facts.sigma, facts.step, facts.steps))


def _denoised(self: Any, job: JobContext, facts: StepFacts, answers: tuple[Any, Any]) -> tuple[Any, Any]:
    import torch

    free, bound = answers
    whole = bound if free is None else torch.cat([bound, free])
    found = self._ask("cfg_denoised", CFGDenoisedParams(whole, facts.step, facts.steps))
    return (None, found) if free is None else (found[len(bound) :], found[: len(bound)])


def _after(self: Any, job: JobContext, facts: StepFacts, answer: Any) -> Any:
    return self._ask("cfg_after_cfg", AfterCFGCallbackParams(answer, facts.step, facts.steps))


def _remember(self: Any, job: JobContext, request: GenerationRequest) -> None:
    job.state["p"] = StableDiffusionProcessing.of(request)


def _saving(self: Any, job: JobContext, picture: Picture) -> Picture:
    """The file's image and text. Its name and folder are the studio's."""
    given = ImageSaveParams(picture.image, job.state.get("p"), "", {"parameters": picture.infotext})
    self._call("before_image_saved", given)
    return replace(picture, image=given.image, infotext=str(given.pnginfo.get("parameters") or ""))


def _loaded(self: Any, name: str, family: str) -> None:
    self._call("model_loaded", model_facts(name))


MOMENTS: dict[str, dict[str, Callable[..., Any]]] = {
    "cfg_denoiser": {"before_steps": _denoiser, "after_step": _denoiser},
    "cfg_denoised": {"noise_prediction": _denoised},
    "cfg_after_cfg": {"guided_prediction": _after},
    "before_image_saved": {"before_job": _remember, "saving": _saving},
    "model_loaded": {"model_loaded": _loaded},
}


def called_script(package: str, name: str) -> Script | None:
    """A script for the callbacks of an extension; None where it has none."""
    methods = {key: act for kind in registered(package) for key, act in MOMENTS[kind].items()}
    if not methods:
        return None
    made: Any = type("Called", (Called,), {"title": f"{name} (callbacks)", "package": package, **methods})()
    found: Script = made
    return found
