"""Styles: applied to prompts, read from A1111's table and from JSON, kept and forgotten."""

from __future__ import annotations

import json
import os

import pytest

from modules.contracts.errors import InvalidRequest, UnknownName
from modules.contracts.prompts import Style
from modules.prompts.styles import Styles, apply_styles


@pytest.mark.parametrize(
    ("text", "styles", "wanted"),
    [
        ("cat", ["oil"], "cat, oil"),
        ("cat", ["oil of {prompt}, old"], "oil of cat, old"),
        ("cat", ["a {prompt}", "{prompt} b", "c"], "a cat b, c"),
        ("", ["oil"], "oil"),
        (" cat ", [""], "cat"),
        ("cat", ["{prompt} and {prompt}"], "cat and cat"),
        ("cat", [], "cat"),
    ],
)
def test_applying(text, styles, wanted):
    assert apply_styles(text, styles) == wanted


def test_a1111s_table_and_json_are_read(tmp_path):
    own, folder = tmp_path / "styles.csv", tmp_path / "styles"
    folder.mkdir()
    own.write_text(
        '\ufeffname,prompt,negative_prompt\nOil,"oil, {prompt}","photo, ""sharp"""\n# group,,\nBare,x,\n', "utf-8"
    )
    (folder / "a.csv").write_text("name,text\nOld,old words\nOil,hidden\n", "utf-8")
    (folder / "b.json").write_text(json.dumps([{"name": "List", "prompt": "l", "negative_prompt": "n"}]), "utf-8")
    (folder / "c.json").write_text(json.dumps({"Map": {"prompt": "m"}, "Text": "t"}), "utf-8")
    (folder / "d.json").write_text(json.dumps({"name": "One", "prompt": "o", "negative": "p"}), "utf-8")
    (folder / "e.json").write_text("{not json", "utf-8")
    (folder / "f.json").write_text(json.dumps([1, 2]), "utf-8")
    assert Styles(own, folder).all() == (
        Style("Oil", "oil, {prompt}", 'photo, "sharp"'),
        Style("Bare", "x"),
        Style("Old", "old words"),
        Style("List", "l", "n"),
        Style("Map", "m"),
        Style("Text", "t"),
        Style("One", "o", "p"),
    )


def test_names_are_found_as_written_or_in_any_case(tmp_path):
    (tmp_path / "s.csv").write_text("name,prompt,negative_prompt\nOil,a,\noil,b,\nInk,c,\n", "utf-8")
    styles = Styles(tmp_path / "s.csv")
    found, unknown = styles.find(("oil", "Oil", "INK", "nope"))
    assert [style.prompt for style in found] == ["b", "a", "c"]
    assert unknown == ("nope",)


def test_keeping_and_dropping(tmp_path):
    path = tmp_path / "deep" / "styles.csv"
    styles = Styles(path)
    styles.keep(Style("Oil", "a, {prompt}\nb", 'say "x"'))
    styles.keep(Style("Ink", "c"))
    styles.keep(Style("Oil", "d"))
    assert Styles(path).all() == (Style("Oil", "d"), Style("Ink", "c"))
    assert path.with_name("styles.csv.bak").is_file()
    styles.drop("Oil")
    assert styles.all() == (Style("Ink", "c"),)
    with pytest.raises(UnknownName, match="Oil"):
        styles.drop("Oil")
    for name in ("", " x", "# x", "a\nb", "x" * 201):
        with pytest.raises(InvalidRequest, match="cannot be called"):
            styles.keep(Style(name))
    with pytest.raises(InvalidRequest, match="at most 100000"):
        styles.keep(Style("long", "x" * 100_001))
    with pytest.raises(InvalidRequest, match="no folder"):
        Styles().keep(Style("x"))


def test_a_file_changed_by_hand_is_read_again(tmp_path):
    path = tmp_path / "styles.csv"
    path.write_text("name,prompt\nA,1\n", "utf-8")
    styles = Styles(path)
    assert styles.all() == (Style("A", "1"),)
    path.write_text("name,prompt\nA,2\n", "utf-8")
    os.utime(path, ns=(1, 1))
    assert styles.all() == (Style("A", "2"),)
