"""The way of attention that was chosen is used, recorded, and refused where it is not there."""

from __future__ import annotations

import pytest

from modules.bootstrap.options import DeviceOptions, Options
from modules.contracts.errors import UnsupportedFeature
from tests.processing_diffusers.conftest import CLOSE, ask, in_threads, link_models, make_engine


@pytest.fixture(scope="module")
def started(tmp_path_factory, request):
    """An engine that was started with --attention plain."""
    models = link_models(tmp_path_factory.mktemp("attention-models"), request, ["sd15"])
    options = Options(device=DeviceOptions(attention="plain"))
    bench = make_engine(tmp_path_factory.mktemp("attention"), models, options=options)
    yield bench
    bench.engine.close()


@pytest.fixture
def watched(started, monkeypatch):
    """The names of the processors that computed since the last look."""
    from diffusers.models import attention_processor

    seen = set()
    for name in ("AttnProcessor", "AttnProcessor2_0", "SlicedAttnProcessor"):
        kind = getattr(attention_processor, name)
        plain = kind.__call__

        def call(self, *given, name=name, plain=plain, **named):
            seen.add(name)
            return plain(self, *given, **named)

        monkeypatch.setattr(kind, "__call__", call)
    yield seen
    started.settings.update({"cross_attention_optimization": "Automatic"})


def test_the_flag_holds_until_the_setting_says_something_else(started, watched, bench, exact):
    wanted = exact(bench.draw(ask()))
    watched.clear()
    for setting, used, processor in (
        ("Automatic", "plain", "AttnProcessor"),
        ("sliced", "sliced", "SlicedAttnProcessor"),
        ("sdp", "sdp", "AttnProcessor2_0"),
    ):
        started.settings.update({"cross_attention_optimization": setting})
        result = started.draw(ask())
        assert result.pictures[0].recipe["attention"] == used
        assert watched == {processor}
        assert float((exact(result) - wanted).abs().max()) <= CLOSE
        watched.clear()


def test_lanes_with_different_ways_take_turns(started, watched, exact):
    alone = exact(started.draw(ask()))
    watched.clear()

    def draw(setting):
        started.settings.update({"cross_attention_optimization": setting})
        return started.draw(ask())

    results = in_threads([lambda s=setting: draw(s) for setting in ("plain", "sliced", "plain", "sliced")])
    assert all(float((exact(result) - alone).abs().max()) <= CLOSE for result in results)
    plan = started.engine.resolve(ask())
    with started.engine.storehouse.lease(plan.model, plan.family, lambda share, part: None) as model:
        left = {type(p).__name__ for p in model.loaded.components["unet"].attn_processors.values()}
    assert left == {"AttnProcessor2_0"}


def test_what_the_device_does_not_offer_is_refused_with_what_it_does(started, watched, tmp_path):
    started.settings.update({"cross_attention_optimization": "xformers"})
    with pytest.raises(UnsupportedFeature, match="available are Automatic, sdp, sdp-math, sliced, plain"):
        started.draw(ask())
    with pytest.raises(UnsupportedFeature, match="'flash' is not available on CPU"):
        make_engine(tmp_path, tmp_path, options=Options(device=DeviceOptions(attention="flash")))
