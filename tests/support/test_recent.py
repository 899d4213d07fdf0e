"""The last lines of the log: which are kept, how they are found, and what nobody reads in them."""

from __future__ import annotations

import logging

import pytest

from modules.accounts.secrets import PREFIX
from modules.bootstrap.options import ROOT, NetworkOptions, Options, PathOptions
from modules.support.log import about
from modules.support.options import CORE_SETTINGS
from modules.support.recent import MOST, Recent, hidden_of
from modules.support.settings import Settings

TOKEN = "correct-horse-battery-staple"


@pytest.fixture
def logger():
    made = logging.getLogger("here.and.there")
    made.setLevel(logging.INFO)
    yield made
    made.setLevel(logging.NOTSET)


@pytest.fixture
def recent():
    kept = Recent(lambda: {"/home/ada/data": "data", "/home/ada": "home", TOKEN: "…"}).listen()
    yield kept
    kept.leave()


def said(lines):
    return [line.message for line in lines]


def test_the_last_lines_are_kept_with_what_they_are_about(recent, logger):
    with about(job_id="j1"):
        logger.info("drawn %d", 3)
    try:
        raise ValueError("bad")
    except ValueError:
        logger.exception("it broke")
    first, second = recent.lines()
    assert (first.number, first.message, first.logger, first.job_id) == (1, "drawn 3", "here.and.there", "j1")
    assert (second.level, second.job_id) == (logging.ERROR, None)
    assert "ValueError: bad" in second.error
    for number in range(MOST):
        logger.info("line %d", number)
    assert said(recent.lines()) == [f"line {number}" for number in range(MOST)]
    assert recent.last == MOST + 2
    recent.close()  # as a library does that sets logging up anew
    logger.info("still here")
    assert recent.last == MOST + 3
    recent.leave()
    logger.info("too late")
    assert recent.last == MOST + 3


def test_lines_are_found_by_number_level_and_word(recent, logger):
    logger.info("a quiet word")
    logger.warning("a Loud word")
    logger.error("an end")
    assert said(recent.lines(since=1)) == ["a Loud word", "an end"]
    assert said(recent.lines(level=logging.WARNING)) == ["a Loud word", "an end"]
    assert said(recent.lines(text="LOUD")) == ["a Loud word"]
    assert said(recent.lines(text="there")) == ["a quiet word", "a Loud word", "an end"]
    assert recent.lines(since=3) == ()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (f"the hub took {TOKEN}", "the hub took …"),
        ("/home/ada/data/a.png and /home/ada/b", "data/a.png and home/b"),
        ("redis://ada:hush@host:6379/0", "redis://…@host:6379/0"),
        ("Authorization: Bearer abc.def.ghi", "Authorization: Bearer …"),
        ("GET /a?token=abcdef&size=3", "GET /a?token=…&size=3"),
        ("hf_abcdefghijklmnop was refused", "… was refused"),
        (f"{PREFIX}abcdefghijklmnop was refused", "… was refused"),
        ("password='x y' then", "password='… y' then"),
        ('{"token": "abc", "size": 3}', '{"token": "…", "size": 3}'),
        ("X-Api-Key: abc", "X-Api-Key: …"),
        ("Cookie: session=abc; other=def", "Cookie: …"),
        ("Authorization: Token abc", "Authorization: Token …"),
        ("77 tokens in 2 pieces, key: none", "77 tokens in 2 pieces, key: none"),
    ],
)
def test_secrets_and_folders_are_not_told(recent, logger, written, read):
    logger.info(written)
    assert said(recent.lines()) == [read]


def test_a_secret_is_neither_in_a_stack_trace_nor_found_by_searching(recent, logger):
    try:
        raise ValueError(TOKEN)
    except ValueError:
        logger.exception("refused")
    (line,) = recent.lines()
    assert TOKEN not in line.error
    assert "ValueError: …" in line.error
    assert recent.lines(text=TOKEN[:7]) == ()


def test_what_a_studio_hides_is_what_it_was_given(tmp_path):
    settings = Settings(CORE_SETTINGS)
    network = NetworkOptions(api_auth=(("ada", "hush"),))
    paths = PathOptions(tmp_path / "d", tmp_path / "m", database_url="postgresql://u:deep@host/db")
    hidden = hidden_of(Options(network=network, paths=paths), settings)
    assert hidden[str(tmp_path / "d")] == "data"
    assert hidden[str(ROOT)] == "studio"
    assert {"hush", "deep"} <= hidden.keys()
    assert "" not in hidden
    settings.set_secret("hub_token", TOKEN)
    assert hidden_of(Options(network=network, paths=paths), settings)[TOKEN] == "…"
