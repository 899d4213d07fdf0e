"""The OpenAPI document tells of everything: summaries, descriptions, and examples that are lawful and that work."""

from __future__ import annotations

import re

import jsonschema_rs
import pytest

from modules.api.document import JSON, MISSING, MUTE, example_of, operations_of
from modules.api.examples import ANSWERS, FIELDS
from tests.api.fakes import PASSWORD, made

TELLING = 8
"""Letters below which a text says nothing."""
REFUSED = {
    "post /sdapi/v1/interrogate": 422,
    "post /api/v1/session": 401,
    "put /api/v1/extensions/{name}/settings": 404,
    "post /api/v1/extensions/install": 403,
}
"""What is answered to an example other than 2xx, because the room is not here or the person is made up."""


@pytest.fixture
def document(rig):
    return rig.application().openapi()


def contents(document):
    """(name, content) of every JSON body of a request or an answer."""
    for method, path, operation in operations_of(document):
        body = operation.get("requestBody", {}).get("content", {})
        if JSON in body:
            yield f"{method} {path} asked", body[JSON]
        for status, answer in operation["responses"].items():
            if JSON in answer.get("content", {}):
                yield f"{method} {path} {status}", answer["content"][JSON]


def test_every_operation_says_what_it_does_and_what_it_answers(document):
    mute = []
    for method, path, operation in operations_of(document):
        name = f"{method} {path}"
        if not operation.get("summary") or not operation.get("tags"):
            mute.append(name)
        if len(operation.get("description", "")) < TELLING:
            mute.append(f"{name}: description")
        for status, answer in operation["responses"].items():
            if answer.get("description", MUTE) in ("", MUTE):
                mute.append(f"{name}: answer {status}")
    assert mute == []


def test_every_json_body_has_an_example(document):
    bare = [name for name, content in contents(document) if "example" not in content and "examples" not in content]
    assert bare == []


def test_every_example_keeps_to_its_schema(document):
    wrong, seen = [], 0
    for name, content in contents(document):
        schema = {**content.get("schema", {}), "components": document["components"]}
        seen += 1
        for error in jsonschema_rs.validator_for(schema).iter_errors(content["example"]):
            wrong.append(f"{name}: {error.message[:200]}")
    assert wrong == []
    assert seen > 300


def test_examples_are_of_something_that_is_there(document):
    known = {name for schema in document["components"]["schemas"].values() for name in schema.get("properties", {})}
    owned = {
        f"{model}.{name}"
        for model, schema in document["components"]["schemas"].items()
        for name in schema.get("properties", {})
    }
    assert [name for name in FIELDS if name not in known | owned] == []
    assert [name for name in ANSWERS if name not in {f"{m} {p}" for m, p, _ in operations_of(document)}] == []


def test_what_cannot_be_told_is_not_made_up():
    schemas = {"Row": {"properties": {"colour": {"type": "string"}, "size": {"type": "integer", "examples": [3]}}}}
    assert example_of({"$ref": "#/components/schemas/Row"}, schemas, asked=False) is MISSING
    assert example_of({"$ref": "#/components/schemas/Row"}, schemas, asked=True) == {"size": 3}
    assert example_of({"type": "array", "items": {"type": "string"}}, schemas, asked=False) is MISSING
    assert example_of({"anyOf": [{"type": "string"}, {"type": "null"}]}, schemas, asked=False) is None


def test_every_example_of_a_request_works(make_rig):
    """Sent as it stands, ids in the address those of a job that waits; each job and account is made beforehand."""
    rig = make_rig(lanes=1, gallery=True)
    client = rig.client()
    document = client.get("/openapi.json").json()
    failed, sent = [], 0
    finished = made(client)["id"]
    rig.queue.handle(finished).wait(20)
    (picture,) = client.get("/api/v1/pictures").json()["pictures"]
    for method, path, operation in operations_of(document):
        body = operation.get("requestBody", {}).get("content", {}).get(JSON)
        if body is None or path == MOVE or path.startswith(PEOPLE):
            continue
        example = with_ids(body["example"], picture["id"])
        values = {"job_id": finished, "id": finished, "key": "jpeg_quality", "owner": "ada", "name": "standard"}
        values["picture_id"] = picture["id"]
        place = re.sub(r"\{(\w+)\}", lambda found, values=values: values[found[1]], path)
        answer = client.request(method, place, json=example)
        sent += 1
        wanted = REFUSED.get(f"{method} {path}")
        if answer.status_code != wanted and (wanted is not None or answer.status_code >= 300):
            failed.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
    assert not failed, "\n".join(failed)
    assert sent > 15


MOVE = "/api/v1/jobs/{job_id}/move"
PEOPLE = ("/api/v1/users", "/api/v1/me/")
"""Examples that want a job that waits, or people: see below."""


def with_ids(example, picture):
    """The example, with the id of a picture that is there."""
    return {**example, "ids": [picture]} if "ids" in example else example


def test_the_example_of_a_move_works(make_rig):
    rig = make_rig(lanes=1)
    client = rig.client()
    example = client.app.openapi()["paths"][MOVE]["post"]["requestBody"]["content"][JSON]["example"]
    rig.engine.hold()
    made(client)
    assert rig.engine.entered.acquire(timeout=10)
    waiting = made(client)["id"]
    moved = client.post(f"/api/v1/jobs/{waiting}/move", json=example)
    assert moved.status_code == 200, moved.text
    rig.engine.let_go()


def test_examples_about_people_make_one_story(make_rig):
    """An admin makes the account of the example, who changes the password as in the example, and so on."""
    rig = make_rig(lanes=1)
    rig.accounts.add_user("ada", PASSWORD, role="admin")
    client = rig.client()
    client.auth = ("ada", PASSWORD)
    bodies = {
        f"{method} {path}": operation["requestBody"]["content"][JSON]["example"]
        for method, path, operation in operations_of(client.app.openapi())
        if path.startswith(PEOPLE) and "requestBody" in operation
    }
    somebody = bodies.pop("post /api/v1/users")
    name = client.post("/api/v1/users", json=somebody).json()["name"]
    own = rig.client(client.app)
    change = bodies.pop("put /api/v1/me/password")
    assert change["old"] == somebody["password"]
    changed = own.put("/api/v1/me/password", json=change, auth=(name, change["old"]))
    assert changed.status_code < 300, changed.text
    token = bodies.pop("post /api/v1/me/tokens")
    assert own.post("/api/v1/me/tokens", json=token, auth=(name, change["new"])).status_code == 201
    for place, body in bodies.items():
        method, _, path = place.partition(" ")
        answer = client.request(method, path.replace("{name}", name), json=body)
        assert answer.status_code < 300, (place, answer.text)
