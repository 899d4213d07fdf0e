"""What the load benchmark says of owners who ask unevenly."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import httpx
import pytest

from modules.bench import command, load
from modules.bench.crowd import Outcome, ask_once
from modules.bench.fairness import Referee, deal, evenness
from modules.bench.residents import ADMIN, TIER, bearer, enlist
from modules.bootstrap.flags import parse
from modules.contracts.errors import InvalidRequest
from tests.accounts.fronts import MeteredRig
from tests.api.fakes import SMALL


def test_clients_are_dealt_out_unevenly_and_everybody_has_one():
    assert Counter(deal(64, ("a", "b", "c", "d"))) == {"a": 6, "b": 13, "c": 19, "d": 26}
    assert Counter(deal(4, ("a", "b", "c", "d"))) == {"a": 1, "b": 1, "c": 1, "d": 1}
    assert deal(3, ("a",)) == ("a", "a", "a")
    assert deal(3, ()) == ()


@pytest.mark.parametrize(("shares", "index"), [([2, 2, 2], 1.0), ([1, 0], 0.5), ([4, 0, 0, 0], 0.25), ([], 1.0)])
def test_evenness_is_one_for_equals_and_a_share_for_one_who_has_all(shares, index):
    assert evenness(shares) == pytest.approx(index)


def test_a_report_tells_each_owners_clients_lanes_and_waiting():
    def drawn(owner, seconds, status=200):
        return Outcome("txt2img", status, seconds, False, status == 200, owner=owner)

    referee = Referee("", "", {"ann": 10.0, "bob": 8.0, "root": 99.0})
    outcomes = [drawn("ann", 1.0), drawn("bob", 2.0), drawn("bob", 4.0), drawn("bob", 1.0, 500)]
    told = referee.report(("ann", "bob", "bob"), outcomes)
    assert told["least_over_most"] == 0.8
    assert 0.98 < told["evenness"] < 1
    assert told["owners"]["ann"] == {
        "clients": 1, "lane_seconds": 10.0, "requests": 1, "refused": 0, "failed": 0, "pictures": 1,
        "p50_seconds": 1.0, "p95_seconds": 1.0,
    }  # fmt: skip
    assert {key: told["owners"]["bob"][key] for key in ("clients", "failed", "pictures")} == {
        "clients": 2, "failed": 1, "pictures": 2,
    }  # fmt: skip


def test_residents_may_come_in_with_their_tokens_and_the_referee_sees_their_lanes(tmp_path, monkeypatch):
    data = tmp_path / "studio"
    data.mkdir()
    tokens = enlist(data, ("ann", "bob"))
    (data / "atelier.sqlite3").rename(data / "studio.sqlite3")  # where the fakes look
    rig = MeteredRig(data)
    try:
        assert sorted(tokens) == ["ann", "bob", ADMIN]
        assert rig.accounts.allowance("ann").tier.credits_per_day == TIER["credits_per_day"]
        app = rig.application()
        client = rig.client(app, headers=bearer(tokens["ann"]))
        rig.queue.handle(client.post("/api/v1/jobs", json=SMALL).json()["id"]).wait(10)
        plain = httpx.AsyncClient
        transport = httpx.ASGITransport(app)
        monkeypatch.setattr(httpx, "AsyncClient", lambda **options: plain(**options, transport=transport))
        referee = Referee("http://127.0.0.1:7860", tokens[ADMIN])
        asyncio.run(referee.watch(0))
    finally:
        rig.close()
    assert referee.seconds["ann"] > 0


def test_every_request_of_an_owner_carries_their_token():
    seen = []

    def answer(request):
        seen.append(request.headers.get("authorization"))
        return httpx.Response(429, headers={"retry-after": "1"})

    async def main(owner, token):
        async with httpx.AsyncClient(base_url="http://studio", transport=httpx.MockTransport(answer)) as http:
            return [await ask_once(http, random.Random(number), owner, token) for number in range(12)]

    outcomes = asyncio.run(main("ann", "secret"))
    assert seen == ["Bearer secret"] * 12
    assert {one.owner for one in outcomes} == {"ann"}
    assert len({one.kind for one in outcomes}) > 2
    asyncio.run(main("", None))
    assert seen[12:] == [None] * 12


def test_more_owners_than_clients_are_refused(monkeypatch):
    with pytest.raises(InvalidRequest, match="5 owners for 4 clients"):
        load.run(parse(["bench"]).options, clients=4, minutes=0.1, owners=5)
    asked = {}
    monkeypatch.setattr(load, "run", lambda options, **wanted: asked.update(wanted) or {})
    assert command.run(["load", "--owners", "3"], parse(["bench"]).options) == 0
    assert asked == {"clients": 64, "minutes": 3.0, "owners": 3}
