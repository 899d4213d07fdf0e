"""Bad values are refused with a sentence that names value and bounds."""

from __future__ import annotations

import pytest

from modules.contracts.errors import InvalidRequest, OutOfMemory, StudioError, UnknownModel, restore
from modules.contracts.request import (
    CanvasParams,
    GenerationRequest,
    ImageParams,
    InpaintParams,
    PromptParams,
    SamplingParams,
    SeedParams,
)
from modules.contracts.validation import validate

WRONG = [
    (GenerationRequest(sampling=SamplingParams(steps=-3)), r"Steps is -3; allowed is 1 to 1000"),
    (GenerationRequest(canvas=CanvasParams(width=100000)), r"Width is 100000; allowed is 16 to 8192"),
    (GenerationRequest(seeds=SeedParams(seed=2**40)), r"Seed is 1099511627776"),
    (GenerationRequest(sampling=SamplingParams(cfg_scale=float("nan"))), r"CFG scale is nan; a finite number"),
    (GenerationRequest(canvas=CanvasParams(batch_size=64, batch_count=1000)), r"64000; at most 1024"),
    (GenerationRequest(prompt=PromptParams(text="x" * 200_000)), r"200000 characters"),
    (GenerationRequest(image=ImageParams(images=(b"a", b"b", b"c"))), r"3 pictures were given for a batch of 1"),
    (GenerationRequest(image=ImageParams()), r"no picture was given"),
    (GenerationRequest(inpaint=InpaintParams(mask=b"m")), r"mask was given without a picture"),
    (GenerationRequest(image=ImageParams(images=(b"a",)), inpaint=InpaintParams()), r"the mask is empty"),
    (GenerationRequest(image=ImageParams(images=(b"a",), resize_mode="squash")), r"'squash'; allowed are 'stretch'"),
]


@pytest.mark.parametrize(("request_", "words"), WRONG, ids=[words for _, words in WRONG])
def test_a_wrong_value_is_named_with_what_is_allowed(request_, words):
    with pytest.raises(InvalidRequest, match=words):
        validate(request_)


def test_lawful_requests_pass():
    picture = ImageParams(images=(b"picture",))
    assert validate(GenerationRequest()) is None
    assert validate(GenerationRequest(image=picture, inpaint=InpaintParams(mask=b"mask"))) is None


def test_a_stored_error_comes_back_as_its_own_kind():
    back = restore("unknown_model", "No model 'x'.")
    assert isinstance(back, UnknownModel)
    assert (back.message, back.status) == ("No model 'x'.", 404)
    assert isinstance(restore("out_of_memory", "Too large."), OutOfMemory)
    assert type(restore("from the future", "Something.")) is StudioError
