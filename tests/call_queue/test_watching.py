"""Previews are made for whoever looks, and for jobs that keep the last one."""

from __future__ import annotations

import asyncio

import pytest

from modules.contracts.jobs import JobTerms
from modules.contracts.request import GenerationRequest, PromptParams
from modules.ui.watch import follow

WISH = GenerationRequest(prompt=PromptParams("a dot"))


@pytest.fixture
def running(queue, engine, monkeypatch):
    """A function that submits a job, waits until it runs, and gives its handle and context."""
    contexts = []
    plain = engine.generate

    def generate(request, context):
        contexts.append(context)
        return plain(request, context)

    monkeypatch.setattr(engine, "generate", generate)
    engine.hold()

    def start(**terms):
        handle = queue.submit(WISH, "ann", terms=JobTerms(**terms))
        assert engine.entered.acquire(timeout=10)
        return handle, contexts[-1]

    yield start
    engine.let_go()


def test_a_job_that_nobody_looks_at_makes_no_previews(running):
    handle, context = running()
    assert not context.watched()
    events = handle.iterate()
    assert not context.watched()
    handle.cancel()
    assert list(events)


def test_asking_for_progress_is_looking(running, queue):
    handle, context = running()
    queue.progress(handle.id)
    assert context.watched()


def test_listeners_that_show_previews_look_at_their_own_job_only(running, bus):
    handle, context = running()
    with bus.listening(lambda event: None, looks_at="another"):
        assert not context.watched()
    with bus.listening(lambda event: None, looks_at=handle.id):
        assert context.watched()
    assert not context.watched()


def test_a_page_and_a_stream_of_events_look(running, queue, bus):
    handle, _ = running()

    async def listen():
        views = follow(queue, bus, handle.id)
        await anext(views)
        seen = [bus.is_looked_at(handle.id)]
        await views.aclose()
        seen.append(bus.is_looked_at(handle.id))
        waiting = asyncio.ensure_future(anext(handle.events()))
        await asyncio.sleep(0)
        seen.append(bus.is_looked_at(handle.id))
        handle.cancel()
        await waiting
        return seen

    assert asyncio.run(listen()) == [True, False, True]


def test_a_job_that_keeps_its_unfinished_picture_always_makes_them(running):
    _, context = running(keep_partial=True)
    assert context.watched()


def test_a_forecast_for_one_job_is_no_look_at_another(running, queue):
    _, context = running()
    waiting = queue.submit(WISH, "bob")
    assert queue.progress(waiting.id).position == 0
    assert not context.watched()
