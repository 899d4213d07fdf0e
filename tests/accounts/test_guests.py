"""A guest draws, and sees and stops what was drawn under that name; nothing that lasts is theirs to change."""

from __future__ import annotations

import re

import pytest

from modules.contracts.jobs import JobTerms
from tests.accounts.fronts import MeteredRig
from tests.api.fakes import PASSWORD, SMALL, b64, made, picture
from tests.security.walk import READING, operations

DRAWING = {
    ("post", "/sdapi/v1/txt2img"), ("post", "/sdapi/v1/img2img"), ("post", "/sdapi/v1/extra-single-image"),
    ("post", "/sdapi/v1/extra-batch-images"), ("post", "/v1/images/generations"), ("post", "/v1/images/edits"),
    ("post", "/api/v1/jobs"), ("post", "/api/v1/experiments"), ("post", "/agent-scheduler/v1/queue/txt2img"),
    ("post", "/agent-scheduler/v1/queue/img2img"), ("post", "/api/v1/pictures/{picture_id}/verify"),
}  # fmt: skip
"""Ways to ask for pictures."""
SEVERAL = {
    ("post", "/api/v1/queue/documents"), ("post", "/agent-scheduler/v1/import"),
    ("post", "/agent-scheduler/v1/task/requeue-failed"),
}  # fmt: skip
"""Ways to ask for several jobs at once, of which each is let in or refused by itself."""
JOBS = {
    ("post", f"/api/v1/jobs/{{job_id}}/{word}") for word in ("cancel", "skip", "requeue", "move", "pause", "resume")
} | {
    ("post", "/agent-scheduler/v1/run/{id}"), ("post", "/agent-scheduler/v1/task/{id}/run"),
    ("post", "/agent-scheduler/v1/requeue/{id}"), ("post", "/agent-scheduler/v1/task/{id}/requeue"),
    ("post", "/agent-scheduler/v1/delete/{id}"), ("delete", "/agent-scheduler/v1/task/{id}"),
    ("post", "/agent-scheduler/v1/move/{id}/{over_id}"), ("post", "/agent-scheduler/v1/task/{id}/move/{over_id}"),
    ("post", "/api/v1/experiments/{experiment_id}/cancel"), ("post", "/api/v1/experiments/{experiment_id}/resume"),
    ("post", "/sdapi/v1/interrupt"), ("post", "/sdapi/v1/skip"),
    ("post", "/api/v1/queue/cancel"), ("post", "/agent-scheduler/v1/queue/clear"),
}  # fmt: skip
"""What is done to jobs of the guest's own name."""
HARMLESS = {
    ("post", "/api/v1/session"), ("delete", "/api/v1/session"), ("post", "/api/v1/pictures/zip"),
    ("post", "/api/v1/experiments/foresee"), ("post", "/api/v1/pictures/read"),
    ("post", "/sdapi/v1/png-info"), ("post", "/internal/progress"), ("post", "/api/v1/tokens"),
}  # fmt: skip
"""What changes nothing that is anybody's."""
ABSENT = re.compile("/sdapi/v1/(interrogate|create/.*|train/.*)|/controlnet/detect")
"""Routes that say of themselves that they do nothing."""
SETTINGS = {
    ("post", "/sdapi/v1/options"): {"jpeg_quality": 5},
    ("patch", "/api/v1/settings"): {"jpeg_quality": 5},
    ("put", "/api/v1/settings/{key}"): {"value": 5},
}
"""Routes that refuse a change and take what changes nothing, with a change."""


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    made_ = MeteredRig(tmp_path_factory.mktemp("studio"))
    yield made_
    made_.close()


@pytest.fixture
def guest(rig):
    """Signed in by password: a guest has no tokens of their own, though an admin may make one for them."""
    client = rig.client()
    assert client.post("/api/v1/session", json={"name": "guy", "password": PASSWORD}).json()["role"] == "guest"
    return client


def test_a_guest_draws_sees_and_stops(rig, guest):
    assert guest.post("/sdapi/v1/txt2img", json={"steps": 1}).status_code == 200
    assert guest.post("/sdapi/v1/img2img", json={"steps": 1, "init_images": [b64(picture())]}).status_code == 200
    rig.engine.hold()
    job = made(guest)["id"]
    assert guest.get(f"/api/v1/jobs/{job}").json()["owner"] == "guy"
    assert guest.post(f"/api/v1/jobs/{job}/cancel").status_code == 200
    rig.queue.handle(job).wait(10)
    rig.engine.let_go()
    assert guest.get(f"/api/v1/jobs/{job}").json()["state"] == "cancelled"
    assert len(guest.get("/api/v1/jobs").json()["jobs"]) == 3
    told = guest.get("/api/v1/me").json()
    assert (told["tier"]["name"], told["tier"]["queue_depth"]) == ("guest", 4)


def test_every_route_that_changes_something_is_closed_to_guests_or_on_the_list_above(rig, guest):
    """Whoever adds a route decides here what a guest may do with it."""
    mine = rig.queue.submit(*_asked(rig), terms=JobTerms()).id
    rig.queue.handle(mine).wait(10)
    seen, open_to_all = set(), DRAWING | SEVERAL | JOBS | HARMLESS
    for method, path, _ in operations(guest.app):
        if method in READING or ABSENT.fullmatch(path):
            continue
        seen.add((method, path))
        if (method, path) in open_to_all:
            continue
        address = re.sub(r"\{.*?\}", "1", path.replace("{key}", "jpeg_quality").replace("{picture_id}", f"{mine}-0"))
        answer = guest.request(method, address, json=SETTINGS.get((method, path), {}))
        assert answer.status_code == 403, (method, path, answer.status_code, answer.text)
    assert open_to_all | set(SETTINGS) <= seen
    assert rig.settings["jpeg_quality"] == 90
    assert rig.accounts.preferences("guy") == {}
    assert rig.pictures.get(f"{mine}-0") is not None


def test_a_guest_may_touch_nothing_of_others(rig, guest):
    (ann,) = rig.clients("ann")
    job = made(ann)["id"]
    rig.queue.handle(job).wait(10)
    for method, path in (("get", ""), ("get", "/pictures"), ("post", "/cancel"), ("post", "/requeue")):
        assert guest.request(method, f"/api/v1/jobs/{job}{path}").status_code == 403
    assert job not in guest.get("/api/v1/jobs").text
    assert guest.get("/api/v1/jobs", params={"owner": "*"}).status_code == 403


def test_a_guest_takes_no_experiment_away_and_its_pictures_stay(rig, guest):
    asked = {"request": SMALL, "axes": [{"axis": "Seed", "values": "1, 2"}]}
    key = guest.post("/api/v1/experiments", json=asked).json()["id"]
    rig.experiments.wait(key, 30)
    (job, *_) = {cell.job_id for cell in rig.experiments.cells(key)}
    assert guest.delete(f"/api/v1/experiments/{key}", params={"pictures": True}).status_code == 403
    bounds = {"days": 0.0000001, "pictures": True}
    assert guest.post("/api/v1/experiments/prune", json=bounds).status_code == 403
    assert guest.get(f"/api/v1/experiments/{key}").json()["state"] == "done"
    assert rig.pictures.get(f"{job}-0") is not None


def test_sending_options_back_as_they_were_read_is_no_change(guest):
    assert guest.post("/sdapi/v1/options", json=guest.get("/sdapi/v1/options").json()).status_code == 200


@pytest.mark.parametrize("path", ["/sdapi/v1/refresh-checkpoints", "/sdapi/v1/refresh-vae", "/api/v1/models/refresh"])
def test_a_guest_does_not_have_the_folders_looked_at_and_a_user_does(rig, guest, path):
    (ann,), before = rig.clients("ann"), rig.catalog.refreshed
    assert guest.post(path).status_code == 403
    assert rig.catalog.refreshed == before
    assert ann.post(path).status_code == 200
    assert rig.catalog.refreshed == before + 1


def _asked(rig):
    from modules.contracts.request import CanvasParams, GenerationRequest, PromptParams, SamplingParams

    canvas = CanvasParams(**SMALL["canvas"])
    return GenerationRequest(PromptParams("a cat"), canvas=canvas, sampling=SamplingParams(steps=2)), "guy"
