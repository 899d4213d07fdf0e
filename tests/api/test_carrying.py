"""Jobs are named, bookmarked, cleared, and carried from one studio to another as documents."""

from __future__ import annotations

import dataclasses
import json

import pytest

from modules.api import carrying
from modules.api.carrying import wanted_of
from modules.outputs.metadata import encode
from tests.api.fakes import SMALL, b64, made, opened, picture

PICTURES = {"image": {"images": [b64(picture())], "resize_mode": "crop"}}
MASK = b64(picture(mode="L", color=255))
WISHES = (
    {},
    {"prompt": {"text": "a (cat:1.2)", "negative": "dog"}, "seeds": {"seed": 5, "subseed": 9, "subseed_strength": 0.5}},
    {"sampling": {"sampler": "DPM++ 2M Karras", "steps": 3}, "handover": {"sampler": "Euler a", "steps": 2}},
    {**PICTURES, "inpaint": {"mask": MASK, "latent_mask": MASK, "fill": "original"}, "output": {"format": "webp"}},
    {"hires": {"enabled": True, "scale": 1.5, "upscaler": "Lanczos", "first_pass": b64(picture())}},
    {"style": {"image": b64(picture()), "strength": 0.5, "content": 0.1}},
    {
        "regions": {"detector": "Mask", "mask": MASK, "confidence": 0.5},
        "detailer": {"prompt": "an eye", "strength": 0.3},
        "further": [{"regions": {"detector": "Colour", "classes": "red"}, "detailer": {"steps": 4}}],
    },
    {"guidance": {"end": 0.6, "apg": True}, "attention": {"pag_scale": 2.0}, "canvas": {"tiling": True}},
    {"control": {"units": [{"enabled": False, "module": "canny", "weight": 0.7, "image": b64(picture())}]}, **PICTURES},
    {"enlarge": {"images": [b64(picture())], "upscaler": "Lanczos", "scale": 2.0}},
)


def bare(asked):
    """What is drawn: the settings of its owner are not carried."""
    return dataclasses.replace(asked, own=())


@pytest.mark.parametrize("wish", WISHES, ids=lambda wish: "-".join(wish) or "plain")
def test_a_carried_job_asks_for_the_same(make_rig, wish):
    here, there = make_rig(lanes=1), make_rig(lanes=1)
    here.engine.hold()
    client = here.client()
    first = made(client)["id"]
    assert here.engine.entered.acquire(timeout=10)
    answer = client.post("/api/v1/jobs", json={**wish, "terms": {"priority": 2, "keep_partial": True}})
    assert answer.status_code == 202, answer.text
    job = answer.json()["id"]
    assert client.patch(f"/api/v1/jobs/{job}", json={"name": "Mine", "bookmarked": True}).json()["name"] == "Mine"
    document = client.get("/api/v1/queue/documents").json()
    assert len(document["jobs"]) == 1
    target = there.client()
    there.engine.hold()
    (taken,) = target.post("/api/v1/queue/documents", json=json.loads(json.dumps(document))).json()["jobs"]
    assert taken["error"] is None
    told = target.get(f"/api/v1/jobs/{taken['id']}").json()
    assert (told["name"], told["bookmarked"], told["terms"]["priority"]) == ("Mine", True, 2)
    assert bare(there.queue.request(taken["id"])) == bare(here.queue.request(job))
    assert here.queue.get(job).state == "queued"
    here.queue.cancel(first)


def test_what_a_picture_said_of_itself_is_carried_with_it(client, rig):
    rig.engine.hold()
    data = encode(opened(b64(picture())), "png", infotext="a cat\nSteps: 2", recipe={}, quality=100)
    job = made(client, enlarge={"images": [b64(data)], "upscaler": "Lanczos", "scale": 2.0})["id"]
    again = made(client, enlarge=wanted_of(rig.queue.request(job))["enlarge"])["id"]
    assert rig.queue.request(again).enlarge.infotexts == ("a cat\nSteps: 2",)


def test_a_list_ends_where_its_pictures_are_large_and_goes_on_from_there(client, rig, monkeypatch):
    rig.queue.pause()
    jobs = [made(client, seeds={"seed": seed}, **PICTURES)["id"] for seed in range(5)]
    size = len(rig.queue.request(jobs[0]).image.images[0])
    monkeypatch.setattr(carrying, "LARGEST_FILE", 2 * size)
    seen = []
    while part := client.get(f"/api/v1/queue/documents?offset={len(seen)}").json()["jobs"]:
        assert len(part) <= 2
        seen += [job["request"]["seeds"]["seed"] for job in part]
    assert seen == list(range(5))


def test_one_that_is_refused_hinders_no_other(client, rig):
    rig.engine.hold()
    job = {"request": {**SMALL}}
    odd = {"request": {"model": {"checkpoint": "nowhere"}}}
    told = client.post("/api/v1/queue/documents", json={"jobs": [job, odd, job]}).json()["jobs"]
    assert [one["id"] is None for one in told] == [False, True, False]
    assert "nowhere" in told[1]["error"]
    for body in ({"jobs": [{"request": {"canvas": {"width": -1}}}]}, {"jobs": "x"}, {}, {"jobs": [{}]}):
        assert client.post("/api/v1/queue/documents", json=body).status_code == 422


def test_lists_are_cleared_but_for_what_is_bookmarked(people):
    rig, clients = people
    ann, bob = clients["ann"], clients["bob"]
    kept, gone, other = made(ann)["id"], made(ann)["id"], made(bob)["id"]
    for job in (kept, gone, other):
        rig.queue.handle(job).wait(10)
    ann.patch(f"/api/v1/jobs/{kept}", json={"bookmarked": True})
    assert [job["id"] for job in ann.get("/api/v1/jobs?bookmarked=true").json()["jobs"]] == [kept]
    assert ann.delete("/api/v1/jobs?owner=*").status_code == 403
    assert ann.delete("/api/v1/jobs").json() == {"jobs": 1}
    assert [job["id"] for job in ann.get("/api/v1/jobs").json()["jobs"]] == [kept]
    assert bob.get("/api/v1/jobs").json()["total"] == 1
    rig.engine.hold()
    running = made(ann)["id"]
    while rig.queue.get(running).state != "running":
        assert rig.engine.entered.acquire(timeout=10)
    waiting = [made(ann)["id"], made(bob)["id"]]
    assert ann.post("/api/v1/queue/cancel").json()["jobs"] >= 1
    assert rig.queue.get(waiting[0]).state == "cancelled"
    assert rig.queue.get(waiting[1]).state == "queued"
    assert rig.queue.get(running).state == "running"


@pytest.mark.parametrize("body", [{}, {"name": "x" * 201}, {"name": "a\nb"}, {"bookmarked": "perhaps"}, {"star": 1}])
def test_marks_that_make_no_sense_are_refused(client, rig, body):
    rig.engine.hold()
    assert client.patch(f"/api/v1/jobs/{made(client)['id']}", json=body).status_code == 422


def test_lists_tell_what_a_job_draws(client, rig):
    rig.engine.hold()
    text = "a red circle\n" + "and " * 200
    job = client.post("/api/v1/jobs", json={**SMALL, "prompt": {"text": text}}).json()["id"]
    larger = client.post("/api/v1/jobs", json={"enlarge": {"images": [b64(picture())], "upscaler": "Lanczos"}}).json()
    rows = {row["id"]: (row["words"], row["mode"]) for row in client.get("/api/v1/jobs").json()["jobs"]}
    words, mode = rows[job]
    assert words.startswith("a red circle and and")
    assert len(words) <= 300
    assert mode == "txt2img"
    assert rows[larger["id"]] == ("", "enlarge")
