"""From request to plan: nothing is left open, and it needs no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from modules.contracts.catalog import Family
from modules.contracts.errors import InvalidRequest
from modules.contracts.request import CanvasParams, GenerationRequest, HiresParams, SeedParams
from modules.processing_diffusers.plan import count_steps, plan_pictures
from modules.processing_diffusers.sizes import check_megapixels, fit_encoded, fit_size, plan_hires
from modules.prompts.words import Resolver, Sources


def family(multiple=8):
    return Family(
        "x",
        "X",
        "sd",
        {},
        "unet",
        (),
        4,
        8,
        multiple,
        64,
        {"sampler": "Euler", "scheduler": "", "cfg_scale": 7},
        "flow",
    )


def test_planning_needs_no_torch():
    code = "import sys, modules.processing_diffusers.plan, modules.upscalers.table; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_seeds_count_up_over_all_batches():
    request = GenerationRequest(canvas=CanvasParams(64, 64, 2, 2), seeds=SeedParams(2**32 - 2, 5))
    batches = plan_pictures(request, Resolver(request, Sources(), []))
    flat = [picture for batch in batches for picture in batch]
    assert [len(batch) for batch in batches] == [2, 2]
    assert [picture.seed for picture in flat] == [2**32 - 2, 2**32 - 1, 0, 1]
    assert [picture.subseed for picture in flat] == [5, 6, 7, 8]
    assert [picture.index for picture in flat] == [0, 1, 2, 3]


def test_an_open_seed_is_drawn_anew_each_time():
    request = GenerationRequest()
    drawn = {plan_pictures(request, Resolver(request, Sources(), []))[0][0].seed for _ in range(5)}
    assert len(drawn) > 1
    assert min(drawn) >= 0


@pytest.mark.parametrize(
    ("steps", "strength", "every", "wanted"),
    [
        (20, 0.75, False, (20, 16)),
        (20, 0.76, False, (20, 16)),
        (20, 1.0, False, (20, 20)),
        (20, 0.01, False, (20, 1)),
        (1, 0.5, False, (1, 1)),
        (1000, 1.0, False, (1000, 1000)),
        (20, 0.0, False, (20, 0)),
        (20, 0.5, True, (40, 20)),
        (20, 1.0, True, (20, 20)),
    ],
)
def test_steps_of_the_schedule_and_steps_run(steps, strength, every, wanted):
    assert count_steps(steps, strength, every=every) == wanted


@pytest.mark.parametrize(
    ("wanted", "multiple", "legal"), [((512, 512), 8, (512, 512)), ((515, 3), 8, (512, 8)), ((100, 120), 16, (96, 128))]
)
def test_sizes_are_brought_to_the_nearest_multiple(wanted, multiple, legal):
    notes = []
    assert fit_size(wanted, family(multiple), notes) == legal
    assert bool(notes) == (wanted != legal)


def test_both_hires_sides_are_covered_and_cut():
    size = plan_hires((512, 768), HiresParams(True, resize_width=1024, resize_height=1024), family(), [])
    assert size.final == (1024, 1024)
    assert size.enlarged == (1024, 1536)


def test_too_many_pixels_are_refused():
    with pytest.raises(InvalidRequest, match=r"4\.2 megapixels"):
        check_megapixels((2048, 2048), 4.0)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [((100, 60), (96, 64)), ((8000, 4000), (1408, 704)), ((4000, 8000), (704, 1408)), ((80_000_000, 1), (125_000, 8))],
)
def test_pictures_are_encoded_within_the_limit(given, wanted):
    notes = []
    assert fit_encoded(given, 8, 1.0, notes, "Picture 1") == wanted
    assert bool(notes) == (max(given) > 100)
