"""A1111's callbacks about guidance at the moments of our own API."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from modules.a1111.script_callbacks import (
    AfterCFGCallbackParams,
    CFGDenoisedParams,
    CFGDenoiserParams,
    registered,
)
from modules.contracts.scripts import StepFacts
from modules.scripts.context import JobContext
from modules.scripts.v1 import Script


class Guided(Script):
    """Serves the callbacks of one extension. Made only where a file registers some when it is imported."""

    title = "A1111 callbacks"
    package = ""

    def _ask(self, kind: str, given: Any) -> Any:
        package = sys.modules.get(self.package)
        for callback in list(registered(self.package).get(kind, ())) if package is not None else ():
            callback(given)
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


MOMENTS: dict[str, dict[str, Callable[..., Any]]] = {
    "cfg_denoiser": {"before_steps": _denoiser, "after_step": _denoiser},
    "cfg_denoised": {"noise_prediction": _denoised},
    "cfg_after_cfg": {"guided_prediction": _after},
}


def guided_script(package: str, name: str) -> Script | None:
    """A script for the callbacks of an extension; None where it has none."""
    methods = {key: act for kind in registered(package) for key, act in MOMENTS[kind].items()}
    if not methods:
        return None
    made: Any = type("Guided", (Guided,), {"title": f"{name} (callbacks)", "package": package, **methods})()
    found: Script = made
    return found
