"""The desk and the handlers over the real queue: who sees, follows and stops what."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest
from gradio import Error, EventData

from modules.call_queue.handle import Recent
from modules.contracts.events import ImageReady
from modules.contracts.request import GenerationRequest
from modules.support.paths import ROOT
from modules.ui import form
from modules.ui.desk import Desk
from modules.ui.facts import facts_of
from modules.ui.handlers import TROUBLE, Handlers
from modules.ui.recalling import settle
from modules.ui.table import read_table
from tests.ui.fakes import FakeEngine, fake_studio, family


@dataclass
class Room:
    engine: FakeEngine
    studio: Any
    desk: Desk
    handlers: Handlers

    def values(self, prompt: str, **changes: Any) -> list[Any]:
        shown = {**form.defaults(facts_of(self.studio.catalog, "pocket")), "prompt.text": prompt, **changes}
        return [shown[name] for name in form.NAMES]

    async def generate(self, prompt: str, *, user: str | None = None, session: str = "s", **changes: Any) -> list[Any]:
        return [shown async for shown in self.handlers.generate(asks(user, session), *self.values(prompt, **changes))]


def asks(user: str | None = None, session: str = "s") -> Any:
    return SimpleNamespace(username=user, session_hash=session)


def pressed(row):
    """What a button tells of that picture."""
    return EventData(None, {"id": row.id})


def told(shown: list[Any]) -> list[dict[str, Any]]:
    """What the stage was told, without the skips."""
    return [stage for stage, _ in shown if "phase" in stage]


@pytest.fixture
def room(tmp_path) -> Iterator[Room]:
    engine = FakeEngine()
    studio = fake_studio(tmp_path, engine, lanes=2)
    desk = Desk(studio)
    yield Room(engine, studio, desk, Handlers(studio, desk, read_table(ROOT / "configs")))
    studio.close()


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def test_generate_ends_with_the_picture_in_the_gallery(room):
    room.engine.notes = ("The width was brought to 136.",)
    shown = asyncio.run(room.generate("a red circle", **{"sampling.steps": 4, "seeds.seed": 9}))
    last, gallery = shown[-1]
    assert (last["phase"], last["progress"], last["notes"]) == ("done", 1.0, ["The width was brought to 136."])
    assert [card["seed"] for card in gallery["pictures"]] == [9]
    assert "path" not in gallery["pictures"][0]
    request = room.engine.requests[0]
    assert (request.prompt.text, request.sampling.steps) == ("a red circle", 4)
    assert room.studio.queue.list()[0].owner == "local"


def test_settings_of_ones_own_count_for_what_the_page_does_not_show(room):
    accounts = room.studio.accounts
    accounts.add_user("ada", "correct horse battery", role="admin")
    accounts.add_user("bob", "correct horse battery")
    accounts.set_preferences("bob", {"samples_format": "webp", "save_txt": True})
    for name in ("ada", "bob"):
        asyncio.run(room.generate("a red circle", user=name))
    hers, his = room.engine.requests
    assert (hers.output.format, hers.own) == ("png", ())
    assert (his.output.format, his.own) == ("webp", (("save_txt", True),))


def test_an_error_of_the_engine_becomes_its_sentence(room):
    last = told(asyncio.run(room.generate("the impossible")))[-1]
    assert last["phase"] == "failed"
    assert last["error"] == "This model cannot draw the impossible; ask for something else."


@pytest.mark.parametrize(
    ("prompt", "changes", "sentence"),
    [
        ("x", {"sampling.steps": 5000}, "Steps is 5000; allowed is 1 to 1000."),
        ("x", {"canvas.width": "wide"}, "Width is 'wide'; a number is needed."),
        ("  ", {}, "The prompt is empty; write what you want to see."),
    ],
)
def test_what_cannot_be_asked_for_is_said_before_anything_is_queued(room, prompt, changes, sentence):
    (only,) = told(asyncio.run(room.generate(prompt, **changes)))
    assert (only["phase"], only["error"]) == ("refused", sentence)
    assert room.studio.queue.list() == []


def test_a_fault_of_our_own_is_logged_and_told_without_its_insides(room, monkeypatch, caplog):
    monkeypatch.setattr(room.desk, "submit", lambda *_: 1 / 0)
    (only,) = told(asyncio.run(room.generate("x")))
    assert only["error"] == TROUBLE
    assert "ZeroDivisionError" in caplog.text


def test_stop_cancels_the_own_job_and_no_other(room):
    room.engine.hold.clear()

    async def scene() -> tuple[list[Any], list[Any]]:
        ada = asyncio.create_task(room.generate("a red circle", user="ada", session="a"))
        bob = asyncio.create_task(room.generate("a blue circle", user="bob", session="b"))
        await until(lambda: len(room.engine.requests) == 2)
        assert await room.desk.stop("a", "ada")
        shown = await ada
        assert not await room.desk.stop("a", "ada")
        assert not await room.desk.stop("c", "carol")
        room.engine.hold.set()
        return shown, await bob

    ada, bob = asyncio.run(scene())
    assert told(ada)[-1]["phase"] == "cancelled"
    assert told(bob)[-1]["phase"] == "done"


def test_a_page_cannot_stop_what_another_person_began_in_the_same_session(room):
    room.engine.hold.clear()

    async def scene() -> bool:
        job = asyncio.create_task(room.generate("a red circle", user="ada", session="a"))
        await until(lambda: room.engine.requests)
        stopped = await room.desk.stop("a", "mallory")
        room.engine.hold.set()
        await job
        return stopped

    assert asyncio.run(scene()) is False


def test_skip_leaves_the_batch_and_goes_on(room):
    room.engine.hold.clear()

    async def scene() -> list[Any]:
        job = asyncio.create_task(room.generate("a red circle", **{"canvas.batch_count": 2, "sampling.steps": 3}))
        await until(lambda: room.engine.requests)
        assert await room.desk.skip("s", "local")
        room.engine.hold.set()
        return await job

    last, gallery = asyncio.run(scene())[-1]
    assert last["phase"] == "done"
    assert len(gallery["pictures"]) == 1


def test_a_second_press_joins_the_line_of_the_page(room):
    room.engine.hold.clear()

    async def scene() -> tuple[list[Any], list[Any]]:
        first: list[Any] = []

        async def watch() -> None:
            async for shown in room.handlers.generate(asks(), *room.values("a red circle")):
                first.append(shown)

        watching = asyncio.create_task(watch())
        await until(lambda: room.engine.requests)
        second = await room.generate("a blue circle")
        await until(lambda: any(stage["waiting"] == 1 for stage in told(first)[-1:]))
        room.engine.hold.set()
        await watching
        return first, second

    first, second = asyncio.run(scene())
    assert told(second) == []
    ends = [stage["phase"] for stage in told(first) if stage["phase"] == "done"]
    assert ends == ["done", "done"]


def test_a_page_opened_later_sees_the_running_job_and_its_result(room):
    room.engine.hold.clear()

    async def scene() -> list[Any]:
        first = asyncio.create_task(room.generate("a red circle", session="desk"))
        await until(lambda: room.engine.requests)
        page = room.handlers.open(asks(None, "phone"))
        opened = [await anext(page), await anext(page)]
        room.engine.hold.set()
        await first
        return [*opened, *await collect(page)]

    shown = asyncio.run(scene())
    assert told(shown)[0]["phase"] == "running"
    assert told(shown)[-1]["phase"] == "done"
    assert len(shown[-1][1]["pictures"]) == 1


def test_a_page_opened_by_another_person_sees_nothing_of_it(room):
    asyncio.run(room.generate("a red circle", user="ada"))
    shown = asyncio.run(collect(room.handlers.open(asks("bob"))))
    assert [gallery for _, gallery in shown] == [{"pictures": []}]


def test_leaving_the_page_leaves_the_job_alone_and_no_trace_on_the_desk(room):
    room.engine.hold.clear()

    async def scene() -> None:
        watching = room.handlers.generate(asks(), *room.values("a red circle"))
        await anext(watching)
        await anext(watching)
        await watching.aclose()
        assert room.desk._lines == {}
        room.engine.hold.set()
        await until(lambda: room.studio.queue.list()[0].state == "done")

    asyncio.run(scene())


def test_a_job_that_nobody_follows_keeps_no_pictures(room, monkeypatch):
    kept = Recent(jobs=0)
    monkeypatch.setattr(room.studio.queue, "_recent", kept)
    drawn: list[weakref.ref[Any]] = []
    room.studio.bus.subscribe(
        lambda event: drawn.append(weakref.ref(event.picture.image)) if isinstance(event, ImageReady) else None
    )
    request = form.compose(room.values("a red circle"))
    ids = [asyncio.run(room.desk.submit(request, "local")) for _ in range(3)]
    asyncio.run(until(lambda: all(room.studio.queue.get(job).state == "done" for job in ids)))

    def gone() -> bool:
        gc.collect()
        return all(image() is None for image in drawn)

    asyncio.run(until(gone))
    assert len(drawn) == 3
    (view,) = asyncio.run(collect(room.desk.follow("s", "local", ids[:1])))
    assert (view["phase"], view["error"]) == ("done", None)


def test_the_oldest_jobs_come_first_however_many_wait(room):
    room.engine.hold.clear()
    request = form.compose(room.values("a red circle"))
    ids = [room.studio.queue.submit(request, "local").id for _ in range(106)]
    assert asyncio.run(room.desk.unfinished("local"))[:4] == ids[:4]


def test_recall_gives_the_form_what_the_picture_was_drawn_with(room):
    asyncio.run(room.generate("a red circle", **{"sampling.steps": 6, "seeds.seed": 77, "sampling.sampler": "Euler a"}))
    (row,) = room.studio.pictures.list()
    form_now = room.values("other words", **{"canvas.batch_size": 3})
    back = dict(zip(form.NAMES, room.handlers.recall(pressed(row), asks(), *form_now), strict=True))
    assert (back["prompt.text"], back["sampling.steps"], back["seeds.seed"]) == ("a red circle", 6, 77)
    assert (back["sampling.sampler"], back["canvas.width"], back["model.checkpoint"]) == ("Euler a", 128, "pocket")
    assert back["canvas.batch_size"] == 3


def test_recall_takes_only_what_is_wanted(room):
    asyncio.run(room.generate("a red circle", **{"sampling.steps": 6, "seeds.seed": 77}))
    (row,) = room.studio.pictures.list()

    def back(*only):
        event = EventData(None, {"id": row.id, "only": [*only]})
        values = room.handlers.recall(event, asks(), *room.values("other words"))
        named = zip(form.NAMES, values, strict=True)
        return {name: value for name, value in named if not (isinstance(value, dict) and "__type__" in value)}

    assert set(back("seed")) == {"seeds.seed", "seeds.subseed", "seeds.subseed_strength"}
    assert back("seed")["seeds.seed"] == 77
    both = back("prompt", "size")
    assert (both["prompt.text"], both["canvas.width"]) == ("a red circle", 128)
    assert not {"seeds.seed", "sampling.steps", "model.checkpoint"} & set(both)
    assert back("nonsense") == {}
    assert len(back()) == len(form.NAMES)


def test_recall_finds_the_refiner_of_a_picture_by_its_title(room, monkeypatch):
    values = room.values("a red circle", **{"model.checkpoint": "big"})
    asyncio.run(room.generate("a red circle"))
    (row,) = room.studio.pictures.list()
    told = f"{row.infotext}, Refiner: pocket [1a2b3c4d5e], Refiner switch at: 0.7"
    monkeypatch.setattr(room.studio.pictures, "get", lambda picture: replace(row, infotext=told))
    back = dict(zip(form.NAMES, room.handlers.recall(pressed(row), asks(), *values), strict=True))
    assert (back["refiner.checkpoint"], back["refiner.switch_at"]) == ("pocket", 0.7)
    monkeypatch.setattr(room.studio.pictures, "get", lambda picture: row)
    back = dict(zip(form.NAMES, room.handlers.recall(pressed(row), asks(), *values), strict=True))
    assert back["refiner.checkpoint"] == ""


def test_names_from_elsewhere_become_those_of_the_studio(room):
    """A1111's older name of a sampler is taken apart, and what there is no such thing for stays open and is told."""
    facts = facts_of(room.handlers._studio.catalog, None)
    first, second = room.handlers._studio.catalog.samplers()[0], room.handlers._studio.catalog.schedulers()[-1]
    values = dict(zip(form.NAMES, form.spread(GenerationRequest(), facts), strict=True))
    values |= {
        "sampling.sampler": f"{first.name} {second.label}".lower(),
        "hires.upscaler": "none such",
        "seeds.seed": 2**40,
    }
    settled, told = settle([values[name] for name in form.NAMES], room.handlers._studio.catalog, facts)
    found = dict(zip(form.NAMES, settled, strict=True))
    assert (found["sampling.sampler"], found["sampling.scheduler"]) == (first.name, second.label)
    assert found["hires.upscaler"] == form.defaults(facts)["hires.upscaler"]
    assert found["seeds.seed"] == -1
    assert len(told) == 2
    assert "is beyond 4294967295" in told[0]
    assert "there is no 'none such' here" in told[1]


def test_recall_takes_a_text_that_the_page_sends(room):
    event = EventData(None, {"infotext": "a fox\nSteps: 7, Sampler: no such one, Seed: 3, Size: 64x72"})
    back = dict(zip(form.NAMES, room.handlers.recall(event, asks("bob"), *room.values("x")), strict=True))
    assert (back["prompt.text"], back["sampling.steps"], back["seeds.seed"]) == ("a fox", 7, 3)
    assert (back["canvas.width"], back["canvas.height"]) == (64, 72)
    assert back["sampling.sampler"] != "no such one"


def test_recall_of_another_persons_picture_is_refused(room):
    asyncio.run(room.generate("a red circle", user="ada"))
    (row,) = room.studio.pictures.list()
    with pytest.raises(Error, match="no longer in the gallery"):
        room.handlers.recall(pressed(row), asks("bob"), *room.values("x"))


def test_another_model_brings_its_own_values(room):
    *values, aspect, prompts = room.handlers.fit("big")
    fitted, able = values[: len(Handlers.FITTED)], values[len(Handlers.FITTED) :]
    assert fitted == [1024, 1024, "Euler", "Automatic", 30, 5.0]
    assert [update["visible"] for update in able[: len(Handlers.ABILITIES) + 1]] == [True] * (
        len(Handlers.ABILITIES) + 1
    )
    assert aspect == "1:1"
    assert "lighthouse" in prompts["prompts"][0]


def test_what_a_model_cannot_do_is_not_offered_and_forgotten(room, monkeypatch):
    plain = family("sdxl", capabilities=frozenset({"tiling"}))
    monkeypatch.setattr(room.handlers._studio.catalog, "family", lambda _: plain)
    *values, negative, clip_skip, decoder, tiling, second, enabled, _, _ = room.handlers.fit("big")
    guidance, *inside = values[len(Handlers.FITTED) :]
    assert guidance["visible"] is False
    branches, freeu, thinning = [0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0, None, None]
    detailer = ["", "", 0.3, 0, "", "", 0.4, 32, None]
    film = [None, None, "webp"]
    assert [update["value"] for update in inside] == [
        *film,
        *(0.0, 1.0, "constant", 0.0, False, 0.0, 0.0, False),
        *branches,
        *freeu,
        *thinning,
        *detailer,
    ]
    assert (negative["visible"], negative["value"]) == (False, "")
    assert (clip_skip["visible"], clip_skip["value"]) == (False, 1)
    assert (decoder["visible"], decoder["value"]) == (False, 10)
    assert tiling["visible"] is True
    assert (second["visible"], enabled) == (False, False)


def test_the_status_line_follows_the_start(room):
    room.studio.status.set("libraries", "Loading <torch>")

    async def scene() -> list[str]:
        lines = room.handlers.starting()
        first = await anext(lines)
        threading.Timer(0.1, room.studio.status.set, ("ready", "Ready")).start()
        return [first, *[line async for line in lines]]

    first, last = asyncio.run(scene())
    assert "Loading &lt;torch&gt;" in first
    assert 'class="pill ready"' in last


async def collect(stream: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in stream]


def test_only_those_who_may_have_the_model_folders_looked_at(room, monkeypatch):
    monkeypatch.setattr("modules.ui.handlers.gr.Warning", lambda *message, **manner: None)  # there is no page
    accounts, catalog = room.studio.accounts, room.handlers._studio.catalog
    handlers = room.handlers
    assert handlers.offer_refresh(asks())["visible"]
    accounts.add_user("ada", "correct horse", role="admin")
    accounts.add_user("bob", "correct horse")
    accounts.add_user("guy", "correct horse", role="guest")
    assert [handlers.offer_refresh(asks(name))["visible"] for name in ("ada", "bob", "guy")] == [True, True, False]
    with pytest.raises(Error, match="guest"):
        handlers.refresh(asks("guy"), "pocket")
    assert catalog.refreshed == 0
    model, refiner = handlers.refresh(asks("bob"), "pocket", "gone")
    assert (model["value"], refiner["value"]) == ("pocket", "")
    assert refiner["choices"] == [("None", ""), *model["choices"]]
    handlers.refresh(asks("of --api-auth"), "pocket")
    assert catalog.refreshed == 2
