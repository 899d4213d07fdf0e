"""A1111's `modules.sd_samplers_kdiffusion`, as far as extensions put something into its sampler's callback.

Each extension has a class of its own, so that what one puts there is neither seen by the others nor left when it goes.
"""

from __future__ import annotations

import sys
from typing import Any

from modules.a1111.importing import PREFIX, package_of

SAMPLER = "_a1111_sampler"


class Sampler:
    """Called back once a call of the denoiser, before the sampler steps.

    `d` has `x` and `denoised`, latents (pictures, C, H, W) that may be changed in place or replaced, `sigma`,
    `sigma_hat` (scalars) and the step `i`. The sampler then steps from `x` to where `denoised` leads, whatever sampler
    it is; in k-diffusion that is so for those that use both after the callback, such as DPM++ 2M and Euler a.
    """

    p: Any = None

    def callback_state(self, d: dict[str, Any]) -> None:
        """What an extension puts in its place calls this one last."""


def __getattr__(name: str) -> Any:
    """`KDiffusionSampler`, the class of the extension that asks."""
    if name != "KDiffusionSampler":
        raise AttributeError(f"modules.sd_samplers_kdiffusion has no {name!r} here")
    package = package_of(str(sys._getframe(1).f_globals.get("__name__", "")))
    if not package.startswith(PREFIX):
        raise AttributeError("modules.sd_samplers_kdiffusion.KDiffusionSampler is for extensions")
    kept = vars(sys.modules[package])
    return kept.setdefault(SAMPLER, type("KDiffusionSampler", (Sampler,), {"__module__": __name__}))
