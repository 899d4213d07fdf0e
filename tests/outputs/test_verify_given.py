"""Pictures that came with a request besides the one it starts from are there when its own are drawn again."""

from __future__ import annotations

import dataclasses

import pytest

from modules.contracts.errors import UnsupportedFeature
from modules.contracts.guidance import GuidanceParams
from modules.contracts.request import (
    CanvasParams,
    GenerationRequest,
    HiresParams,
    ImageParams,
    InpaintParams,
    PromptParams,
    SamplingParams,
    SeedParams,
)
from modules.outputs.replay import request_of
from modules.outputs.verify import Verifier
from tests.factories.pocket import make_pocket_engine, pocket_studio
from tests.outputs.making import drawing


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """(queue with two lanes, store) over the engine of the pocket model."""
    folder = tmp_path_factory.mktemp("given")
    with pocket_studio(folder, make_pocket_engine(folder), lanes=2) as made:
        yield made


PLAIN = GenerationRequest(
    prompt=PromptParams("a red circle on a white background", "blue"),
    canvas=CanvasParams(64, 64),
    seeds=SeedParams(7),
    sampling=SamplingParams(steps=3, cfg_scale=4.0, s_min_uncond=3.0),
    guidance=GuidanceParams(end=0.8, schedule="cosine up", mimic_scale=2.0, apg=True, perp_neg=1.0),
)
FIRST = dataclasses.replace(
    PLAIN,
    hires=HiresParams(enabled=True, scale=1.5, steps=2, upscaler="Latent", denoising_strength=0.5),
    first_pass=drawing(),
)
MASKED = dataclasses.replace(
    PLAIN,
    image=ImageParams((drawing(),), 0.8),
    inpaint=InpaintParams(
        drawing("L"), drawing("L", (0, 0, 31, 63)), blur=2, blur_y=0, only_masked=False, round=False, fill="original"
    ),
)


@pytest.mark.parametrize("request_made", [FIRST, MASKED], ids=["first pass", "latent mask"])
def test_it_comes_out_the_same(studio, request_made):
    queue, store = studio
    handle = queue.submit(request_made, "ann")
    handle.wait(120)
    (row,) = store.list(job_id=handle.id)
    again = request_of(row, queue.request(row.job_id))
    assert again.first_pass == request_made.first_pass
    assert again.guidance == request_made.guidance
    assert again.inpaint == request_made.inpaint
    verdict = Verifier(store, queue, quality=lambda: 90).verify(row.id, "ann", company=1)
    assert verdict.same
    assert verdict.changes == ()
    with pytest.raises(UnsupportedFeature, match="has not kept"):
        request_of(row, None)
