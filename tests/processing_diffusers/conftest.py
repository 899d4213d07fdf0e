"""An engine over the tiny models of this run, on the CPU in fp32."""

from __future__ import annotations

import contextlib
import io
import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modules.bootstrap.options import DeviceOptions, Options, RunOptions
from modules.contracts.plan import Placement
from modules.contracts.request import CanvasParams, GenerationRequest, PromptParams, SamplingParams, SeedParams
from modules.contracts.run import RunContext
from modules.support.options import CORE_SETTINGS
from modules.support.paths import ROOT, Paths
from modules.support.settings import Settings
from tests.factories.devices import measured_cpu


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


def make_engine(folder: Path, models: Path, *, handler=None, options=None, **settings) -> Bench:
    """A fresh engine; `models` holds `checkpoints`, `handler` is another device than the CPU."""
    from modules.control.catalog import ControlCatalog
    from modules.detectors.catalog import DetectorCatalog
    from modules.device.select import choose
    from modules.networks.catalog import NetworkCatalog
    from modules.processing_diffusers.engine import DiffusersEngine
    from modules.processing_diffusers.stock import Stock
    from modules.sd_models.catalog import StudioCatalog, Tables
    from modules.sd_models.families import load_families
    from modules.sd_samplers.table import load_table
    from modules.upscalers.table import UPSCALERS

    store = Settings(CORE_SETTINGS)
    # All tiny models stay: tests that go through families in turn would load each anew.
    store.update({"batch_window_ms": 20.0, "sd_checkpoints_limit": 32, **settings})
    paths = Paths(folder / "data", models, ROOT).ensure()
    table = load_table(ROOT / "configs" / "samplers.json")
    options = options or Options()
    catalog = StudioCatalog(
        paths,
        Tables(
            families=load_families(ROOT / "configs" / "families.json"),
            samplers=table.samplers(),
            schedulers=table.schedulers(),
            upscalers=UPSCALERS,
        ),
        default_model=lambda: store["sd_model_checkpoint"] or "tiny-sd15",
        hub_caches=(),
    )
    handlers = (measured_cpu(),) if handler is None else (handler, measured_cpu())
    choice = choose(DeviceOptions(no_half=True), paths.cache, handlers=handlers)
    # Tiny random models answer a change in the seventh digit with one in the third, and how a batch is cut decides the
    # seventh digit. In 64 bits that is out of the way, so what differs then is the engine's doing.
    exact = {group: Placement(choice.handler.torch_device(), "float64") for group in choice.placements}
    choice = replace(choice, placements=exact, large=exact)
    stock = Stock(
        catalog, table, networks=NetworkCatalog(paths), controls=ControlCatalog(paths), detectors=DetectorCatalog(paths)
    )
    engine = DiffusersEngine(stock=stock, choice=choice, settings=store, paths=paths, options=options)
    return Bench(engine, store, paths)


CLOSE = 1e-4
"""How much one value of a picture in [0, 1] may differ between jobs drawn together and alone."""
FAMILIES = ("sd15", "sd15_inpaint", "sd2", "sdxl", "sd3", "flux")


def link_models(folder: Path, request, names) -> Path:
    """A models folder whose checkpoints are links to tiny models."""
    (folder / "checkpoints").mkdir()
    for name in names:
        made = request.getfixturevalue(f"tiny_{name}_folder")
        (folder / "checkpoints" / f"tiny-{name.replace('_', '-')}").symlink_to(made)
    return folder


def encode(image, kind="PNG"):
    """A picture as encoded bytes."""
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def speckled(width=64, height=64, seed=0):
    """A picture in which no two pixels are likely to be equal."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def pixels(picture):
    """Values of a picture's image (or an image) that may be subtracted."""
    return np.asarray(getattr(picture, "image", picture), np.int16)


def remember_numbers(monkeypatch):
    """Until the test ends every image remembers the decoder's own numbers as `exact`.

    They are in [0, 1] (3, H, W), fp32: eight bits would hide a difference of four thousandths.
    """
    from modules.processing_diffusers.stages import decode

    plain = decode.to_images

    def remember(pictures):
        images = plain(pictures)
        for image, values in zip(images, pictures, strict=True):
            image.exact = values.clone()
        return images

    monkeypatch.setattr(decode, "to_images", remember)


@pytest.fixture
def exact(monkeypatch):
    """Gives the decoder's own numbers of a result's first picture."""
    remember_numbers(monkeypatch)
    return lambda result: result.pictures[0].image.exact


@pytest.fixture(scope="session")
def shared_bench(tmp_path_factory, request):
    """One engine with one model for all tests that do not change its settings."""
    models = link_models(tmp_path_factory.mktemp("models"), request, ["sd15"])
    bench = make_engine(tmp_path_factory.mktemp("engine"), models)
    yield bench
    bench.engine.close()


@pytest.fixture
def bench(shared_bench):
    """The shared engine with an empty list of events."""
    shared_bench.events.clear()
    return shared_bench


@pytest.fixture(scope="session")
def shared_one_lane(tmp_path_factory, request):
    """An engine with one lane, which draws the batches of a job one after the other."""
    models = link_models(tmp_path_factory.mktemp("one-models"), request, ["sd15"])
    options = replace(Options(), run=RunOptions(lanes=1))
    bench = make_engine(tmp_path_factory.mktemp("one-engine"), models, options=options)
    yield bench
    bench.engine.close()


@pytest.fixture
def one_lane(shared_one_lane):
    """The same with an empty list of events."""
    shared_one_lane.events.clear()
    return shared_one_lane


@pytest.fixture(scope="session")
def all_families(tmp_path_factory, request):
    """An engine with a model of every family."""
    models = link_models(tmp_path_factory.mktemp("all-models"), request, FAMILIES)
    bench = make_engine(tmp_path_factory.mktemp("all-engine"), models)
    yield bench
    bench.engine.close()


def apart(one, other):
    """The largest difference of two pictures' numbers."""
    return float((one - other).abs().max())


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


@contextlib.contextmanager
def held_back(multiplexer, names, count):
    """Calls of the targets called `names` wait until `count` of them stand in line together, once for each name."""
    line, done = multiplexer._line, set()
    choose = line.choose

    def choose_late(lanes, **given):
        waiting = Counter(call.target.name for call in line._calls)
        done.update(name for name in names if waiting[name] >= count)
        held = [call for call in line._calls if call.target.name in names - done]
        line._calls = [call for call in line._calls if call not in held]
        group, patience = choose(lanes, **given)
        line._calls = held + line._calls
        return group, min(patience, 0.02)

    line.choose = choose_late
    try:
        yield
    finally:
        line.choose = choose
    assert done, f"{count} calls never stood together: {names}"


@pytest.fixture
def rows(monkeypatch):
    """Samples of every call of a denoiser, in order."""
    from modules.processing_diffusers.multiplexer.core import Multiplexer

    seen, plain = [], Multiplexer.call

    def call(self, lane, target, arguments, **named):
        if target.stepped:
            tensor = next(value for value in arguments.values() if getattr(value, "ndim", 0) > 1)
            seen.append(tensor.shape[0])
        return plain(self, lane, target, arguments, **named)

    monkeypatch.setattr(Multiplexer, "call", call)
    return seen


def draw_together(bench, exact, requests, target="unet", *, hold=False):
    """Asserts that requests drawn at once, with calls of `target` merged, give what each gives alone.

    With `hold` its first call waits until all are there.
    """
    import torch

    alone = [exact(bench.draw(request)) for request in requests]
    bench.engine.multiplexer.figures.reset()
    waiting = held_back(bench.engine.multiplexer, {target}, len(requests)) if hold else contextlib.nullcontext()
    with waiting:
        together = in_threads([lambda r=request: bench.draw(r) for request in requests])
    for lonely, result in zip(alone, together, strict=True):
        torch.testing.assert_close(exact(result), lonely, rtol=0, atol=CLOSE)
    assert bench.engine.stats()["targets"][target]["mean_lanes"] > 1
