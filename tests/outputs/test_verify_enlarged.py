"""Pictures that were made larger come out the same again, as long as what they were made of was kept."""

from __future__ import annotations

import dataclasses

import pytest

from modules.contracts.enlarging import EnlargeParams
from modules.contracts.errors import UnsupportedFeature
from modules.contracts.request import GenerationRequest
from modules.outputs.replay import request_of
from modules.outputs.verify import Verifier
from tests.factories.pocket import make_pocket_engine, pocket_studio
from tests.processing_diffusers.conftest import encode, speckled


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify-enlarged")
    with pocket_studio(folder, make_pocket_engine(folder), lanes=3) as made:
        yield made


def test_each_picture_of_a_batch_is_made_again_by_itself(studio):
    queue, store = studio
    pictures = tuple(encode(speckled(side, 24, side)) for side in (16, 40))
    wish = EnlargeParams(pictures, ("a cat", "a dog"), "pocket-x2", "Lanczos", 0.25, width=64, height=48)
    queue.submit(GenerationRequest(enlarge=wish), "ann").wait(60)
    rows = store.list(owner="ann")
    assert [row.infotext[:5] for row in sorted(rows, key=lambda row: row.index)] == ["a cat", "a dog"]
    for row in rows:
        verdict = Verifier(store, queue, lambda: 90).verify(row.id, "ann", company=1)
        assert (verdict.alone.largest, verdict.company.largest, verdict.changes) == (0, 0, ())


def test_without_what_it_was_made_of_it_says_so(studio):
    queue, store = studio
    queue.submit(GenerationRequest(enlarge=EnlargeParams((encode(speckled(16, 16)),))), "bob").wait(60)
    (row,) = store.list(owner="bob")
    with pytest.raises(UnsupportedFeature, match="has not kept"):
        request_of(row, None)
    again = request_of(row, queue.request(row.job_id))
    assert dataclasses.replace(again.enlarge, images=()) == EnlargeParams()
