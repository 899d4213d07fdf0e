"""File names from patterns: what they say, and that they are safe everywhere."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.outputs.patterns import MAX_NAME_BYTES, TOKENS, Naming, expand, sanitise
from tests.outputs.making import picture

TIME = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def name(pattern, **changes):
    return expand(pattern, Naming(picture(**changes), TIME, "job-1", "me", 7))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("[seed]-[prompt_words]", "42-a cat on 2 mats"),
        ("[seed]", "42"),
        ("[steps]x[cfg]", "12x6.5"),
        ("[width]x[height]", "48x32"),
        ("[sampler] [scheduler]", "DPM++ 2M Karras"),
        ("[model_name]-[model_hash]", "some_model-0123456789"),
        ("[date]", "2026-03-04"),
        ("[datetime]", "20260304050607"),
        ("[datetime<%H-%M>]", "05-06"),
        ("[datetime<%H-%M><Asia/Tokyo>]", "14-06"),
        ("[datetime<%H-%M><No/Where>]", "05-06"),
        ("[job_timestamp]", "20260304050607"),
        ("[batch_number]", "1"),
        ("[generation_number] [number]", "7 00007"),
        ("[user]", "me"),
        ("[prompt_words<2>]", "a cat"),
        ("[hasprompt<cat|none><dog|none>]", "catnone"),
        ("plain", "plain"),
        ("[unknown]-[seed]", "_unknown_-42"),
        ("[none]", "picture"),
        ("", "picture"),
        ("[denoising][seed]", "42"),
    ],
)
def test_what_words_say(pattern, expected):
    assert name(pattern, prompt="a (cat), on: 2 mats!") == expected


def test_hashes_tell_pictures_apart():
    assert name("[prompt_hash]") != name("[prompt_hash]", prompt="other")
    assert name("[image_hash]") != name("[image_hash]", index=3)
    assert re.fullmatch("[0-9a-f]{12}", name("[prompt_hash<12>]"))


@pytest.mark.parametrize(
    ("given_name", "expected"),
    [
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..", "picture"),
        ("...", "picture"),
        ("/", "_"),
        ("C:\\Windows", "C__Windows"),
        ("con", "_con"),
        ("CON.x", "_CON.x"),
        ("com1", "_com1"),
        ("lpt9.tar", "_lpt9.tar"),
        ("console", "console"),
        ("a\x00b\nc", "a_b_c"),
        ("a\u202egnp.exe", "agnp.exe"),
        (" .hidden. ", "hidden"),
        ("a" * 500, "a" * MAX_NAME_BYTES),
        ("e\u0301", "é"),
        ("猫" * 100, "猫" * (MAX_NAME_BYTES // 3)),
        ("\ud83d", "picture"),
    ],
)
def test_names_are_made_safe(given_name, expected):
    assert sanitise(given_name) == expected


_words = st.sampled_from(
    [f"[{token}]" for token in TOKENS] + ["/", "..", "\\", "[", "]", "<", ">", "CON", " ", ".", "\x00", "%"]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(_words, st.text(max_size=9)), max_size=8), st.text(max_size=300))
def test_no_pattern_leaves_the_folder(parts, prompt):
    found = name("".join(parts), prompt=prompt)
    assert found
    assert not set(found) & set('<>:"/\\|?*\x00')
    assert found not in (".", "..")
    assert found == found.strip(" .")
    assert len(found.encode()) <= MAX_NAME_BYTES + 1
    assert not re.match(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)", found)
    assert found.isprintable()
