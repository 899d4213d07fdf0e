"""Every setting that a person may have of their own, at every front: it changes what is drawn for them, and no more."""

from __future__ import annotations

import base64
import dataclasses
import io

import pytest
from PIL import Image

from modules.support.options import CORE_SETTINGS
from modules.support.preferences import Preferences
from modules.ui import form
from tests.accounts.fronts import MeteredRig
from tests.api.fakes import SMALL

OPTIONS = "/sdapi/v1/options"
NAMED = {
    "sd_model_checkpoint": ("people/photo", ("model", "checkpoint")),
    "sd_vae": ("soft", ("model", "vae")),
    "CLIP_stop_at_last_layers": (3, ("prompt", "clip_skip")),
    "samples_format": ("webp", ("output", "format")),
    "emphasis": ("No norm", ("prompt", "emphasis")),
    "comma_padding_backtrack": (0, ("prompt", "comma_backtrack")),
    "face_restoration_model": ("green", ("faces", "restorer")),
    "code_former_weight": (0.25, ("faces", "weight")),
}
"""Settings that a parameter of the request carries: a value, and where it has to arrive."""
CARRIED = {
    "jpeg_quality": 7,
    "samples_filename_pattern": "mine-[seed]",
    "save_txt": True,
    "live_previews_enable": False,
    "show_progress_every_n_steps": 5,
    "live_preview_size": 64,
    "enable_prompt_comments": False,
}
"""Settings that go along with the job. What the engine does about previews is looked at where the engine is tested."""
ANSWERED = {"return_grid": False}
"""Settings that shape an answer alone."""
SPOKEN = {"localization": "de"}
"""Settings of the page alone, which no job takes along; what they do is looked at in a browser."""
FRONTS = {
    "sdapi": ("/sdapi/v1/txt2img", {"steps": 1, "save_images": True}),
    "scheduler": ("/agent-scheduler/v1/queue/txt2img", {"steps": 1}),
    "jobs": ("/api/v1/jobs", SMALL),
    "openai": ("/v1/images/generations", {"prompt": "a cat", "size": "64x64"}),
}


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    made = MeteredRig(tmp_path_factory.mktemp("studio"), gallery=True)
    yield made
    made.close()


@pytest.fixture
def rig(studio):
    studio.renew()
    return studio


def drawn(rig, client, front, **more):
    """The request that reached the engine, and the answer."""
    path, body = FRONTS[front]
    before = len(rig.engine.seen)
    answer = client.post(path, json={**body, **more})
    assert answer.status_code in (200, 202), answer.text
    for record in rig.queue.list(state="queued") + rig.queue.list(state="running"):
        rig.queue.handle(record.id).wait(10)
    assert len(rig.engine.seen) == before + 1
    return rig.asked, answer


def table_of(data):
    """The sum of a JPEG's first quantisation table: the larger, the coarser."""
    with Image.open(io.BytesIO(data)) as image:
        return sum(image.quantization[0])


def last_file(rig):
    """Path of the picture that was saved last."""
    return max(
        (path for path in (rig.pictures._folder).rglob("*.*") if path.suffix != ".txt"), key=lambda path: path.name
    )


def test_every_setting_of_ones_own_is_looked_at_here():
    keys = {item.key for item in CORE_SETTINGS if item.scope == "user"}
    assert keys == {*NAMED, *CARRIED, *ANSWERED, *SPOKEN}


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("key", NAMED)
def test_what_a_request_leaves_open_is_as_its_owner_has_set_it(rig, front, key):
    ann, bob = rig.clients("ann", "bob")
    value, (group, field) = NAMED[key]
    assert bob.post(OPTIONS, json={key: value}).status_code == 200
    assert getattr(getattr(drawn(rig, bob, front)[0], group), field) == value
    assert getattr(getattr(drawn(rig, ann, front)[0], group), field) != value


@pytest.mark.parametrize("front", FRONTS)
def test_what_no_parameter_says_goes_along_with_the_job(rig, front):
    ann, bob = rig.clients("ann", "bob")
    assert bob.post(OPTIONS, json={**CARRIED, **SPOKEN}).status_code == 200
    assert dict(drawn(rig, bob, front)[0].own) == CARRIED
    assert drawn(rig, ann, front)[0].own == ()


def test_what_a_request_says_goes_before(rig):
    (bob,) = rig.clients("bob")
    bob.post(OPTIONS, json={key: value for key, (value, _) in NAMED.items()})
    said = {"model": {"checkpoint": "pocket"}, "prompt": {"text": "a", "clip_skip": 1}, "output": {"format": "png"}}
    asked = drawn(rig, bob, "jobs", **said)[0]
    assert (asked.model.checkpoint, asked.prompt.clip_skip, asked.output.format) == ("pocket", 1, "png")
    assert asked.model.vae == "soft"
    assert drawn(rig, bob, "openai", output_format="png", model="pocket")[0].output.format == "png"


def test_an_admin_s_change_is_what_open_requests_of_everybody_mean(rig):
    ada, bob = rig.clients("ada", "bob")
    ada.post(OPTIONS, json={"samples_format": "avif", "CLIP_stop_at_last_layers": 2})
    for front in FRONTS:
        asked = drawn(rig, bob, front)[0]
        assert (asked.output.format, asked.prompt.clip_skip, asked.own) == ("avif", 2, ())


def test_saved_files_have_their_owner_s_name_quality_and_text(rig):
    ann, bob = rig.clients("ann", "bob")
    bob.post(OPTIONS, json={**CARRIED, "samples_format": "jpeg"})
    rig.settings.update({"samples_format": "jpeg"})
    drawn(rig, bob, "jobs", seeds={"seed": 5})
    mine = last_file(rig)
    assert mine.stem.endswith("-mine-5")
    assert mine.with_suffix(".txt").is_file()
    drawn(rig, ann, "jobs", seeds={"seed": 5})
    other = last_file(rig)
    assert "mine" not in other.name
    assert not other.with_suffix(".txt").exists()
    coarse, fine = (table_of(path.read_bytes()) for path in (mine, other))
    assert coarse > 3 * fine


def test_the_quality_of_answers_is_one_s_own_at_every_front(rig):
    ann, bob = rig.clients("ann", "bob")
    for client in (ann, bob):
        client.post(OPTIONS, json={"samples_format": "jpeg"})
    bob.post(OPTIONS, json={"jpeg_quality": 7})
    for front, read in (
        ("sdapi", lambda told: told["images"][0]),
        ("openai", lambda told: told["data"][0]["b64_json"]),
    ):
        tables = []
        for client in (bob, ann):
            data = base64.b64decode(read(drawn(rig, client, front)[1].json()))
            tables.append(table_of(data))
        assert tables[0] > 3 * tables[1], front


def test_a_quality_for_one_request_counts_for_what_it_saves(rig):
    (bob,) = rig.clients("bob")
    bob.post(OPTIONS, json={"jpeg_quality": 7})
    asked = drawn(rig, bob, "sdapi", override_settings={"jpeg_quality": 33})[0]
    assert dict(asked.own) == {"jpeg_quality": 33}


def test_a_grid_is_left_out_for_whoever_wants_none(rig):
    ann, bob = rig.clients("ann", "bob")
    bob.post(OPTIONS, json=ANSWERED)
    counts = [len(drawn(rig, each, "sdapi", batch_size=2)[1].json()["images"]) for each in (ann, bob)]
    assert counts == [3, 2]


def test_a_job_keeps_what_held_when_it_was_queued(rig):
    (bob,) = rig.clients("bob")
    rig.queue.pause()
    bob.post(OPTIONS, json={"samples_filename_pattern": "first"})
    told = bob.post("/api/v1/jobs", json=SMALL, headers={"idempotency-key": "k"}).json()
    bob.post(OPTIONS, json={"samples_filename_pattern": "second"})
    again = bob.post("/api/v1/jobs", json=SMALL, headers={"idempotency-key": "k"}).json()
    rig.queue.resume()
    rig.queue.handle(told["id"]).wait(10)
    assert again["id"] == told["id"]
    assert dict(rig.asked.own) == {"samples_filename_pattern": "first"}


def test_a_pattern_of_somebody_leads_nowhere_else(rig):
    (bob,) = rig.clients("bob")
    bob.post(OPTIONS, json={"samples_filename_pattern": "../../../[user]/x\\y"})
    drawn(rig, bob, "jobs")
    assert last_file(rig).parent.parent == rig.pictures._folder


@pytest.mark.parametrize("key", ["img2img_fix_steps", "upcast_vae_on_nan", "ESRGAN_tile", "ESRGAN_tile_overlap"])
def test_what_costs_everybody_is_an_admin_s(rig, key):
    (bob,) = rig.clients("bob")
    now = rig.settings[key]
    answer = bob.post(OPTIONS, json={key: (not now) if isinstance(now, bool) else now + 1})
    assert answer.status_code == 403
    assert bob.get(f"/api/v1/settings/{key}").json()["scope"] == "admin"


def test_the_page_takes_what_it_has_no_input_for(rig):
    (bob,) = rig.clients("bob")
    bob.post(OPTIONS, json={key: value for key, (value, _) in NAMED.items()})
    own = Preferences(rig.settings, rig.accounts)
    shown = [None] * len(form.NAMES)
    for name, value in (("prompt.text", "a cat"), ("model.checkpoint", "pocket")):
        shown[form.NAMES.index(name)] = value
    asked = form.compose(shown, own.defaults("bob"))
    assert (asked.model.checkpoint, asked.model.vae) == ("pocket", "soft")
    assert (asked.prompt.clip_skip, asked.output.format) == (3, "webp")
    assert dataclasses.replace(form.compose(shown, own.defaults("ann")), model=asked.model) == dataclasses.replace(
        form.compose(shown), model=asked.model
    )
