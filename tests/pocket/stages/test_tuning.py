"""What the stages share: batches that follow from their number, folders that are replaced whole, rows of the table."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from modules.pocket.stages import control, inpaint
from modules.pocket.stages.base import open_base
from modules.pocket.stages.folders import replace_folder, write_card
from modules.pocket.stages.samples import world_sample
from modules.pocket.stages.table import Run
from modules.pocket.stages.tuned import ROWS, inpaint_folder, run_control
from modules.pocket.stages.tuning import Batches, Tuning
from modules.training.journal import Budget


def test_batches_follow_from_their_number_in_any_process():
    make = Batches(world_sample, (64, 128), 8, 1000, 0.5, control.Shown("canny"))
    sent = pickle.loads(pickle.dumps(make))
    for step in (4, 5):
        for ours, theirs in zip(make(step), sent(step), strict=True):
            assert (ours == theirs).all()
    assert [array.shape[0] for array in make(0)] == [8, 8, 8]
    assert make(1)[0].shape == (2, 128, 128, 3), "as many pixels as of small ones"
    assert make(1)[2].shape == (2, 128, 128, 3)
    assert (make(0)[0] != make(2)[0]).any()
    empty = np.mean([text == "" for step in range(0, 20, 2) for text in make(step)[1]])
    assert 0.25 < empty < 0.75


def test_a_base_from_256_on_is_tuned_at_two_sides():
    assert Tuning().sides_for(256) == (128, 256)
    assert Tuning().sides_for(128) == (128,)
    assert Tuning(sides=(64,)).sides_for(256) == (64,)
    assert Tuning(pace=2).paced((1e-2, 1e-3)) == (2e-2, 2e-3)


def test_a_base_is_opened_frozen_or_not_at_all(tiny_base, tmp_path):
    base = open_base(tiny_base)
    assert (base.side, base.factor, base.velocity) == (64, 8, True)
    parts = (base.unet, base.vae, base.text_encoder)
    assert not any(value.requires_grad for part in parts for value in part.parameters())
    with pytest.raises(FileNotFoundError, match=r"model_index\.json"):
        open_base(tmp_path)


def test_a_folder_is_replaced_whole_or_stays(tmp_path):
    target = tmp_path / "a" / "model"

    def write(text):
        def inner(place):
            (place / "config.json").write_text(json.dumps({"kept": text, "_name_or_path": str(place)}))
            write_card(place / "README.md", "title", text, {"step": 7, "seconds": 90.0})

        return inner

    size = replace_folder(target, write("one"))
    assert json.loads((target / "config.json").read_text()) == {"kept": "one"}
    assert size == sum(path.stat().st_size for path in target.iterdir())
    assert "7 steps in 1.5 minutes" in (target / "README.md").read_text()

    def fail(place):
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        replace_folder(target, fail)
    assert json.loads((target / "config.json").read_text()) == {"kept": "one"}
    replace_folder(target, write("two"))
    assert json.loads((target / "config.json").read_text()) == {"kept": "two"}
    assert "one" in (target / "README.md").read_text(), "a card that was there stays"


def test_a_row_trains_and_exports_beside_the_base(tiny_base, tmp_path):
    names = [name for name, _, _ in ROWS]
    assert len(set(names)) == len(names) == 10
    assert inpaint_folder(tmp_path / "pocket") == tmp_path / "pocket-inpaint"
    with pytest.raises(FileNotFoundError):
        run_control("canny", Run(tmp_path, tmp_path / "none", Budget(1), 60, "cpu"))


def test_the_spent_budget_of_a_row_still_leaves_a_usable_state(tiny_base, tuning, tmp_path):
    figures = inpaint.train_inpaint(tmp_path, Budget(0), 60, tuning)
    assert figures == {"step": 0}
    assert inpaint.export_inpaint(tmp_path, tmp_path / "pocket-inpaint", tiny_base) > 100_000
