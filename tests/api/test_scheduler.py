"""Calls that do not wait: `Prefer: respond-async`, `/internal`, and the agent scheduler's queue."""

from __future__ import annotations

import io
import json
import zipfile

import pytest

from modules.contracts.errors import StudioError
from tests.api.fakes import made, opened

TASK = {"prompt": "a cat", "steps": 2, "width": 64, "height": 64, "seed": 3}
QUEUE = "/agent-scheduler/v1"


@pytest.mark.parametrize("path", ["/sdapi/v1/txt2img", "/v1/images/generations"])
def test_whoever_does_not_want_to_wait_gets_a_job(client, rig, path):
    rig.engine.hold()
    headers = {"prefer": "wait=5, respond-async", "idempotency-key": "k"}
    answers = [client.post(path, json={"prompt": "a cat"}, headers=headers) for _ in range(2)]
    told = answers[0].json()
    assert answers[0].status_code == 202
    assert answers[0].headers["location"] == told["location"] == f"/api/v1/jobs/{told['job_id']}"
    assert answers[0].headers["preference-applied"] == "respond-async"
    assert answers[1].json() == told
    rig.engine.let_go()
    rig.queue.handle(told["job_id"]).wait(10)
    assert client.get(f"{told['location']}/pictures").json()["pictures"][0]["job_id"] == told["job_id"]


def test_a_task_is_watched_by_its_own_id(people):
    rig, clients = people
    ann, ask = clients["ann"], "/internal/progress"
    rig.engine.hold()
    body = {**TASK, "force_task_id": "task(mine)"}
    assert ann.post("/sdapi/v1/txt2img", json=body, headers={"prefer": "respond-async"}).status_code == 202
    assert rig.engine.entered.acquire(timeout=10)
    second = made(ann)["id"]
    told = ann.post(ask, json={"id_task": "task(mine)"}).json()
    assert (told["active"], told["queued"], told["completed"]) == (True, False, False)
    waits = ann.post(ask, json={"id_task": second}).json()
    assert (waits["active"], waits["queued"]) == (False, True)
    assert set(waits) == set(told) == {
        *("active", "queued", "completed", "progress", "eta"),
        *("live_preview", "id_live_preview", "textinfo"),
    }  # fmt: skip
    assert (waits["id_live_preview"], waits["live_preview"]) == (-1, None)  # as A1111 answers until there is one
    assert ann.get("/internal/pending-tasks").json() == {"size": 1, "tasks": [second]}
    assert clients["bob"].get("/internal/pending-tasks").json() == {"size": 0, "tasks": []}
    assert clients["bob"].post(ask, json={"id_task": second}).status_code == 403
    rig.engine.let_go()
    rig.queue.handle(second).wait(10)
    assert ann.post(ask, json={"id_task": second}).json()["completed"] is True
    none = ann.post(ask, json={"id_task": "nothing"}).json()
    assert (none["active"], none["queued"], none["completed"]) == (False, False, False)


def test_an_admin_without_jobs_is_told_of_everybodys_and_others_are_not(people):
    rig, clients = people
    rig.engine.hold()
    job = made(clients["ann"])["id"]
    assert rig.engine.entered.acquire(timeout=10)
    assert clients["ada"].get("/sdapi/v1/progress").json()["state"]["job"] == job
    assert clients["bob"].get("/sdapi/v1/progress").json()["state"]["job"] == ""
    clients["bob"].post("/sdapi/v1/interrupt")
    assert rig.queue.get(job).state == "running"
    clients["ada"].post("/sdapi/v1/interrupt")
    rig.queue.handle(job).wait(10)
    assert rig.queue.get(job).state == "cancelled"


def test_tasks_are_queued_moved_stopped_and_fetched(make_rig):
    rig = make_rig(lanes=1, gallery=True)
    client = rig.client()
    rig.engine.hold()

    def queue(**changes):
        answer = client.post(f"{QUEUE}/queue/txt2img", json={**TASK, **changes})
        assert answer.status_code == 200, answer.text
        return answer.json()["task_id"]

    first = queue(checkpoint="people/photo [0123456789]")
    assert rig.engine.entered.acquire(timeout=10)
    second, third = queue(), queue()
    told = client.get(f"{QUEUE}/queue").json()
    assert (told["current_task_id"], told["total_pending_tasks"], told["paused"]) == (first, 3, False)
    assert [task["id"] for task in told["pending_tasks"]] == [first, second, third]
    assert [task["status"] for task in told["pending_tasks"]] == ["running", "pending", "pending"]
    assert told["pending_tasks"][0]["params"]["checkpoint"] == "people/photo"
    assert told["pending_tasks"][0]["params"]["steps"] == 2
    assert client.post(f"{QUEUE}/task/{third}/move/top").json()["success"] is True
    assert client.get(f"{QUEUE}/task/{third}/position").json()["data"] == {"status": "pending", "position": 0}
    assert client.post(f"{QUEUE}/move/{third}/bottom").json()["success"] is True
    assert client.post(f"{QUEUE}/task/{third}/move/{second}").json()["success"] is True
    assert client.delete(f"{QUEUE}/task/{second}").json()["success"] is True
    assert client.get(f"{QUEUE}/task/{second}").json()["data"]["status"] == "interrupted"
    assert client.get(f"{QUEUE}/results/{third}").json()["success"] is False
    assert client.post(f"{QUEUE}/pause").json()["success"] is True
    assert client.get(f"{QUEUE}/queue").json()["paused"] is True
    assert client.post(f"{QUEUE}/resume").json()["success"] is True
    again = client.post(f"{QUEUE}/task/{second}/requeue").json()["task_id"]
    rig.engine.let_go()
    for task in (first, third, again):
        rig.queue.handle(task).wait(10)
    (shown,) = client.get(f"{QUEUE}/task/{again}/results").json()["data"]
    assert opened(shown["image"].split(",", 1)[1]).size == (64, 64)
    assert shown["infotext"].startswith("a cat")
    archive = client.get(f"{QUEUE}/results/{again}?zip=true")
    assert len(zipfile.ZipFile(io.BytesIO(archive.content)).namelist()) == 1
    past = client.get(f"{QUEUE}/history?limit=2&offset=1").json()
    assert (past["total"], len(past["tasks"])) == (4, 2)
    assert client.get(f"{QUEUE}/history?status=interrupted").json()["total"] == 1
    assert client.get(f"{QUEUE}/samplers").json()[0] == "DPM++ 2M"
    assert client.get(f"{QUEUE}/sd-models").json()[0] == "pocket"


def test_no_address_is_called_back(client, rig):
    answer = client.post(f"{QUEUE}/queue/txt2img", json={**TASK, "callback_url": "http://169.254.169.254/"})
    assert answer.status_code == 422
    assert rig.queue.list() == []


def test_tasks_of_others_are_not_to_be_had(people):
    rig, clients = people
    job = made(clients["ann"])["id"]
    rig.queue.handle(job).wait(10)
    bob = clients["bob"]
    for method, path in (
        ("get", f"task/{job}"), ("get", f"task/{job}/position"), ("get", f"task/{job}/results"),
        ("post", f"task/{job}/run"), ("post", f"task/{job}/requeue"), ("delete", f"task/{job}"),
        ("post", f"task/{job}/move/top"), ("post", "pause"), ("post", "resume"),
        ("post", f"task/{job}/bookmark"), ("post", f"task/{job}/unbookmark"), ("post", f"task/{job}/rename?name=x"),
    ):  # fmt: skip
        assert bob.request(method, f"{QUEUE}/{path}").status_code == 403, path
    assert bob.get(f"{QUEUE}/history").json()["total"] == 0
    assert clients["ada"].get(f"{QUEUE}/history").json()["total"] == 1
    assert bob.get(f"{QUEUE}/task/nothing").status_code == 404


def test_tasks_are_named_bookmarked_and_cleared(client, rig):
    kept, gone = (client.post(f"{QUEUE}/queue/txt2img", json=TASK).json()["task_id"] for _ in range(2))
    for task in (kept, gone):
        rig.queue.handle(task).wait(10)
    assert client.post(f"{QUEUE}/bookmark/{kept}").json()["success"] is True
    assert client.post(f"{QUEUE}/task/{kept}/rename", params={"name": "Cats"}).json()["success"] is True
    (task,) = client.get(f"{QUEUE}/history?status=bookmarked").json()["tasks"]
    assert (task["id"], task["name"], task["bookmarked"]) == (kept, "Cats", True)
    assert client.put(f"{QUEUE}/task/{kept}", json={"name": "Dogs"}).json()["success"] is True
    assert client.get(f"{QUEUE}/task/{kept}").json()["data"]["name"] == "Dogs"
    assert client.put(f"{QUEUE}/task/{kept}", json={"checkpoint": "pocket"}).status_code == 422
    client.post(f"{QUEUE}/history/clear")
    assert [task["id"] for task in client.get(f"{QUEUE}/history").json()["tasks"]] == [kept]
    client.post(f"{QUEUE}/task/{kept}/unbookmark")
    client.post(f"{QUEUE}/history/clear")
    assert client.get(f"{QUEUE}/history").json()["total"] == 0


def test_what_has_failed_is_asked_for_once_more(client, rig):
    rig.engine.fail["odd"] = StudioError("It went wrong.")
    failed = client.post(f"{QUEUE}/queue/txt2img", json={**TASK, "prompt": "odd"}).json()["task_id"]
    with pytest.raises(StudioError):
        rig.queue.handle(failed).wait(10)
    rig.engine.fail.clear()
    assert client.post(f"{QUEUE}/task/requeue-failed").json()["message"] == "Requeued 1 failed tasks"
    (again,) = [job.id for job in rig.queue.list() if job.details.origin == failed]
    rig.queue.handle(again).wait(10)
    assert client.post(f"{QUEUE}/task/requeue-failed").json()["success"] is False
    assert len(rig.queue.list()) == 2


def test_a_queue_is_emptied_and_taken_in_again_from_its_file(make_rig):
    rig = make_rig(lanes=1)
    client = rig.client()
    rig.engine.hold()
    running = client.post(f"{QUEUE}/queue/txt2img", json=TASK).json()["task_id"]
    assert rig.engine.entered.acquire(timeout=10)
    bodies = ({"seed": 11}, {"seed": 12, "cfg_scale": 4.5, "sampler_name": "Euler a"})
    tasks = [client.post(f"{QUEUE}/queue/txt2img", json={**TASK, **body}).json()["task_id"] for body in bodies]
    client.post(f"{QUEUE}/rename/{tasks[0]}", params={"name": "Eleven"})
    wanted = [rig.queue.request(task) for task in tasks]
    file = client.get(f"{QUEUE}/export").json()
    assert [task["id"] for task in file] == tasks
    assert json.loads(file[1]["params"])["args"]["cfg_scale"] == 4.5
    client.post(f"{QUEUE}/queue/clear")
    assert client.get(f"{QUEUE}/queue").json()["total_pending_tasks"] == 1
    assert client.post(f"{QUEUE}/import", json={"content": json.dumps(file)}).json() == {
        "success": True, "message": "Imported 2 tasks", "task_id": None,
    }  # fmt: skip
    waiting = rig.queue.list(state="queued", oldest_first=True)
    assert [rig.queue.request(job.id) for job in waiting] == wanted
    assert [job.details.name for job in waiting] == ["Eleven", ""]
    assert rig.queue.get(running).state == "running"


def test_a_file_of_the_extension_is_read_and_nothing_of_it_is_unpickled(client, rig):
    rig.engine.hold()
    args = {"prompt": "a dog", "steps": 3, "seed": 21, "width": 64, "height": 64}
    params = json.dumps({"args": args, "checkpoint": "people/photo", "is_ui": False, "is_img2img": False})
    good = {"id": "x", "type": "txt2img", "params": params, "script_params": "gASVIQAAAAAAAACMBXBvc2l4", "name": None}
    content = json.dumps([good, {"id": "y", "params": "{"}, {"id": "z"}])
    told = client.post(f"{QUEUE}/import", json={"content": content}).json()
    assert told["success"] is False
    assert told["message"].startswith("Imported 1 tasks; refused: task 1: its params are no JSON; task 2: ")
    (job,) = rig.queue.list()
    asked = rig.queue.request(job.id)
    assert (asked.prompt.text, asked.sampling.steps, asked.seeds.seed) == ("a dog", 3, 21)
    assert asked.model.checkpoint == "people/photo"
    for content in ("{", "{}", "[1]", json.dumps([{}] * 1001)):
        assert client.post(f"{QUEUE}/import", json={"content": content}).status_code == 422
