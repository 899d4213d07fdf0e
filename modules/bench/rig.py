"""What the serving benchmarks share: a live server in this process, a bare pipeline of the same model, a client."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import httpx
import uvicorn

from modules.app import build_application, build_studio
from modules.bootstrap.options import NetworkOptions, Options
from modules.contracts.errors import NotReady, UnsupportedFeature

if TYPE_CHECKING:
    from modules.support.studio import Studio

PROMPT = "a red circle on a white background"
SAMPLER = "DDIM"
"""The sampler of both sides: it maps to one diffusers scheduler with no schedule of its own."""


class Bare(Protocol):
    """The bare pipeline."""

    def __call__(self, pictures: int, *, first_seed: int = 0, scale: float = 7.0, sampler: str = SAMPLER) -> None:
        """Draw that many pictures of following seeds in one static batch with nothing of ours in between.

        `sampler` is DDIM or Euler.
        """


@dataclasses.dataclass(frozen=True, slots=True)
class Rig:
    """A studio with its API on a loopback port, and the bare pipeline over the same files."""

    studio: Studio
    url: str
    size: int
    steps: int
    bare: Bare

    def body(self, seed: int) -> dict[str, Any]:
        """The API call that draws what `bare` draws."""
        return {
            "prompt": PROMPT,
            "seed": seed,
            "steps": self.steps,
            "sampler_name": SAMPLER,
            "width": self.size,
            "height": self.size,
            "cfg_scale": 7.0,
        }

    def call(self, client: httpx.Client, seed: int) -> None:
        """One picture over HTTP; raises when it is refused."""
        client.post(f"{self.url}/sdapi/v1/txt2img", json=self.body(seed)).raise_for_status()


@contextlib.contextmanager
def rigged(options: Options, steps: int) -> Iterator[Rig]:
    """Start everything, warm both sides up, and take it down again."""
    import torch

    torch.get_num_threads()  # settles this thread's pool, so that the bare side has what the studio's executor has
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as folder, socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = int(door.getsockname()[1])
        paths = dataclasses.replace(options.paths, data_dir=Path(folder))
        options = dataclasses.replace(options, paths=paths, network=NetworkOptions(port=port, webui=False))
        studio = build_studio(options)
        server = uvicorn.Server(uvicorn.Config(build_application(studio), log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
        thread.start()
        try:
            if not studio.status.wait(180):
                raise NotReady(studio.status.message)
            entry = studio.catalog.find_model(None)
            if entry.layout != "diffusers" or studio.catalog.family(entry.family or "").adapter != "sd":
                raise UnsupportedFeature(
                    f"{entry.name} is no diffusers folder of Stable Diffusion 1 or 2; bench needs one."
                )
            place = studio.device_report()["placements"]["denoiser"]
            bare = _bare_pipeline(entry.path, entry.native_size, steps, place)
            yield Rig(studio, f"http://127.0.0.1:{port}", entry.native_size, steps, bare)
        finally:
            server.should_exit = True
            thread.join(20)
            studio.close()


def _bare_pipeline(folder: Path, size: int, steps: int, place: Mapping[str, str]) -> Bare:
    """The library's own pipeline where the studio draws, in the studio's precision."""
    import torch
    from diffusers import DDIMScheduler, EulerDiscreteScheduler, StableDiffusionPipeline
    from diffusers.utils import logging as diffusers_logging

    diffusers_logging.disable_progress_bar()
    dtype = getattr(torch, place["dtype"])
    pipeline = StableDiffusionPipeline.from_pretrained(folder, dtype=dtype, local_files_only=True).to(place["device"])
    kinds = {SAMPLER: DDIMScheduler, "Euler": EulerDiscreteScheduler}
    schedulers = {name: kind.from_config(pipeline.scheduler.config) for name, kind in kinds.items()}
    pipeline.set_progress_bar_config(disable=True)

    def draw(pictures: int, *, first_seed: int = 0, scale: float = 7.0, sampler: str = SAMPLER) -> None:
        pipeline.scheduler = schedulers[sampler]
        seeds = range(first_seed, first_seed + pictures)
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        pipeline(
            [PROMPT] * pictures,
            width=size,
            height=size,
            num_inference_steps=steps,
            guidance_scale=scale,
            generator=generators,
        )

    return draw


def timed(action: Callable[[], object]) -> float:
    """Seconds that `action` took."""
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def side_by_side(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> dict[str, Any]:
    """Alternate both, so that what else the machine does falls on both alike; medians and their ratio."""
    mine, other = [], []
    for _ in range(rounds):
        mine.append(timed(ours))
        other.append(timed(theirs))
    return {
        "p50_seconds": round(statistics.median(mine), 4),
        "bare_p50_seconds": round(statistics.median(other), 4),
        "seconds": [round(value, 4) for value in mine],
        "bare_seconds": [round(value, 4) for value in other],
        "ratio": round(statistics.median(mine) / statistics.median(other), 4),
    }


def bounded(
    figures: dict[str, Any], name: str, *, most: float | None = None, least: float | None = None
) -> dict[str, Any]:
    """`figures` with what the one called `name` is to keep to (`bound`) and whether it does (`held`)."""
    value = figures[name]
    held = (most is None or value <= most) and (least is None or value >= least)
    words = [f"at most {most}"] * (most is not None) + [f"at least {least}"] * (least is not None)
    return {"bound": f"{name} {' and '.join(words)}", "held": held, **figures}
