"""The OpenAPI document against the server: no request made from it gives a 5xx, or an answer that it does not describe.

A few examples for each operation, lawful and unlawful, the same in every run.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections import Counter

import pytest
import schemathesis
from fastapi import FastAPI, HTTPException, Response
from hypothesis import HealthCheck, Phase, given, settings

from modules.accounts.door import WRONG
from modules.accounts.metering import MeteredQueue
from modules.contracts.accounts import ROLES, Tier
from modules.contracts.result import GenerationResult
from modules.experiments.marks import marks_of
from modules.experiments.service import ExperimentService
from modules.experiments.store import ExperimentStore
from modules.support.preferences import Preferences
from tests.api.fakes import PASSWORD
from tests.call_queue.fakes import draw

EXAMPLES = {"admin": 3, "user": 2, "guest": 2, "stranger": 1}
"""For each operation, by who asks."""
ENDLESS = {"/api/v1/events", "/api/v1/jobs/{job_id}/events"}
"""Streams, which end with their job or not at all."""
HOLDING = {"/api/v1/queue/pause", "/agent-scheduler/v1/pause"}
"""After one of these no job runs, and whoever waits for a picture waits for ever, so the queue is resumed at once."""
REFUSALS = {401, 403, 429}
"""What depends on who asks; the document names them one by one."""
OPEN = {"/healthz", "/readyz", "/api/v1/session"}
"""Answer whoever asks."""


class Small:
    """Draws one small picture, however many and large ones were asked for."""

    def __init__(self, engine):
        self.engine = engine

    def generate(self, request, context):
        from dataclasses import replace

        small = replace(request, canvas=replace(request.canvas, width=8, height=8, batch_size=1, batch_count=1))
        picture = draw(small, 0, {})
        context.finished(picture)
        return GenerationResult((picture,), {"model": "pocket"})

    def __getattr__(self, name):
        return getattr(self.engine, name)


@pytest.fixture
def studio(make_rig):
    """A studio with accounts, whose guests may have no job at all, so that everything that draws answers them 429."""
    rig = make_rig(gallery=True)
    rig.engine = Small(rig.engine)
    metered = MeteredQueue(rig.queue, rig.accounts.gate, rig.catalog, rig.bus)
    rig.experiments.stop()
    marks = marks_of(rig.catalog, Preferences(rig.settings, rig.accounts).public)
    rig.experiments = ExperimentService(ExperimentStore(rig.database), metered, rig.pictures, rig.bus, marks)
    rig.studio = dataclasses.replace(rig.studio, queue=metered, experiments=rig.experiments)
    for role in ROLES:
        rig.accounts.add_user(f"some-{role}", PASSWORD, role=role, tier="unlimited")
    rig.accounts.set_tier(Tier("none", queue_depth=0))
    rig.accounts.change_user("some-guest", tier="none")
    return rig


def ask_everything(rig, role):
    """Statuses by operation of whoever has that role; asserts that all are lawful, and described by name."""
    headers = {"host": "127.0.0.1"}
    if role in ROLES:
        headers["authorization"] = f"Bearer {rig.accounts.add_token(f'some-{role}', 't')[1]}"
    schema = schemathesis.openapi.from_asgi("/openapi.json", rig.application(), headers=headers | admin_of(rig))
    wrong, found = [], {}
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path in ENDLESS:
            continue
        name = f"{operation.method.upper()} {operation.path}"
        after = rig.queue.resume if operation.path in HOLDING else None
        try:
            found[name] = Counter(ask(operation, headers, EXAMPLES[role], after))
        except Exception as error:  # gathered, so that one run tells all
            wrong.append(f"{name}: {error}")
            continue
        described = operation.definition.raw["responses"]
        wrong += [
            f"{name}: {status} is not described"
            for status in found[name]
            if status in REFUSALS and str(status) not in described
        ]
    assert wrong == []
    assert len(found) > 90
    assert not rig.queue.paused
    return found


def admin_of(rig):
    """Only an admin reads the document of a studio with accounts."""
    return {"authorization": f"Bearer {rig.accounts.add_token('some-admin', 'reader')[1]}"}


def total(found):
    return sum(found.values(), Counter())


def test_nothing_breaks_and_everything_is_described(studio):
    found = ask_everything(studio, "admin")
    statuses = total(found)
    assert statuses[401] <= 2 * EXAMPLES["admin"]  # of the sign-in and of a new password, with words that are made up
    assert statuses[200] > len(found) / 2
    assert statuses[422] > 0
    assert statuses[429] == 0
    assert found["POST /api/v1/queue/pause"][200] > 0


def test_a_user_is_refused_in_the_words_of_the_document(studio):
    found = ask_everything(studio, "user")
    assert total(found)[200] > len(found) / 4
    for name in ("GET /api/v1/users", "POST /api/v1/queue/pause", "POST /sdapi/v1/unload-checkpoint"):
        assert set(found[name]) == {403}, name
    assert found["POST /sdapi/v1/txt2img"][200] > 0


def test_a_guest_is_refused_in_the_words_of_the_document(studio):
    found = ask_everything(studio, "guest")
    assert found["POST /sdapi/v1/txt2img"][429] > 0
    assert found["POST /v1/images/generations"][429] > 0
    for name in ("GET /api/v1/users", "POST /api/v1/me/tokens", "POST /sdapi/v1/refresh-checkpoints"):
        assert found[name][403] > 0, name
    assert studio.engine.seen == []


def test_a_stranger_is_told_to_sign_in(studio):
    found = ask_everything(studio, "stranger")
    for name, statuses in found.items():
        if name.split(" ", 1)[1] not in OPEN:
            assert statuses.keys() <= {401, 415, 429}, (name, statuses)  # a body of another kind is not even read
    assert total(found)[401] >= WRONG.most  # names and passwords that are made up are 429 after so many wrong ones


def test_the_rules_catch_what_is_not_described():
    app = FastAPI()

    @app.get("/teapot")
    def teapot():
        raise HTTPException(418, "short and stout")

    @app.get("/liar", response_model=dict[str, int])
    def liar():
        return Response('{"a": "b"}', media_type="application/json")

    @app.get("/broken", responses={"default": {}})
    def broken():
        return Response(status_code=500)

    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    failure = importlib.import_module("schemathesis.core.failures").FailureGroup
    for result, sentence in zip(schema.get_all_operations(), ("Undocumented", "schema", "Server error"), strict=True):
        with pytest.raises(failure) as caught:
            ask(result.ok(), {}, 3)
        assert any(sentence in error.title for error in caught.value.exceptions)


def ask(operation, headers, examples, after=None):
    """Statuses that the operation answered with; raises when one of the rules is broken. `after` follows each call."""
    rules = importlib.import_module("schemathesis.specs.openapi.checks")
    names = ("status_code_conformance", "content_type_conformance", "response_schema_conformance")
    checks, statuses = [schemathesis.checks.not_a_server_error, *(getattr(rules, name) for name in names)], []
    quick = settings(
        max_examples=examples, deadline=None, derandomize=True, database=None,
        phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip

    @quick
    @given(case=operation.as_strategy())
    def run(case):
        answer = case.call(headers=headers)
        statuses.append(answer.status_code)
        if after is not None:
            after()
        case.validate_response(answer, checks=checks)

    run()
    return statuses
