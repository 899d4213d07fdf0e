"""Sheets, pages and tables: what they show is what was drawn."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from PIL import Image

from modules.contracts.errors import StudioError, UnknownName
from modules.contracts.request import CanvasParams, GenerationRequest, PromptParams, SamplingParams, SeedParams
from modules.support import sheets
from modules.support.sheets import EMPTY, PAPER, Layout, draw_sheet, tiles_of

BASE = GenerationRequest(
    prompt=PromptParams(text="a cat, </script><script>alert(1)</script>"),
    canvas=CanvasParams(width=64, height=64),
    sampling=SamplingParams(steps=2),
    seeds=SeedParams(seed=1, subseed=1),
)


def opened(house, record, name):
    data, _ = house.service.file(record.id, name)
    return Image.open(io.BytesIO(data))


def test_a_sheet_has_every_picture_at_its_place_with_captions(house):
    house.engine.fail["a dog"] = StudioError("It broke.")
    record = house.draw(
        house.experiment(BASE, ("Seed", "10, 20, 30"), ("CFG Scale", "1, 7"), exclude=["x == 30 and y == 7"])
    )
    image = opened(house, record, "sheet.png")
    side, head = image.width - 3 * 64 - 2 * 4, image.height - 2 * 64 - 4
    assert side > 20
    assert head > 10
    middle = lambda row, column: image.getpixel((side + column * 68 + 32, head + row * 68 + 32))  # noqa: E731
    assert [middle(0, n) for n in range(3)] == [(10, 0, 0), (20, 0, 0), (30, 0, 0)]
    assert [middle(1, n) for n in range(3)] == [(10, 0, 0), (20, 0, 0), PAPER]
    captions = image.crop((side, 0, image.width, head)).convert("L")
    assert captions.getextrema()[0] < 100  # there is ink
    assert opened(house, record, "sheet.webp").size == image.size


def test_what_is_not_there_is_said_in_its_place():
    shown = [Image.new("RGB", (32, 32), "red"), "It broke.", None]
    image = draw_sheet(["a", "b", "c"], ["row"], lambda row, column: shown[column], Layout((64, 64), 0, legend=False))
    assert image.size == (192, 64)
    assert image.getpixel((32, 32)) == (255, 0, 0)
    assert image.getpixel((4, 4)) == PAPER
    assert image.getpixel((65, 1)) == EMPTY
    assert len(image.crop((64, 0, 128, 64)).getcolors(4096)) > 2  # the sentence
    assert image.crop((128, 0, 192, 64)).getcolors() == [(64 * 64, PAPER)]


def test_a_large_sheet_goes_on_in_tiles_of_bounded_size(house, monkeypatch):
    monkeypatch.setattr(sheets, "LONGEST_SIDE", 400)
    record = house.draw(house.experiment(BASE, ("Seed", "1-8"), ("CFG Scale", "1-6")))
    names = [name for name in house.service.files(record.id) if name.endswith(".png")]
    assert names[:2] == ["sheet.png", "sheet-2.png"]
    assert len(names) > 2
    tiles = [opened(house, record, name) for name in names]
    assert all(max(tile.size) <= 400 for tile in tiles)
    seen = {color for tile in tiles for _, color in tile.getcolors(100_000) if color[1:] == (0, 0)}
    assert seen >= {(seed, 0, 0) for seed in range(1, 9)}
    with pytest.raises(UnknownName, match="there is no sheet"):
        house.service.file(record.id, f"sheet-{len(names) + 1}.png")


def test_tiles_cover_everything_once():
    columns, rows = ["x"] * 70, ["y"] * 50
    cells = [(r, c) for down, across in tiles_of(columns, rows, Layout((512, 512))) for r in down for c in across]
    assert sorted(cells) == [(r, c) for r in range(50) for c in range(70)]


def test_tables_tell_of_every_cell(house):
    house.engine.fail["a dog, </script><script>alert(1)</script>"] = StudioError("It broke.")
    record = house.draw(house.experiment(BASE, ("Prompt S/R", "cat, dog, =owl"), ("Seed", "5")))
    text = house.service.file(record.id, "cells.csv")[0].decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["state"] for row in rows] == ["done", "failed", "done"]
    assert rows[2]["prompt.replace"] == "'=owl"  # no formula for a spreadsheet
    assert rows[1]["error"] == "It broke."
    told = json.loads(house.service.file(record.id, "cells.json")[0])
    assert [axis["label"] for axis in told["axes"]] == ["Prompt S/R", "Seed"]
    assert told["cells"][0]["picture_id"]
    assert told["cells"][0]["infotext"].startswith("a cat")


def test_a_page_holds_everything_and_no_words_as_markup(house):
    record = house.draw(house.experiment(BASE, ("Prompt S/R", "cat, <b>"), ("Seed", "5, 6"), name="</title><i>"))
    page = house.service.file(record.id, "page.html")[0].decode()
    assert "<b>" not in page
    assert "<i>" not in page
    assert page.count("</script>") == 2
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", page)
    told = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    assert [cell["picture"][:23] for cell in told["cells"]] == ["data:image/webp;base64,"] * 4
    assert told["axes"][0]["values"] == ["cat", "<b>"]


def test_other_names_are_no_files(house):
    record = house.draw(house.experiment(BASE, ("Seed", "5")))
    for name in ("sheet.gif", "../studio.sqlite3", "sheet-0.png", "", "sheet-99999.png"):
        with pytest.raises(UnknownName):
            house.service.file(record.id, name)
    with pytest.raises(UnknownName, match="no experiment"):
        house.service.files("nothing")
