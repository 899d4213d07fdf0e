"""What no lane would draw is known of before a job is stored, and nothing is decoded for it."""

from __future__ import annotations

import pytest

from modules.contracts.catalog import ModelEntry
from modules.contracts.enlarging import EnlargeParams, png_head
from modules.contracts.errors import InvalidRequest, UnsupportedFeature
from modules.contracts.request import CanvasParams, GenerationRequest, HiresParams, ImageParams, ModelParams
from modules.processing_diffusers.examination import examine_request
from modules.sd_models.families import load_families
from modules.support.paths import ROOT

SETTINGS = {"max_megapixels": 17.0, "upscale_max_megapixels": 68.0}
FAMILIES = load_families(ROOT / "configs" / "families.json")


class Catalog:
    """One model of the family sd15."""

    def find_model(self, name):
        return ModelEntry(name or "pocket", ROOT, "diffusers", "sd15", 512)

    def family(self, id):
        return next(family for family in FAMILIES if family.id == id)


def examine(request, **settings):
    examine_request(request, Catalog(), {**SETTINGS, **settings})


def test_a_picture_above_the_setting_is_refused_and_one_below_is_not():
    with pytest.raises(InvalidRequest, match=r"8192x8192 .* max_megapixels allows 17"):
        examine(GenerationRequest(canvas=CanvasParams(8192, 8192)))
    examine(GenerationRequest(canvas=CanvasParams(4096, 4096)))
    examine(GenerationRequest(canvas=CanvasParams(8192, 8192)), max_megapixels=68.0)
    examine(GenerationRequest())


@pytest.mark.parametrize(
    "hires", [HiresParams(enabled=True, scale=8), HiresParams(enabled=True, resize_width=8192, resize_height=64)]
)
def test_the_second_pass_counts_when_it_is_on(hires):
    canvas = CanvasParams(1024, 1024)
    with pytest.raises(InvalidRequest, match="hires size"):
        examine(GenerationRequest(canvas=canvas, hires=hires))
    examine(GenerationRequest(canvas=canvas))


def test_the_size_of_a_given_picture_is_that_of_its_head():
    with pytest.raises(InvalidRequest, match="8000x8000"):
        examine(GenerationRequest(image=ImageParams((png_head((8000, 8000)),))))
    examine(GenerationRequest(image=ImageParams((png_head((800, 800)),))))
    examine(GenerationRequest(canvas=CanvasParams(64, 64), image=ImageParams((png_head((8000, 8000)),))))
    examine(GenerationRequest(image=ImageParams((b"no PNG",))))  # the lane decodes it and says


def test_another_checkpoint_for_the_second_pass_is_refused():
    asked = GenerationRequest(model=ModelParams("pocket"), hires=HiresParams(enabled=True, checkpoint="people/photo"))
    with pytest.raises(UnsupportedFeature, match="same checkpoint"):
        examine(asked)
    examine(GenerationRequest(model=ModelParams("pocket"), hires=HiresParams(enabled=True, checkpoint="pocket")))


def test_an_enlarged_picture_above_its_setting_is_refused():
    asked = GenerationRequest(enlarge=EnlargeParams((png_head((3000, 3000)),), scale=2.0))
    with pytest.raises(InvalidRequest, match="upscale_max_megapixels allows 30"):
        examine(asked, upscale_max_megapixels=30.0)
    examine(asked)
