"""Every parameter is declared once, soundly, and survives storage."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.contracts.codec import decode, encode
from modules.contracts.enlarging import EnlargeParams
from modules.contracts.parameters import declared
from modules.contracts.request import (
    CanvasParams,
    GenerationRequest,
    ImageParams,
    InpaintParams,
    PromptParams,
    SamplingParams,
    SeedParams,
    parameters,
)
from modules.contracts.scripts import ScriptParams


def test_defaults_lie_within_their_own_bounds():
    for item in parameters():
        low, high, value = item.param.minimum, item.param.maximum, item.default
        if isinstance(value, int | float) and not isinstance(value, bool):
            assert low is None or value >= low, item.name
            assert high is None or value <= high, item.name
        if isinstance(item.param.choices, tuple):
            assert value in item.param.choices, item.name


def test_a_legacy_name_is_unique_but_for_the_strength_that_two_modes_share():
    names = [item.param.legacy for item in parameters() if item.param.legacy]
    assert sorted({name for name in names if names.count(name) > 1}) == ["denoising_strength"]


def groups(request):
    """All of a request but the settings that it carries along, which are declared as settings, a lone picture, and what
    stands there any number of times."""
    others = ("own", "first_pass", "further", "each")
    names = [item.name for item in dataclasses.fields(request) if item.name not in others]
    return [(name, getattr(request, name)) for name in names]


def test_every_field_of_a_group_is_declared_or_carries_what_comes_with_pictures():
    carried = {("image", "images"), ("inpaint", "mask"), ("inpaint", "latent_mask")}
    carried |= {("enlarge", "images"), ("enlarge", "infotexts"), ("control", "units"), ("style", "image")}
    carried |= {("regions", "mask"), *(("scripts", item.name) for item in dataclasses.fields(ScriptParams))}
    found = {item.path for item in parameters()} | carried
    request = GenerationRequest(image=ImageParams(), inpaint=InpaintParams(), enlarge=EnlargeParams())
    for name, group in groups(request):
        for item in dataclasses.fields(group):
            assert (name, item.name) in found


def test_no_group_has_more_than_twelve_fields_but_one():
    """Of a job that makes pictures larger the group is all there is to say."""
    request = GenerationRequest(image=ImageParams(), inpaint=InpaintParams(), enlarge=EnlargeParams())
    for _, group in groups(request):
        assert len(dataclasses.fields(group)) <= (13 if isinstance(group, EnlargeParams) else 12)


def test_something_that_is_no_group_is_refused():
    with pytest.raises(TypeError, match="int"):
        list(declared(int))


REQUESTS = st.builds(
    GenerationRequest,
    prompt=st.builds(PromptParams, text=st.text(), negative=st.text(), styles=st.lists(st.text()).map(tuple)),
    canvas=st.builds(CanvasParams, width=st.none() | st.integers(16, 8192), tiling=st.booleans()),
    seeds=st.builds(SeedParams, seed=st.integers(-1, 2**32 - 1), subseed_strength=st.floats(0, 1)),
    sampling=st.builds(SamplingParams, steps=st.integers(1, 1000), cfg_scale=st.none() | st.floats(0, 100)),
    image=st.none() | st.builds(ImageParams, images=st.lists(st.binary(), min_size=1).map(tuple)),
    inpaint=st.none() | st.builds(InpaintParams, mask=st.binary(), blur=st.integers(0, 64)),
)


@settings(max_examples=200, deadline=None)
@given(REQUESTS)
def test_a_request_comes_back_from_storage_equal(request):
    assert decode(GenerationRequest, encode(request)) == request


def test_a_stored_field_that_nobody_knows_is_an_error():
    stored = encode(GenerationRequest())
    stored["prompt"]["mood"] = "sunny"
    with pytest.raises(ValueError, match="mood"):
        decode(GenerationRequest, stored)
