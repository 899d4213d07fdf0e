"""What jobs of the pocket model compute, against what was foretold of them; and what stands beside it in memory."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image

from modules.contracts.control import ControlParams, ControlUnit
from modules.contracts.cost import work_of
from modules.contracts.detailer import MASK, DetailerParams, RegionParams
from modules.contracts.request import ImageParams, PromptParams
from modules.contracts.run import RunContext
from modules.contracts.style import SHARED, StyleParams
from tests.factories.pocket import POCKET, make_pocket_engine
from tests.processing_diffusers.conftest import ask, encode, speckled

SHOWN = encode(speckled(128, 128))
NET = ControlUnit(True, "canny", "canny", image=SHOWN)
PLAIN = replace(ask(size=128, steps=4), prompt=PromptParams("a red circle", "blurry"))
LORA = min(path for path in (POCKET / "lora").glob("*.safetensors"))


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """The pocket model's engine."""
    made = make_pocket_engine(tmp_path_factory.mktemp("pocket"))
    yield made
    made.close()


@pytest.fixture
def compute(engine, monkeypatch):
    """Draws a request and gives the operations of all calls that its steps made, networks in them apart."""
    from torch.utils.flop_counter import FlopCounterMode

    from modules.processing_diffusers.multiplexer.core import Multiplexer

    seen, known, plain = [], {}, Multiplexer.call

    def call(self, lane, target, arguments, **named):
        if target.stepped:
            seen.append((target, dict(arguments)))
        return plain(self, lane, target, arguments, **named)

    def cost(target, arguments):
        key = (target.name, tuple(arguments["sample"].shape))
        if key not in known:
            with FlopCounterMode(display=False) as counter:
                target.function(**arguments)
            known[key] = counter.get_total_flops()
        return known[key]

    def draw(request):
        seen.clear()
        engine.generate(request, RunContext("job", lambda event: None))
        return sum(cost(target, arguments) for target, arguments in list(seen))

    monkeypatch.setattr(Multiplexer, "call", call)
    return draw


def test_a_job_computes_about_what_was_foretold(compute):
    base, foretold = compute(PLAIN), work_of(PLAIN)
    style = StyleParams(SHARED, image=SHOWN)
    mask = encode(Image.new("L", (128, 128), 255))
    wishes = {
        "a ControlNet": {"control": ControlParams((NET,))},
        "for half of the steps": {"control": ControlParams((replace(NET, guidance_end=0.5),))},
        "two of them": {"control": ControlParams((NET, NET))},
        "a reference": {"control": ControlParams((ControlUnit(True, "reference_only", image=SHOWN),))},
        "a style": {"style": style},
        "a style and a content": {"style": style, "image": ImageParams((SHOWN,), denoising_strength=1.0)},
        "a region": {
            "regions": RegionParams(MASK, mask=mask),
            "detailer": DetailerParams(strength=0.6, width=256, height=256),
        },
    }
    for name, groups in wishes.items():
        request = replace(PLAIN, **groups)
        # The share of a ControlNet is one number for all families; rows are counted exactly.
        near = 0.2 if groups.get("control") and "reference" not in name else 0.01
        assert compute(request) / base == pytest.approx(work_of(request) / foretold, rel=near), name


def test_what_stands_beside_the_model_is_in_the_forecast_of_its_memory(engine, monkeypatch):
    plans, plan_memory = [], engine._plan_memory

    def keep(*given):
        plans.append(plan_memory(*given))
        return plans[-1]

    def peak(**groups):
        engine.generate(replace(PLAIN, **groups), RunContext("job", lambda event: None))
        return plans[-1].predicted_peak

    def weights(*names):
        return sum(path.stat().st_size for name in names for path in (POCKET / name).rglob("*.safetensors"))

    monkeypatch.setattr(engine, "_plan_memory", keep)
    base = peak()
    one, two = (peak(control=ControlParams((NET,) * count)) for count in (1, 2))
    assert one - base > weights("controlnet/canny")
    assert one == two  # the weights are there once, and what several say is added up
    words = PromptParams(f"a red circle <lora:{LORA.stem}>", "blurry")
    for _ in range(2):  # whether its part beside the layers is there yet or not
        assert 0.4 * LORA.stat().st_size < peak(prompt=words) - base < 3 * LORA.stat().st_size
    assert peak() == base


def test_memory_is_foretold_once_the_model_is_there(engine):
    engine.unload()
    assert engine.foresee(PLAIN) is None
    engine.warm_up()
    small, large = (
        engine.foresee(replace(PLAIN, canvas=replace(PLAIN.canvas, width=side, height=side))) for side in (128, 512)
    )
    assert 0 < small < large
