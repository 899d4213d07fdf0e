"""What the engine tells whoever looks after it: test pictures that fail when drawing fails, and figures that count."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from modules.contracts.errors import StudioError
from modules.contracts.request import CanvasParams, GenerationRequest, PromptParams, SamplingParams


def wish(text):
    return GenerationRequest(
        prompt=PromptParams(text=text),
        canvas=CanvasParams(width=64, height=64),
        sampling=SamplingParams(steps=2, cfg_scale=1.0),
    )


def test_a_test_picture_is_drawn_with_the_model_at_hand_or_says_why_not(bench, monkeypatch):
    engine = bench.engine
    engine.attempt(threading.Event())
    before = engine.stats()
    engine.attempt(threading.Event())
    after = engine.stats()
    assert after["targets"]["unet"]["forwards"] > before["targets"]["unet"]["forwards"]
    assert after["caches"]["models"]["misses"] == before["caches"]["models"]["misses"]

    def broken(target, function):
        raise RuntimeError("the device is lost")

    monkeypatch.setattr(engine.multiplexer, "_forward", lambda group: broken(None, None))
    with pytest.raises(StudioError, match="the device is lost"):
        engine.attempt(threading.Event())
    monkeypatch.undo()
    engine.attempt(threading.Event())


def test_a_test_picture_that_is_no_longer_wanted_ends(bench):
    stopped = threading.Event()
    stopped.set()
    before = bench.engine.stats()["targets"].get("unet", {"forwards": 0})["forwards"]
    bench.engine.attempt(stopped)
    assert bench.engine.stats()["targets"].get("unet", {"forwards": 0})["forwards"] == before


def test_what_caches_held_is_counted(bench):
    def tallies():
        return {name: dict(row) for name, row in bench.engine.stats()["caches"].items()}

    bench.draw(wish("a counted cat"))
    first = tallies()
    bench.draw(wish("a counted cat"))
    second = tallies()
    bench.draw(wish("a counted dog"))
    third = tallies()
    assert second["embeddings"]["hits"] == first["embeddings"]["hits"] + 1
    assert second["embeddings"]["misses"] == first["embeddings"]["misses"]
    assert third["embeddings"]["misses"] == second["embeddings"]["misses"] + 1
    assert second["models"]["hits"] == first["models"]["hits"] + 1
    bench.engine.unload()
    bench.draw(wish("a counted dog"))
    fourth = tallies()
    assert fourth["models"]["misses"] == third["models"]["misses"] + 1
    assert fourth["embeddings"]["misses"] == third["embeddings"]["misses"] + 1, "a tally outlives its cache"


def test_sizes_of_merged_forwards_are_counted(bench):
    def sizes():
        return dict(bench.engine.stats()["targets"].get("unet", {}).get("sizes", {}))

    before = sizes()
    bench.draw(replace(wish("three"), canvas=CanvasParams(width=64, height=64, batch_size=3)))
    after = sizes()
    assert after[3] == before.get(3, 0) + 2
