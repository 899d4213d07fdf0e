"""`/metrics` as a scraper reads it: it parses, it changes with what happens, and it names nobody."""

from __future__ import annotations

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families

from modules.contracts.errors import OutOfMemory
from modules.monitoring.requests import REASONS
from tests.api.fakes import PASSWORD, SMALL, made

HERE = ("127.0.0.1", 50000)


@pytest.fixture
def app(rig):
    return rig.application()


@pytest.fixture
def client(rig, app):
    return rig.client(app, client=HERE)


def read(client):
    """Samples by name and labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = list(text_string_to_metric_families(answer.text))
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value for family in families for sample in family.samples
    }


def difference(before, after):
    return {key: value - before.get(key, 0) for key, value in after.items() if value != before.get(key, 0)}


def draw(client, rig, **changes):
    job = made(client, **changes)
    rig.queue.handle(job["id"]).wait(30)
    return job["id"]


def test_the_bytes_of_waiting_requests_are_a_figure(client, rig):
    rig.queue.pause()
    assert read(client)[("atelier_queue_waiting_bytes",)] == 0
    job = made(client)
    assert 500 < read(client)[("atelier_queue_waiting_bytes",)] == rig.queue.waiting_bytes()
    assert read(client)[("atelier_queue_waiting_bytes_limit",)] == 2**31
    rig.queue.cancel(job["id"])
    rig.queue.resume()
    assert read(client)[("atelier_queue_waiting_bytes",)] == 0


def test_figures_change_with_jobs(client, rig):
    before = read(client)
    for seed in range(3):
        draw(client, rig, seeds={"seed": seed}, sampling={"steps": 4})
    change = difference(before, read(client))
    assert change[("atelier_jobs_submitted_total",)] == 3
    assert change[("atelier_jobs_ended_total", ("state", "done"))] == 3
    assert change[("atelier_jobs", ("state", "done"))] == 3
    assert change[("atelier_pictures_total",)] == 3
    assert change[("atelier_job_wait_seconds_count",)] == 3
    assert change[("atelier_job_run_seconds_count",)] == 3
    assert change[("atelier_step_seconds_count",)] == 3 * 4
    assert change[("atelier_step_seconds_bucket", ("le", "+Inf"))] == 3 * 4
    posted = (("method", "POST"), ("route", "/api/v1/jobs"), ("status", "202"))
    assert change[("atelier_http_requests_total", *posted)] == 3
    assert ("atelier_jobs_ended_total", ("state", "failed")) not in change


def test_waiting_running_and_failed_jobs_are_told_apart(client, rig):
    rig.engine.hold()
    running = [made(client)["id"] for _ in range(2)]
    for _ in running:
        assert rig.engine.entered.acquire(timeout=20)
    waiting = [made(client)["id"] for _ in range(3)]
    now = read(client)
    assert (now[("atelier_jobs", ("state", "running"))], now[("atelier_jobs", ("state", "queued"))]) == (2, 3)
    client.post(f"/api/v1/jobs/{waiting[2]}/cancel")
    rig.engine.let_go()
    for job in (*running, *waiting[:2]):
        rig.queue.handle(job).wait(30)
    rig.engine.fail["too large"] = OutOfMemory("Too large.")
    with pytest.raises(OutOfMemory):
        draw(client, rig, prompt={"text": "too large"})
    now = read(client)
    states = {state: now[("atelier_jobs", ("state", state))] for state in ("queued", "running", "done", "cancelled")}
    assert states == {"queued": 0, "running": 0, "done": 4, "cancelled": 1}
    assert now[("atelier_jobs_failed_total", ("kind", "out_of_memory"))] == 1
    assert now[("atelier_jobs_ended_total", ("state", "cancelled"))] == 1


def test_requests_are_counted_by_template_and_refusals_by_reason(client):
    before = read(client)
    for path in ("/api/v1/jobs/one", "/api/v1/jobs/two", "/nowhere/at/all", "/sdapi/v1/samplers/"):
        client.get(path)
    client.post("/sdapi/v1/txt2img", json={"steps": 1}, headers={"origin": "https://evil.example"})
    client.post("/sdapi/v1/txt2img", json={"steps": "many"})
    client.post("/sdapi/v1/txt2img", content=b"x", headers={"content-type": "text/plain"})
    client.request("BREW", "/sdapi/v1/samplers")
    change = difference(before, read(client))
    counted = {key[1:]: value for key, value in change.items() if key[0] == "atelier_http_requests_total"}

    def times(method, route, status):
        return counted[(("method", method), ("route", route), ("status", status))]

    assert times("GET", "/api/v1/jobs/{job_id}", "404") == 2
    assert times("GET", "unknown", "404") == 1
    assert times("GET", "/sdapi/v1/samplers", "200") == 1
    assert sum(value for labels, value in counted.items() if labels[0] == ("method", "other")) == 1
    reasons = {key[1][1]: value for key, value in change.items() if key[0] == "atelier_http_refused_total"}
    assert reasons["unknown_name"] == 2
    assert (reasons["foreign_origin"], reasons["invalid_body"], reasons["unsupported_media_type"]) == (1, 1, 1)
    assert set(reasons) <= REASONS | {"other"}


def test_memory_engine_and_caches_are_read_when_asked(make_rig):
    from dataclasses import replace

    from modules.processing_diffusers.multiplexer.figures import Figures

    rig, figures = make_rig(), Figures()
    report = {"models": ("/secret/place/pocket",), "caches": {"embeddings": {"hits": 3, "misses": 1}}}
    rig.studio = replace(rig.studio, engine_report=lambda: {**figures.report(), **report})
    client = rig.client(client=HERE)
    figures.count("unet", 1, 2, 0.5)
    figures.count("unet", 3, 6, 0.25)
    figures.count("a part with a name of its own", 1, 1, 1.0)
    now = read(client)
    assert now[("atelier_memory_bytes", ("of", "process"))] == 2
    assert now[("atelier_forwards_total", ("part", "unet"))] == 2
    assert now[("atelier_forwards_total", ("part", "other"))] == 1
    sizes = {
        key[1][1]: value
        for key, value in now.items()
        if key[:1] == ("atelier_merged_batch_samples_bucket",) and key[2] == ("part", "unet")
    }
    assert (sizes["1.0"], sizes["2.0"], sizes["4.0"], sizes["8.0"], sizes["+Inf"]) == (0, 1, 1, 2, 2)
    assert now[("atelier_merged_batch_samples_sum", ("part", "unet"))] == 8
    assert now[("atelier_cache_lookups_total", ("cache", "embeddings"), ("result", "hits"))] == 3
    assert now[("atelier_resident_models",)] == 1
    figures.count("unet", 1, 2, 0.5)
    assert difference(now, read(client))[("atelier_forwards_total", ("part", "unet"))] == 1
    assert "secret" not in client.get("/metrics").text


def test_readiness_is_a_figure(client, rig):
    assert read(client)[("atelier_ready",)] == 1
    rig.status.doubt("The device is lost.")
    assert read(client)[("atelier_ready",)] == 0


def test_no_figure_names_anybody_or_anything(client, rig):
    draw(client, rig, prompt={"text": "a very private wish"}, model={"checkpoint": "people/photo"})
    text = client.get("/metrics").text
    for word in ("private", "people", "photo", "local", str(rig.studio.paths.data)):
        assert word not in text


def test_admins_and_tokens_may_read(people, rig):
    rig, clients = people
    rig.accounts.add_user("eve", PASSWORD, role="user")
    app = clients["ada"].app
    assert clients["ada"].get("/metrics").status_code == 200
    assert clients["ann"].get("/metrics").status_code == 200  # a token
    assert rig.client(app, client=HERE).get("/metrics").status_code == 401
    assert rig.client(app).get("/metrics", auth=("eve", PASSWORD)).status_code == 403
    assert rig.client(app).get("/metrics", auth=("ada", PASSWORD)).status_code == 200


def test_without_accounts_only_this_machine_may_read(rig, app):
    assert rig.client(app, client=("192.0.2.7", 50000)).get("/metrics").status_code == 403
    assert rig.client(app, client=("::1", 50000)).get("/metrics").status_code == 200


def test_figures_are_there_without_the_api(make_rig):
    rig = make_rig(network={"api": False})
    assert rig.client(client=HERE).get("/metrics").status_code == 200


def test_every_answer_has_the_id_of_its_request(client):
    given = client.get("/healthz", headers={"x-request-id": "trace-17"}).headers["x-request-id"]
    odd = client.get("/healthz", headers={"x-request-id": "a b\u00e9<script>".encode()}).headers["x-request-id"]
    assert given == "trace-17"
    assert len(odd) == 32
    assert odd != client.get("/nowhere").headers["x-request-id"]


def test_readyz_tells_what_went_wrong(client, rig):
    assert client.get("/readyz").status_code == 200
    rig.status.doubt("A test picture could not be drawn: the device is lost.")
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["ready"]) == (503, False)
    assert "device is lost" in answer.json()["message"]
    assert answer.headers["retry-after"]
    assert client.get("/healthz").status_code == 200
    rig.status.doubt(None)
    assert client.get("/readyz").json()["message"] == "Ready"


def test_the_lines_of_a_request_carry_its_id_into_the_job(client, rig, caplog):
    from modules.support.log import Tagger

    caplog.handler.addFilter(Tagger())
    with caplog.at_level("INFO"):
        job = client.post("/api/v1/jobs", json=SMALL, headers={"x-request-id": "trace-18"}).json()["id"]
        rig.queue.handle(job).wait(30)
        rig.queue.stop(5)
    mine = [record for record in caplog.records if getattr(record, "job_id", None) == job]
    assert {record.request_id for record in mine} == {"trace-18"}
    assert json.dumps([record.getMessage() for record in mine]).count("is done") == 1
