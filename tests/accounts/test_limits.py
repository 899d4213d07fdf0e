"""Tiers over HTTP: what is used up answers 429 with Retry-After on every route that draws, before any work is done."""

from __future__ import annotations

import base64
import json

import pytest
from starlette.requests import HTTPConnection

from modules.accounts.counters.opening import open_counters
from modules.contracts.accounts import Tier
from modules.outputs.replay import FORMAT
from modules.ui.gate import Reader
from tests.accounts.fronts import MeteredRig
from tests.accounts.test_guests import DRAWING
from tests.api.fakes import PASSWORD, SMALL, b64, made, picture

GIVEN = b64(picture())
LARGER = {"upscaler_1": "Lanczos", "upscaling_resize": 2}
BODIES = {
    "/sdapi/v1/txt2img": {"steps": 2},
    "/sdapi/v1/img2img": {"steps": 2, "init_images": [GIVEN]},
    "/sdapi/v1/extra-single-image": {"image": GIVEN, **LARGER},
    "/sdapi/v1/extra-batch-images": {"imageList": [{"data": GIVEN, "name": "a.png"}], **LARGER},
    "/v1/images/generations": {"prompt": "a cat", "size": "64x64"},
    "/v1/images/edits": {"prompt": "a cat"},
    "/api/v1/jobs": SMALL,
    "/api/v1/experiments": {"request": SMALL, "axes": [{"axis": "Seed", "values": [1]}]},
    "/agent-scheduler/v1/queue/txt2img": {"steps": 2},
    "/agent-scheduler/v1/queue/img2img": {"steps": 2, "init_images": [GIVEN]},
}
REPEATING = ("/api/v1/jobs/{job}/requeue", "/agent-scheduler/v1/task/{job}/requeue")
VERIFYING = "/api/v1/pictures/{picture_id}/verify"
ROUTES = [*BODIES, *REPEATING, VERIFYING, "respond-async"]
RECIPE = {
    "format": FORMAT, "mode": "txt2img", "parameters": {"sampling.steps": 2}, "prompt": "a cat", "negative_prompt": "",
    "first": {"sampler": {"sampler": "Euler", "scheduler": None}, "cfg_scale": 7.0, "width": 64, "height": 64},
    "subseed": 0, "model": {"name": "pocket"}, "vae": None,
}  # fmt: skip
"""Of a picture that can be drawn again."""
ENLARGING = {"/sdapi/v1/extra-single-image", "/sdapi/v1/extra-batch-images"}


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    made_ = MeteredRig(tmp_path_factory.mktemp("studio"), gallery=True)
    made_.engine.recipe = RECIPE
    yield made_
    made_.close()


@pytest.fixture
def bob(rig):
    """A client of somebody whose tier each test sets, without a history of today."""
    rig.accounts.remove_user("bob")
    rig.accounts.add_user("bob", PASSWORD, inherit=True)
    left = rig.accounts.allowance("bob")
    if left.used_today:
        rig.accounts.grant("bob", left.used_today, "a new day")
    client = rig.client(headers=rig.key_of("bob"))
    yield client
    rig.finish()


def ask(client, route, job):
    """The answer of a route that draws, to a lawful request; `job` has ended, and its picture is kept."""
    if route == VERIFYING:
        (row,) = client.get(f"/api/v1/jobs/{job}/pictures").json()["pictures"]
        return client.post(route.format(picture_id=row["id"]), params={"company": 0})
    if route == "respond-async":
        return client.post("/sdapi/v1/txt2img", json={"steps": 2}, headers={"prefer": "respond-async"})
    if route == "/v1/images/edits":
        return client.post(route, data=BODIES[route], files={"image": ("a.png", picture(), "image/png")})
    if route in REPEATING:
        return client.post(route.format(job=job))
    return client.post(route, json=BODIES[route])


def tier(rig, **limits):
    rig.accounts.set_tier(Tier("limited", **limits))
    rig.accounts.change_user("bob", tier="limited")


def without_credits(rig, client):
    tier(rig, credits_per_day=1000)
    left = rig.accounts.allowance("bob").left_today
    rig.accounts.grant("bob", -left, "all gone")
    return "are left today"


def without_credits_this_month(rig, client):
    tier(rig, credits_per_month=1000)
    rig.accounts.grant("bob", -rig.accounts.allowance("bob").left_this_month, "all gone")
    return "are left this month"


def out_of_pictures(rig, client):
    minute = 60 - rig.accounts.left_this_minute("bob")  # of the tier `standard`, in the minute of this test
    tier(rig, pictures_per_minute=max(1, minute))
    if not minute:
        rig.queue.handle(made(client)["id"]).wait(10)
    return "in the last minute"


def in_a_full_queue(rig, client):
    tier(rig, queue_depth=1)
    rig.engine.hold()
    made(client)
    return "wait or run"


@pytest.fixture(params=[without_credits, without_credits_this_month, out_of_pictures, in_a_full_queue])
def spent(request, rig, bob):
    """Somebody who has used up one thing, a job that is done, and what the answer has to say."""
    job = made(bob)["id"]
    rig.queue.handle(job).wait(10)
    return bob, job, request.param(rig, bob)


def test_every_route_that_draws_is_looked_at():
    assert {path for _, path in DRAWING} == {*BODIES, VERIFYING}


def test_of_several_at_once_each_is_refused_by_itself(rig, spent):
    client, _, says = spent
    before = (len(rig.engine.seen), len(rig.queue.list()), len(rig.accounts.ledger(limit=1000)))
    told = client.post("/api/v1/queue/documents", json={"jobs": [{"request": SMALL}] * 2}).json()["jobs"]
    assert [job["id"] for job in told] == [None, None]
    assert all(says in job["error"] for job in told)
    answer = client.post("/agent-scheduler/v1/import", json={"content": json.dumps([{"request": SMALL}])}).json()
    assert answer["success"] is False
    assert says in answer["message"]
    assert (len(rig.engine.seen), len(rig.queue.list()), len(rig.accounts.ledger(limit=1000))) == before


def test_what_is_used_up_is_429_with_retry_after_and_nothing_is_done(rig, spent):
    client, job, says = spent
    before = (len(rig.engine.seen), len(rig.queue.list()), len(rig.accounts.ledger(limit=1000)))
    for route in ROUTES:
        answer = ask(client, route, job)
        assert answer.status_code == 429, (route, answer.text)
        assert int(answer.headers["retry-after"]) >= 1, route
        told = answer.json()
        if route.startswith("/v1/"):
            assert told["error"]["code"] == "rate_limit_exceeded"
            assert says in told["error"]["message"]
        else:
            assert (told["error"], says in told["detail"]) == ("over_limit", True), route
    assert (len(rig.engine.seen), len(rig.queue.list()), len(rig.accounts.ledger(limit=1000))) == before


@pytest.mark.parametrize(
    ("limits", "wishes", "says"),
    [
        ({"max_pixels": 128 * 128 - 1}, {"width": 128, "height": 128}, "16383"),
        ({"max_steps": 9}, {"steps": 10}, "allows 9"),
        ({"max_steps": 9}, {"steps": 2, "enable_hr": True, "hr_second_pass_steps": 10}, "allows 9"),
        ({"max_pixels": 130 * 130}, {"width": 128, "height": 128, "enable_hr": True, "hr_scale": 2}, "65536"),
        ({"models": ("pocket",)}, {"override_settings": {"sd_model_checkpoint": "people/photo"}}, "people/photo"),
        ({"models": ("pocket",)}, {"enable_hr": True, "hr_checkpoint_name": "people/photo"}, "people/photo"),
        ({"credits_per_day": 0.1}, {"width": 512, "height": 512, "steps": 20}, "in all"),
        ({"pictures_per_minute": 2}, {"batch_size": 3}, "2 a minute"),
    ],
)
def test_what_the_tier_never_allows_is_422_and_costs_nothing(rig, bob, limits, wishes, says):
    tier(rig, **limits)
    before = len(rig.engine.seen), len(rig.queue.list()), len(rig.accounts.ledger(limit=1000))
    for path in ("/sdapi/v1/txt2img", "/agent-scheduler/v1/queue/txt2img"):
        answer = bob.post(path, json={"steps": 1, "width": 64, "height": 64, **wishes})
        assert (answer.status_code, says in answer.json()["detail"]) == (422, True), answer.text
    assert (len(rig.engine.seen), len(rig.queue.list()), len(rig.accounts.ledger(limit=1000))) == before


def test_making_larger_needs_no_model_and_keeps_to_the_size(rig, bob):
    tier(rig, models=("nothing",), max_pixels=128 * 128, max_steps=1)
    for route in ENLARGING:
        assert ask(bob, route, "").status_code == 200
        answer = bob.post(route, json={**BODIES[route], "upscaling_resize": 2.1})
        assert (answer.status_code, "16384" in answer.json()["detail"]) == (422, True)


def test_an_admin_and_another_person_are_not_concerned(rig, spent):
    _, job, _ = spent
    rig.engine.let_go()
    for client in rig.clients("ada", "ann"):
        for route in BODIES:
            assert ask(client, route, job).status_code in (200, 202), route


def test_a_picture_is_drawn_again_where_nothing_is_used_up(rig, bob):
    job = made(bob)["id"]
    rig.queue.handle(job).wait(10)
    before = rig.accounts.allowance("bob").used_today
    answer = ask(bob, VERIFYING, job)
    assert answer.status_code == 200, answer.text
    assert rig.accounts.allowance("bob").used_today - before == pytest.approx(2 * 2 * 64 * 64 / 1e6)  # drawn twice


def test_what_is_told_to_wait_works_after_waiting(rig, bob):
    tier(rig, queue_depth=1)
    rig.engine.hold()
    job = made(bob)["id"]
    assert ask(bob, "/api/v1/jobs", job).status_code == 429
    rig.engine.let_go()
    rig.queue.handle(job).wait(10)
    assert ask(bob, "/api/v1/jobs", job).status_code == 202


class TestWithoutCounters:
    """The server that counts has gone: nothing fails in a way nobody foresaw, and no limit silently stops holding."""

    @pytest.fixture
    def rig(self, tmp_path, redis_server):
        counters = open_counters(redis_server.address)
        made_ = MeteredRig(tmp_path, counters=counters, gallery=True)
        made_.engine.recipe = RECIPE
        yield made_
        made_.close()
        counters.close()

    def test_whoever_needs_one_is_told_to_try_again_and_jobs_go_on(self, rig, redis_server):
        ada, bob = rig.clients("ada", "bob")
        browser = rig.client()
        assert browser.post("/api/v1/session", json={"name": "bob", "password": PASSWORD}).status_code == 200
        done = made(bob)["id"]
        rig.queue.handle(done).wait(10)
        rig.engine.hold()
        job = made(bob)["id"]
        redis_server.stop()
        for route in ROUTES:
            answer = ask(bob, route, done)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5"), (route, answer.text)
        assert bob.get("/api/v1/me").status_code == 503
        assert rig.queue.pending("bob") == 1
        rig.engine.let_go()
        assert len(rig.queue.handle(job).wait(10).pictures) == 1
        assert [bob.get(f"/api/v1/jobs/{name}").json()["state"] for name in (done, job)] == ["done", "done"]
        assert rig.accounts.gate.open_charges() == []
        for path in ("/sdapi/v1/options", "/sdapi/v1/progress", "/api/v1/jobs"):
            assert bob.get(path).status_code == 200
            assert browser.get(path).status_code == 200
        assert ask(ada, "/sdapi/v1/txt2img", done).status_code == 200

    def test_passwords_rest_meanwhile(self, rig, redis_server):
        basic = {"authorization": "Basic " + base64.b64encode(f"ada:{PASSWORD}".encode()).decode()}
        client = rig.client(headers=basic)
        assert client.get("/api/v1/session").json()["name"] == "ada"
        redis_server.stop()
        refused = [client.get("/api/v1/session"), client.get("/sdapi/v1/options")]
        refused.append(rig.client().post("/api/v1/session", json={"name": "ada", "password": PASSWORD}))
        assert [(answer.status_code, answer.headers["retry-after"]) for answer in refused] == [(503, "5")] * 3
        headers = [(b"authorization", basic["authorization"].encode())]
        scope = {"type": "http", "headers": headers, "client": ("10.0.0.1", 1)}
        assert Reader(rig.studio.door).owner(HTTPConnection(scope)) is None
