"""The studio with an engine of noise, served by a process that is forked anew whenever it dies.

Usage: light_server.py PORT DATA-FOLDER. Everything but the engine is the real one. The parent has imported all that the
child needs, so that a life begins in a fraction of a second; it ends, with its child, on SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys
import time

import modules.api.app
import modules.app
import modules.outputs.store
from modules.bootstrap import flags
from modules.cli import serve
from modules.contracts.events import ImageReady, StageStarted, StepDone
from modules.contracts.result import GenerationResult, Picture
from modules.outputs.metadata import check_format

PARTS = (modules.api.app, modules.outputs.store, check_format)
STEP_SECONDS = 0.02


class NoiseEngine:
    """Takes a fiftieth of a second a step; pictures follow from their seeds."""

    def warm_up(self):
        """Nothing to load."""

    def attempt(self, cancelled):
        """It can always draw."""

    def stats(self):
        return {}

    def unload(self):
        """Nothing to let go of."""

    def close(self):
        """Nothing to close."""

    def generate(self, request, context):
        import numpy as np
        from PIL import Image

        pictures, steps = [], request.sampling.steps
        for batch in range(request.canvas.batch_count):
            context.emit(StageStarted(context.job_id, "denoise", batch, request.canvas.batch_count))
            for step in range(1, steps + 1):
                if context.cancelled.wait(STEP_SECONDS):
                    return GenerationResult(tuple(pictures), {}, interrupted=True)
                context.emit(StepDone(context.job_id, step, steps, batch))
            seed = request.seeds.seed + batch
            noise = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
            text = f"{request.prompt.text}\nSteps: {steps}, Seed: {seed}"
            picture = Picture(batch, Image.fromarray(noise), seed, 0, request.prompt.text, "", text, {"seed": seed})
            context.finished(picture)
            context.emit(ImageReady(context.job_id, picture))
            pictures.append(picture)
        return GenerationResult(tuple(pictures), {"model": "noise"}, seconds=0.1)


def live(port: str, data: str) -> None:
    """One life of the server, in a process of its own."""
    words = ["serve", "--port", port, "--data-dir", data, "--nowebui", "--offline", "--lanes", "3"]
    modules.app.assemble = lambda *given, **parts: (None, NoiseEngine())
    raise SystemExit(serve.run(flags.parse(words)))


def main() -> None:
    children, ending = [], []

    def end(number, frame):
        ending.append(number)
        for child in children:
            os.kill(child, signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    while not ending:
        child = os.fork()
        if not child:
            live(*sys.argv[1:3])
        children[:] = [child]
        _, status = os.waitpid(child, 0)
        children.clear()
        if os.WIFEXITED(status) and not ending:
            raise SystemExit(f"the server ended by itself with {os.WEXITSTATUS(status)}")
        time.sleep(0.01)
    raise SystemExit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1)


if __name__ == "__main__":
    main()
