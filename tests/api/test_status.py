"""What an admin sees of the studio: everything that is told is true, nothing that is shown is code."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace

import pytest

from modules.contracts.errors import StudioError
from modules.contracts.request import GenerationRequest
from tests.api.fakes import made


def test_the_report_follows_what_happens(people):
    rig, clients = people
    rig.studio = replace(
        rig.studio,
        engine_report=lambda: {
            "targets": {
                "unet": {"forwards": 2, "calls": 6, "mean_lanes": 3, "mean_samples": 5.5, "seconds": 1, "sizes": {}}
            },
            "models": ("/secret/place/pocket",),
            "caches": {"models": {"hits": 9, "misses": 1}},
        },
    )
    app = rig.application()
    ada, ann = (rig.client(app, headers=clients[name].headers) for name in ("ada", "ann"))
    rig.engine.fail["odd"] = StudioError("It went wrong.")
    failed = made(ann, prompt={"text": "odd"})["id"]
    with pytest.raises(StudioError):
        rig.queue.handle(failed).wait(30)
    rig.engine.hold()
    running = made(ann, model={"checkpoint": "people/photo"})["id"]
    assert rig.engine.entered.acquire(timeout=20)
    waiting = made(ann, terms={"priority": 2})["id"]
    now = ada.get("/api/v1/status").json()
    assert now["jobs"] == {"queued": 1, "running": 1, "done": 0, "failed": 1, "cancelled": 0}
    (lane, *idle) = now["lanes"]
    assert (lane["job_id"], lane["owner"], lane["model"], lane["stage"]) == (running, "ann", "people/photo", "denoise")
    assert all(row["job_id"] is None for row in idle)
    assert [(row["job_id"], row["priority"]) for row in now["waiting"]] == [(waiting, 2)]
    assert [(row["job_id"], row["kind"], row["message"]) for row in now["errors"]] == [
        (failed, "studio_error", "It went wrong.")
    ]
    assert now["models"] == ["pocket"]
    assert now["caches"] == {"models": {"hits": 9, "misses": 1}}
    assert now["speeds"]["samples_per_forward"] == 5.5
    assert now["memory"]["process"] == 2
    assert now["versions"]["atelier"] == "0.1.0"
    assert {row["owner"] for row in now["shares"]} == {"ann"}
    rig.engine.let_go()
    rig.queue.handle(waiting).wait(30)
    assert ada.get("/api/v1/status").json()["jobs"]["done"] == 2
    assert ann.get("/api/v1/status").status_code == 403
    assert ann.get("/status").status_code == 403
    assert rig.client(app).get("/status").status_code == 401


def test_the_page_shows_it_and_its_policy_lets_in_nothing_else(client, rig):
    rig.engine.fail["<b>odd</b>"] = StudioError("<script>alert(1)</script> went wrong.")
    job = made(client, prompt={"text": "<b>odd</b>"})["id"]
    with pytest.raises(StudioError):
        rig.queue.handle(job).wait(30)
    rig.status.doubt("A test picture could not be drawn: no <device>.")
    answer = client.get("/status")
    assert answer.status_code == 200
    page, policy = answer.text, answer.headers["content-security-policy"]
    assert "no &lt;device&gt;" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; went wrong." in page
    for title in ("Jobs", "Lanes", "Speeds", "Memory", "Failed of late", "Owners", "Versions", "Refused requests"):
        assert f"<h2>{title}</h2>" in page
    for tag in ("style", "script"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"\son\w+=|style=|javascript:", page)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_looking_at_it_has_no_previews_made(client, rig):
    rig.engine.hold()
    handle = rig.queue.submit(GenerationRequest(), "local")
    assert rig.engine.entered.acquire(timeout=20)
    assert client.get("/status").status_code == client.get("/api/v1/status").status_code == 200
    assert not rig.queue._known[handle.id].watched()
    rig.engine.let_go()
    handle.wait(30)
