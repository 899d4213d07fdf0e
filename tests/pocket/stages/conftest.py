"""Fixtures of the stages that build on a base model."""

from __future__ import annotations

import pytest

from tests.factories import pocket_base


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory):
    """The folder of a tiny untrained model in the layout of Stable Diffusion 1.5. Not to be written to."""
    return pocket_base.build_base(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def tuning(tiny_base):
    """How a stage trains on it: two pictures in turn, sixteen a step."""
    from modules.pocket.stages.tuning import Tuning

    return Tuning(base=tiny_base, batch=16, max_steps=2, draw=pocket_base.scene_sample)
