"""The line that says what somebody has left."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from modules.contracts.accounts import Tier
from modules.contracts.errors import NotReady
from modules.contracts.request import GenerationRequest, PromptParams
from modules.ui.allowance import left_line
from modules.ui.desk import Desk
from modules.ui.handlers import Handlers
from tests.ui.fakes import FakeEngine, fake_studio


@pytest.fixture
def studio(tmp_path) -> Any:
    engine = FakeEngine()
    engine.hold.clear()
    made = fake_studio(tmp_path, engine)
    made.accounts.add_user("ada", "correct horse", role="admin")
    made.accounts.add_user("bob", "correct horse")
    yield made
    made.close()


def left_of(studio: Any, name: str) -> str:
    return Handlers(studio, Desk(studio), SimpleNamespace()).left(SimpleNamespace(username=name))  # type: ignore[arg-type]


def test_nothing_is_said_where_nothing_is_limited(studio):
    studio.accounts.change_user("bob", tier="unlimited")
    assert [left_line(studio, name) for name in ("ada", "bob", "local")] == ["", "", ""]
    assert left_of(studio, "ada") == ""
    assert left_of(studio, "") == ""  # nobody signs in


def test_what_is_left_of_each_limit_is_said(studio):
    limits = {"credits_per_day": 1234.4, "credits_per_month": 20_000, "pictures_per_minute": 1, "queue_depth": 3}
    studio.accounts.set_tier(Tier("standard", **limits))
    studio.queue.submit(GenerationRequest(PromptParams("red")), "bob")
    words = "1,234 credits left today · 20,000 credits left this month · 1 picture this minute · 2 more jobs may wait"
    assert left_line(studio, "bob") == words
    assert left_of(studio, "bob") == f'<p class="left" role="status">{words}</p>'


def test_while_nobody_counts_the_rest_is_said(studio, monkeypatch):
    def refuse(key: str, amount: int, limit: Any) -> Any:
        raise NotReady("The server is gone.")

    studio.accounts.set_tier(Tier("standard", credits_per_day=10, pictures_per_minute=1))
    monkeypatch.setattr(studio.accounts.gate._counters, "look", refuse)
    assert left_line(studio, "bob") == "10 credits left today · The server is gone."
