"""`/api/v1/jobs`: asking, looking, and what belongs to whom."""

from __future__ import annotations

import pytest

from tests.api.fakes import SMALL, b64, made, picture


def test_a_job_is_stored_and_its_pictures_are_found(client, rig):
    answer = client.post("/api/v1/jobs", json={**SMALL, "seeds": {"seed": 7}, "canvas": {"batch_size": 2}})
    assert answer.status_code == 202
    place = answer.headers["location"]
    assert place == f"/api/v1/jobs/{answer.json()['id']}"
    rig.queue.handle(answer.json()["id"]).wait(10)
    told = client.get(place).json()
    assert (told["state"], told["pictures"], told["owner"]) == ("done", 2, "local")
    assert told["progress"]["progress"] == 1
    assert [row["index"] for row in client.get(f"{place}/pictures").json()["pictures"]] == [0, 1]
    request = client.get(f"{place}/request").json()
    assert request["mode"] == "txt2img"
    assert request["request"]["seeds"]["seed"] == 7
    assert request["request"]["model"]["checkpoint"] == "pocket"
    assert rig.engine.seen[-1].output.save


def test_names_are_looked_up_and_pictures_read(client, rig):
    body = {
        "sampling": {"sampler": "dpm++ 2m karras", "steps": 1},
        "image": {"images": [b64(picture())], "resize_mode": "crop"},
        "inpaint": {"mask": b64(picture(mode="L", color=255)), "fill": "original"},
        "output": {"format": "webp"},
    }
    rig.queue.handle(made(client, **body)["id"]).wait(10)
    asked = rig.engine.seen[-1]
    assert (asked.mode, asked.sampling.sampler, asked.sampling.scheduler) == ("inpaint", "DPM++ 2M", "Karras")
    assert (asked.image.resize_mode, asked.inpaint.fill, asked.output.format) == ("crop", "original", "webp")


@pytest.mark.parametrize(
    ("model", "steps", "drawn"), [(None, None, 20), ("people/photo", None, 4), ("people/photo", 9, 9)]
)
def test_steps_left_out_are_those_that_the_model_is_best_drawn_with(client, rig, model, steps, drawn):
    rig.queue.handle(made(client, model={"checkpoint": model}, sampling={"steps": steps})["id"]).wait(10)
    assert rig.engine.seen[-1].sampling.steps == drawn


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"sampling": {"steps": 0}}, 422, "steps"),
        ({"sampling": {"steps": 2.5}}, 422, "steps"),
        ({"sampling": {"steps": "2"}}, 422, "steps"),
        ({"canvas": {"width": 100_000}}, 422, "width"),
        ({"prompt": {"txt": "a"}}, 422, "txt"),
        ({"output": {"save": False}}, 422, "save"),
        ({"image": {"images": []}}, 422, "images"),
        ({"image": {"images": ["../../etc/passwd"]}}, 422, "not base64"),
        ({"inpaint": {"mask": b64(picture())}}, 422, "without a picture"),
        ({"model": {"checkpoint": "../../etc/passwd"}}, 404, "There is no model"),
        ({"sampling": {"sampler": "Sorcery"}}, 404, "Sampler not found"),
        ({"terms": {"priority": 11}}, 422, "priority"),
        ({"terms": {"deadline": "2001-01-01T00:00:00Z"}}, 422, "has passed"),
        ({"terms": {"deadline": "2099-01-01T00:00:00"}}, 422, "timezone"),
        ({"terms": {"timeout": 0}}, 422, "timeout"),
        ({"prompt": {"styles": "x"}}, 422, "styles"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_stored(client, rig, body, status, word):
    answer = client.post("/api/v1/jobs", json=body)
    assert answer.status_code == status, answer.text
    assert word in answer.text
    assert rig.queue.list() == []


def test_bounds_in_the_document_are_those_of_the_declarations(client):
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    steps = schemas["SamplingWanted"]["properties"]["steps"]
    number = steps["anyOf"][0]
    assert (number["minimum"], number["maximum"], steps.get("default")) == (1, 1000, None)
    assert "the model is best drawn with" in steps["description"]
    assert "save" not in schemas["OutputWanted"]["properties"]
    assert schemas["JobWanted"]["examples"]


def test_the_same_key_gives_the_same_job(client, rig):
    first = client.post("/api/v1/jobs", json=SMALL, headers={"idempotency-key": "k"}).json()
    again = client.post("/api/v1/jobs", json=SMALL, headers={"idempotency-key": "k"}).json()
    assert first["id"] == again["id"]
    other = client.post("/api/v1/jobs", json={"sampling": {"steps": 3}}, headers={"idempotency-key": "k"})
    assert other.status_code == 422
    assert len(rig.queue.list()) == 1


def test_lists_are_filtered_and_paged(client, rig):
    ids = [made(client)["id"] for _ in range(5)]
    for job in ids:
        rig.queue.handle(job).wait(10)
    first = client.get("/api/v1/jobs?limit=2&state=done").json()
    assert ([row["id"] for row in first["jobs"]], first["total"]) == (ids[:2:-1], 5)
    second = client.get(f"/api/v1/jobs?limit=5&state=done&state=failed&after={first['following']}").json()
    assert [row["id"] for row in second["jobs"]] == ids[2::-1]
    assert second["following"] is None
    assert client.get("/api/v1/jobs?state=queued").json()["total"] == 0
    assert client.get("/api/v1/jobs?since=2090-01-01T00:00:00Z").json()["jobs"] == []
    assert client.get("/api/v1/jobs?model=people/photo").json()["jobs"] == []
    for wrong in ("state=sleeping", "limit=0", "limit=1001", "since=yesterday", "model=%00"):
        assert client.get(f"/api/v1/jobs?{wrong}").status_code == 422, wrong


def test_waiting_jobs_are_paused_moved_cancelled_and_asked_for_again(people):
    rig, clients = people
    ann = clients["ann"]
    rig.engine.hold()
    made(ann)
    assert rig.engine.entered.acquire(timeout=10)
    waiting = [made(ann)["id"] for _ in range(3)]
    assert ann.post(f"/api/v1/jobs/{waiting[2]}/move", json={"before": waiting[0]}).status_code == 200
    places = [ann.get(f"/api/v1/jobs/{job}").json()["progress"]["position"] for job in waiting]
    assert places[2] < places[0] < places[1]
    assert ann.post(f"/api/v1/jobs/{waiting[0]}/pause").json()["paused"] is True
    assert ann.get("/api/v1/jobs?paused=true").json()["total"] == 1
    assert ann.post(f"/api/v1/jobs/{waiting[0]}/resume").json()["paused"] is False
    assert ann.post(f"/api/v1/jobs/{waiting[1]}/requeue").status_code == 422
    assert ann.post(f"/api/v1/jobs/{waiting[1]}/cancel").json()["state"] == "cancelled"
    assert ann.post(f"/api/v1/jobs/{waiting[1]}/move", json={}).status_code == 422
    assert ann.post(f"/api/v1/jobs/{waiting[2]}/move", json={"before": waiting[2]}).status_code == 422
    again = ann.post(f"/api/v1/jobs/{waiting[1]}/requeue")
    assert again.status_code == 201
    assert (again.json()["origin"], again.json()["state"]) == (waiting[1], "queued")
    assert again.headers["location"].endswith(again.json()["id"])


def test_the_queue_is_held_by_admins_only(people):
    rig, clients = people
    assert clients["ann"].post("/api/v1/queue/pause").status_code == 403
    assert clients["ada"].post("/api/v1/queue/pause").json()["paused"] is True
    job = made(clients["ann"])["id"]
    assert clients["ann"].get("/api/v1/queue").json() == {
        "lanes": rig.studio.options.run.lanes,
        "paused": True, "mine": 1, "all": 1, "running": [], "shares": [], "waiting_bytes": {},
    } | {key: clients["ann"].get("/api/v1/queue").json()[key] for key in ("shares", "waiting_bytes")}  # fmt: skip
    assert clients["ann"].put("/api/v1/queue/shares/ann", json={"weight": 9}).status_code == 403
    told = clients["ada"].put("/api/v1/queue/shares/ann", json={"weight": 2}).json()
    assert ("ann", 2.0) in [(row["owner"], row["weight"]) for row in told["shares"]]
    assert clients["ada"].put("/api/v1/queue/shares/ann", json={"weight": 0}).status_code == 422
    assert clients["ada"].post("/api/v1/queue/resume").json()["paused"] is False
    rig.queue.handle(job).wait(10)


def test_what_a_failed_job_said_can_be_read(client, rig):
    rig.engine.fail["a cat"] = ZeroDivisionError("x")
    job = made(client)["id"]
    while (state := rig.queue.get(job).state) != "failed":
        assert state in ("queued", "running")
    told = client.get(f"/api/v1/jobs/{job}").json()
    assert told["error"]["message"]
    told = client.get(f"/api/v1/jobs/{job}/log").json()
    assert (told["total"], told["following"]) == (len(told["lines"]), None)
    assert "failed" in told["lines"][-1]["text"]
    part = client.get(f"/api/v1/jobs/{job}/log?limit=1").json()
    assert part == {"lines": told["lines"][:1], "following": 1 if told["total"] > 1 else None, "total": told["total"]}


def test_everybody_sees_their_own_and_admins_see_all(people):
    rig, clients = people
    job = made(clients["ann"])["id"]
    rig.queue.handle(job).wait(10)
    for path in ("", "/request", "/log", "/pictures"):
        address = f"/api/v1/jobs/{job}{path}"
        assert clients["ann"].get(address).status_code == 200
        assert clients["ada"].get(address).status_code == 200
        assert clients["bob"].get(address).status_code == 403
    assert clients["bob"].get("/api/v1/jobs").json()["jobs"] == []
    assert clients["bob"].get("/api/v1/jobs?owner=ann").status_code == 403
    assert clients["bob"].get("/api/v1/jobs?owner=*").status_code == 403
    assert clients["ada"].get("/api/v1/jobs").json()["jobs"] == []
    assert clients["ada"].get("/api/v1/jobs?owner=*").json()["total"] == 1
    for unknown in ("nothing", "%00", "a" * 300, "..%2f..%2fetc"):
        assert clients["ann"].get(f"/api/v1/jobs/{unknown}").status_code == 404


def test_the_order_of_the_queue_shows_who_goes_first(make_rig):
    rig = make_rig(lanes=1)
    client = rig.client()
    rig.engine.hold()
    first = made(client)["id"]
    assert rig.engine.entered.acquire(timeout=10)
    second, third, held = (made(client)["id"] for _ in range(3))
    client.post(f"/api/v1/jobs/{held}/pause")
    told = client.get("/api/v1/queue/jobs").json()
    assert [job["id"] for job in told["jobs"]] == [first, second, third, held]
    assert (told["jobs"][0]["state"], told["total"]) == ("running", 4)
    client.post(f"/api/v1/jobs/{third}/move", json={"before": second})
    part = client.get("/api/v1/queue/jobs?limit=2&after=1").json()
    assert ([job["id"] for job in part["jobs"]], part["following"]) == ([third, second], 3)
    assert [job["progress"]["position"] for job in part["jobs"]] == [0, 1]
    assert client.get("/api/v1/queue").json()["lanes"] == rig.studio.options.run.lanes
    rig.engine.let_go()


def test_the_order_shows_others_jobs_to_admins_only(people):
    rig, clients = people
    rig.engine.hold()
    running = made(clients["ann"])["id"]
    assert rig.engine.entered.acquire(timeout=10)
    mine = made(clients["bob"])["id"]
    assert [job["id"] for job in clients["bob"].get("/api/v1/queue/jobs").json()["jobs"]] == [mine]
    assert clients["bob"].get("/api/v1/queue/jobs?owner=ann").status_code == 403
    everybody = clients["ada"].get("/api/v1/queue/jobs?owner=*").json()
    assert ({job["id"] for job in everybody["jobs"]}, everybody["total"]) == ({running, mine}, 2)
    rig.engine.let_go()
