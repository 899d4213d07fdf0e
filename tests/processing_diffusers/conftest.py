"""An engine over the tiny models of this run, on the CPU in fp32."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from modules.bootstrap.options import Options
from modules.contracts.request import CanvasParams, GenerationRequest, PromptParams, SamplingParams, SeedParams
from modules.contracts.run import RunContext
from modules.support.options import CORE_SETTINGS
from modules.support.paths import ROOT, Paths
from modules.support.settings import Settings


@dataclass
class Bench:
    """The engine with what a test wants to look at."""

    engine: object
    settings: Settings
    paths: Paths
    events: list = field(default_factory=list)

    def draw(self, request, *, context=None, previews=False):
        """Draw and give the result; events are kept."""
        context = context or RunContext("job", self.events.append, previews=previews)
        return self.engine.generate(request, context)


def make_engine(folder: Path, models: Path, **settings) -> Bench:
    """A fresh engine; `models` holds `checkpoints`."""
    from modules.device.cpu import CpuHandler
    from modules.device.select import choose
    from modules.processing_diffusers.engine import DiffusersEngine
    from modules.sd_models.catalog import StudioCatalog
    from modules.sd_models.families import load_families
    from modules.sd_samplers.table import load_table
    from modules.upscalers.table import UPSCALERS

    store = Settings(CORE_SETTINGS)
    store.update({"batch_window_ms": 20.0, **settings})
    paths = Paths(folder / "data", models, ROOT).ensure()
    table = load_table(ROOT / "configs" / "samplers.json")
    options = Options()
    catalog = StudioCatalog(
        paths,
        families=load_families(ROOT / "configs" / "families.json"),
        samplers=table.samplers(),
        schedulers=table.schedulers(),
        upscalers=UPSCALERS,
        default_model=lambda: store["sd_model_checkpoint"] or "tiny-sd15",
        hub_caches=(),
    )
    from modules.bootstrap.options import DeviceOptions

    choice = choose(DeviceOptions(no_half=True), paths.cache, handlers=(CpuHandler(),))
    engine = DiffusersEngine(catalog=catalog, table=table, choice=choice, settings=store, paths=paths, options=options)
    return Bench(engine, store, paths)


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory, tiny_sd15_folder) -> Path:
    """A models folder whose checkpoints are links to the tiny models."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "tiny-sd15").symlink_to(tiny_sd15_folder)
    return folder


@pytest.fixture(scope="session")
def shared_bench(tmp_path_factory, models_folder):
    """One engine for all tests that do not change its settings."""
    bench = make_engine(tmp_path_factory.mktemp("engine"), models_folder)
    yield bench
    bench.engine.close()


@pytest.fixture
def bench(shared_bench):
    """The shared engine with an empty list of events."""
    shared_bench.events.clear()
    return shared_bench


def ask(
    text="a red circle", *, seed=1, steps=3, size=64, batch=1, count=1, sampler="Euler", cfg=5.0, model=None, **groups
):
    """A request with the few values that most tests need."""
    from modules.contracts.request import ModelParams

    return GenerationRequest(
        prompt=groups.pop("prompt", PromptParams(text, "blurry")),
        canvas=groups.pop("canvas", CanvasParams(size, size, batch, count)),
        seeds=groups.pop("seeds", SeedParams(seed)),
        sampling=groups.pop("sampling", SamplingParams(steps=steps, sampler=sampler, cfg_scale=cfg)),
        model=ModelParams(checkpoint=model),
        **groups,
    )


def in_threads(actions):
    """Run all at once, each in a thread; results in order, errors raised."""
    results, errors = [None] * len(actions), []

    def run(place, action):
        try:
            results[place] = action()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(place, action)) for place, action in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if errors:
        raise errors[0]
    return results
