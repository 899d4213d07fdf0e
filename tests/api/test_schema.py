"""The OpenAPI document against the server: no request made from it gives a 5xx, or an answer that it does not describe.

A few examples for each operation, lawful and unlawful, the same in every run.
"""

from __future__ import annotations

import importlib
from collections import Counter

import pytest
import schemathesis
from fastapi import FastAPI, HTTPException, Response
from hypothesis import HealthCheck, Phase, given, settings

from modules.contracts.result import GenerationResult
from tests.api.fakes import PASSWORD
from tests.call_queue.fakes import draw

EXAMPLES = 3
ENDLESS = {"/api/v1/events", "/api/v1/jobs/{job_id}/events"}
"""Streams, which end with their job or not at all."""
HELD = {"/api/v1/queue/pause", "/agent-scheduler/v1/pause"}
"""After one of these no job runs, and whoever waits for a picture waits for ever."""


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


def test_nothing_breaks_and_everything_is_described(make_rig):
    rig = make_rig(gallery=True)
    rig.engine = Small(rig.engine)
    rig.accounts.add_user("ada", PASSWORD, role="admin")
    headers = {"authorization": f"Bearer {rig.accounts.add_token('ada', 't')[1]}", "host": "127.0.0.1"}
    app = rig.application()
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, headers=headers)
    wrong, asked, statuses = [], 0, Counter()
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path in ENDLESS | HELD:
            continue
        asked += 1
        try:
            statuses.update(ask(operation, headers))
        except Exception as error:  # gathered, so that one run tells all
            wrong.append(f"{operation.method} {operation.path}: {error}")
    assert wrong == []
    assert asked > 90
    assert statuses[401] <= 2 * EXAMPLES  # those of the sign-in and of a new password, with words that are made up
    assert statuses[200] > asked / 2
    assert statuses[422] > 0


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
            ask(result.ok(), {})
        assert any(sentence in error.title for error in caught.value.exceptions)


def ask(operation, headers):
    """Statuses that the operation answered with; raises when one of the rules is broken."""
    rules = importlib.import_module("schemathesis.specs.openapi.checks")
    names = ("status_code_conformance", "content_type_conformance", "response_schema_conformance")
    checks, statuses = [schemathesis.checks.not_a_server_error, *(getattr(rules, name) for name in names)], []
    quick = settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
        phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip

    @quick
    @given(case=operation.as_strategy())
    def run(case):
        answer = case.call(headers=headers)
        statuses.append(answer.status_code)
        case.validate_response(answer, checks=checks)

    run()
    return statuses
