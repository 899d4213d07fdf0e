"""A1111's table of routes, line by line: every address is there, and every row has the fields that clients read."""

from __future__ import annotations

import pytest

from modules.api.document import JSON, operations_of
from tests.api.fakes import b64, picture

TABLE = """
post txt2img: images parameters info
post img2img: images parameters info
post extra-single-image: html_info image
post extra-batch-images: html_info images
post png-info: info items parameters
get progress: progress eta_relative state current_image textinfo
post interrogate:
post interrupt:
post skip:
get options: sd_model_checkpoint
post options:
get cmd-flags:
get samplers: name aliases options
get schedulers: name label aliases default_rho need_inner_model
get upscalers: name model_name model_path model_url scale
get latent-upscale-modes: name
get sd-models: title model_name hash sha256 filename config
get sd-vae: model_name filename
get sd-modules: model_name filename
get hypernetworks:
get face-restorers: name cmd_dir
get realesrgan-models:
get prompt-styles: name prompt negative_prompt
get embeddings: loaded skipped
post refresh-embeddings:
post refresh-checkpoints:
post refresh-vae:
post create/embedding: info
post create/hypernetwork: info
post train/embedding: info
post train/hypernetwork: info
get memory: ram cuda
post unload-checkpoint:
post reload-checkpoint:
get scripts: txt2img img2img
get script-info: name is_alwayson is_img2img args
get extensions: name remote branch commit_hash version commit_date enabled
post server-kill:
post server-restart:
post server-stop:
get loras:
post refresh-loras:
"""
BESIDE = {
    "/internal/ping": "get",
    "/internal/progress": "post",
    "/internal/pending-tasks": "get",
    "/internal/quicksettings-hint": "get",
    "/internal/profile-startup": "get",
    "/internal/sysinfo": "get",
    "/internal/sysinfo-download": "get",
    "/controlnet/version": "get",
    "/controlnet/settings": "get",
    "/controlnet/model_list": "get",
    "/controlnet/module_list": "get",
    "/controlnet/control_types": "get",
    "/controlnet/detect": "post",
}
GENERATING = {
    "post /sdapi/v1/txt2img": "txt2img",
    "post /sdapi/v1/img2img": "img2img",
    "post /sdapi/v1/extra-single-image": "enlarge",
    "post /sdapi/v1/extra-batch-images": "enlarge",
    "post /v1/images/generations": "txt2img",
}
ASYNC = {"prefer": "respond-async", "idempotency-key": "order-17"}


@pytest.fixture
def document(make_rig):
    return make_rig(network={"api_server_stop": True}).application().openapi()


def fields_of(document, schema):
    """Names of the fields of an answer, or of the rows of a list."""
    schema = schema.get("items", schema)
    name = schema.get("$ref", "").rpartition("/")[2]
    return set(document["components"]["schemas"].get(name, schema).get("properties", {}))


def test_every_line_of_the_table_is_there_and_what_stands_beside_it(document):
    missing = [path for path, method in BESIDE.items() if method not in document["paths"].get(path, {})]
    for line in TABLE.strip().splitlines():
        head, _, fields = line.partition(":")
        method, path = head.split()
        operation = document["paths"].get(f"/sdapi/v1/{path}", {}).get(method)
        if operation is None:
            missing.append(head)
            continue
        content = operation["responses"].get("200", {}).get("content", {}).get(JSON, {})
        lacking = set(fields.split()) - fields_of(document, content.get("schema", {}))
        missing += [f"{head}: {name}" for name in sorted(lacking)]
    assert missing == []


def test_every_call_that_draws_or_enlarges_answers_at_once_when_it_is_asked_to(make_rig):
    rig = make_rig(gallery=True)
    client = rig.client()
    bodies = {
        f"{method} {path}": operation["requestBody"]["content"].get(JSON, {}).get("example")
        for method, path, operation in operations_of(client.app.openapi())
        if "202" in operation["responses"] and path not in ("/api/v1/jobs", "/api/v1/experiments")
    }
    assert set(bodies) == {*GENERATING, "post /v1/images/edits"}
    for place, mode in GENERATING.items():
        headers = {**ASYNC, "idempotency-key": place}
        answer = client.post(place.removeprefix("post "), json=bodies[place], headers=headers)
        assert (answer.status_code, answer.headers["preference-applied"]) == (202, "respond-async"), answer.text
        assert answer.headers["location"] == answer.json()["location"]
        told = client.get(f"{answer.json()['location']}/request").json()
        assert told["mode"] == mode
        again = client.post(place.removeprefix("post "), json=bodies[place], headers=headers)
        assert again.json() == answer.json(), place
    upload = {"image": ("a.png", picture(), "image/png")}
    edited = client.post("/v1/images/edits", data={"prompt": "a"}, files=upload, headers=ASYNC)
    assert edited.status_code == 202
    assert client.get(f"{edited.json()['location']}/request").json()["mode"] == "img2img"


@pytest.mark.parametrize("path", ["txt2img", "img2img"])
def test_the_clients_own_id_is_the_jobs_in_both_manners(client, path):
    more = {"init_images": [b64(picture())]} if path == "img2img" else {}
    body = {"steps": 1, "force_task_id": f"task({path}-now)", **more}
    assert client.post(f"/sdapi/v1/{path}", json=body).status_code == 200
    later = {**body, "force_task_id": f"task({path}-later)"}
    answer = client.post(f"/sdapi/v1/{path}", json=later, headers={"prefer": "respond-async"})
    assert (answer.status_code, answer.json()["job_id"]) == (202, f"task({path}-later)")
    for task in (body, later):
        told = client.post("/internal/progress", json={"id_task": task["force_task_id"]}).json()
        assert told["active"] or told["queued"] or told["completed"]
    assert client.post(f"/sdapi/v1/{path}", json=body).status_code == 422
