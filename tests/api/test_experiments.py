"""Grids over the project's own API."""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image

from tests.api.fakes import SMALL, b64, picture

AXES = [{"axis": "Seed", "values": "10-12"}, {"axis": "sampling.cfg_scale", "values": [1, 7.5]}]


@pytest.fixture
def rig(make_rig):
    return make_rig(gallery=True)


def begun(client, **changes):
    body = {"request": {**SMALL, "seeds": {"seed": 1}}, "axes": AXES, **changes}
    answer = client.post("/api/v1/experiments", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"].endswith(answer.json()["id"])
    return answer.json()


def test_a_grid_is_begun_looked_at_and_fetched(rig, client):
    dry = client.post("/api/v1/experiments/foresee", json={"request": SMALL, "axes": AXES}).json()
    assert (dry["cells"], dry["cached"], dry["pictures"]) == (6, 0, 6)
    made = begun(client, name="first")
    rig.experiments.wait(made["id"], 30)
    place = f"/api/v1/experiments/{made['id']}"
    told = client.get(place).json()
    assert (told["state"], told["counts"], told["name"]) == ("done", {"done": 6}, "first")
    assert [axis["values"] for axis in told["axes"]] == [[10, 11, 12], [1, 7.5]]
    cells = client.get(f"{place}/cells", params={"limit": 4}).json()
    assert (cells["total"], cells["following"], len(cells["cells"])) == (6, 4, 4)
    (row,) = client.get(f"/api/v1/jobs/{cells['cells'][1]['job_id']}/pictures").json()["pictures"]
    sheet = client.get(f"{place}/files/sheet.png")
    assert sheet.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(sheet.content)).width > 3 * 64
    assert json.loads(client.get(f"{place}/files/cells.json").content)["cells"][1]["picture_id"] == row["id"]
    page = client.get(f"{place}/files/page.html")
    assert page.headers["content-disposition"].startswith("attachment")
    assert client.get(f"{place}/files").json()["files"][-1] == "cells.json"
    assert client.get("/api/v1/experiments").json()["experiments"][0]["id"] == made["id"]
    again = client.post("/api/v1/experiments/foresee", json={"request": SMALL, "axes": AXES}).json()
    assert (again["cells"], again["cached"]) == (6, 6)


def test_cancelling_and_resuming(rig, client):
    rig.engine.hold()
    made = begun(client)
    place = f"/api/v1/experiments/{made['id']}"
    assert client.post(f"{place}/cancel").json() == {"changed": True}
    rig.experiments.wait(made["id"], 30)
    assert client.get(place).json()["state"] == "cancelled"
    rig.engine.let_go()
    assert client.post(f"{place}/resume").json() == {"changed": True}
    assert rig.experiments.wait(made["id"], 30).counts == {"done": 6}
    assert client.post(f"{place}/cancel").json() == {"changed": False}


def test_removing_and_pruning(rig, client):
    made = [begun(client, axes=[{"axis": "Seed", "values": str(number)}]) for number in range(3)]
    for one in made:
        rig.experiments.wait(one["id"], 30)
    place = f"/api/v1/experiments/{made[0]['id']}"
    assert client.delete(place, params={"pictures": True}).json() == {"changed": True}
    assert client.get(place).status_code == client.delete(place).status_code == 404
    assert len(rig.pictures.list()) == 2
    assert client.post("/api/v1/experiments/prune", json={"number": 1}).json() == {"removed": 1}
    assert [row["id"] for row in client.get("/api/v1/experiments").json()["experiments"]] == [made[2]["id"]]
    assert len(rig.pictures.list()) == 2
    assert client.post("/api/v1/experiments/prune", json={"number": -1}).status_code == 422


def test_pictures_to_start_from_go_along(rig, client):
    image = {"images": [b64(picture())], "denoising_strength": 0.5}
    made = begun(client, request={**SMALL, "image": image}, axes=[{"axis": "Denoising", "values": "0.2, 0.4"}])
    rig.experiments.wait(made["id"], 30)
    assert sorted(request.image.denoising_strength for request in rig.engine.seen) == [0.2, 0.4]


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"axes": [{"axis": "Nothing like it", "values": "1"}]}, "no axis"),
        ({"axes": [{"axis": "Steps", "values": "@/etc/passwd"}]}, "read by the terminal alone"),
        ({"axes": [{"axis": "Steps", "values": [2, 5000]}]}, "allowed is 1 to 1000"),
        ({"axes": [{"axis": "Steps", "values": "2"}] * 2}, "twice"),
        ({"axes": [{"axis": "Sampler", "values": ["Nobody's"]}]}, "Sampler not found"),
        ({"axes": [{"axis": "Steps", "values": "1-101"}, {"axis": "Seed", "values": "1-100"}]}, "10100 combinations"),
        ({"exclude": ["seed > "]}, "cannot be worked out"),
        ({"request": {"sampling": {"steps": "many"}}}, "steps"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_a_sentence(rig, client, changes, part):
    answer = client.post("/api/v1/experiments", json={"request": SMALL, "axes": AXES, **changes})
    assert answer.status_code in (404, 422)
    assert part in answer.text
    assert client.get("/api/v1/experiments").json()["experiments"] == []


def test_axes_are_listed_with_every_declared_parameter(client):
    told = client.get("/api/v1/experiments/axes", params={"limit": 1000}).json()["axes"]
    assert {"sampling.steps", "prompt.replace", "control.0.weight"} <= {row["key"] for row in told}


def test_experiments_are_their_owners(people):
    rig, clients = people
    made = begun(clients["ann"])
    rig.experiments.wait(made["id"], 30)
    place = f"/api/v1/experiments/{made['id']}"
    for path in ("", "/cells", "/files", "/files/cells.csv"):
        assert clients["bob"].get(place + path).status_code == 403
    assert clients["bob"].post(f"{place}/cancel").status_code == 403
    assert clients["bob"].delete(place).status_code == 403
    assert clients["bob"].post("/api/v1/experiments/prune", json={"days": 0.0001}).json() == {"removed": 0}
    assert clients["bob"].get("/api/v1/experiments").json()["experiments"] == []
    assert clients["ada"].get(place).status_code == 200
    assert clients["ann"].get("/api/v1/experiments/nothing").status_code == 404
