"""Nothing costly before it is allowed: on a refusal no picture has been decoded, and none has been fetched."""

from __future__ import annotations

import dataclasses

import pytest
from PIL import Image, ImageFile

from modules.api.images import to_png
from modules.contracts.accounts import Tier
from modules.contracts.errors import InvalidRequest
from tests.accounts.fronts import MeteredRig
from tests.accounts.test_limits import BODIES, ask
from tests.api.fakes import PASSWORD, SMALL, b64, picture

ADDRESS = "https://pictures.example/cat.png"
TAKING = [path for path in BODIES if "img2img" in path or "extra" in path or path.endswith("edits")]
LARGE = picture((8000, 8000), 0, "L")


class Fetcher:
    """Gives one picture to whoever asks, and counts."""

    def __init__(self):
        self.asked = 0

    def fetch(self, address, seconds):
        self.asked += 1
        return picture()


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    rig = MeteredRig(tmp_path_factory.mktemp("studio"))
    rig.fetcher = Fetcher()
    rig.studio = dataclasses.replace(rig.studio, fetcher=rig.fetcher)
    rig.settings.update({"fetch_picture_urls": True})
    yield rig
    rig.close()


@pytest.fixture
def rig(house):
    """The studio with somebody new in it, under `person`; nothing has been fetched."""
    house.person = f"bob-{len(house.accounts.users())}"
    house.accounts.add_user(house.person, PASSWORD)
    house.fetcher.asked = 0
    yield house
    house.finish()


@pytest.fixture
def bob(rig):
    return rig.client(headers=rig.key_of(rig.person))


@pytest.fixture
def decoded(monkeypatch):
    """Sizes of the pictures whose pixels were decoded."""
    sizes, load = [], ImageFile.ImageFile.load

    def counted(image):
        if image.tile:
            sizes.append(image.size)
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", counted)
    return sizes


def spend(rig):
    """The person has no credits left."""
    rig.accounts.set_tier(Tier("limited", credits_per_day=1000))
    rig.accounts.change_user(rig.person, tier="limited")
    rig.accounts.grant(rig.person, -rig.accounts.allowance(rig.person).left_today, "all gone")


def img2img(images, **more):
    return {"steps": 2, "width": 64, "height": 64, "init_images": images, **more}


@pytest.mark.parametrize("path", TAKING)
def test_without_credits_nothing_is_decoded_and_with_some_it_is(rig, bob, decoded, path):
    allowed = ask(bob, path, "")
    assert allowed.status_code == 200
    assert decoded
    spend(rig)
    decoded.clear()
    answer = ask(bob, path, "")
    assert (answer.status_code, int(answer.headers["retry-after"]) > 0, decoded) == (429, True, [])


def typed(**groups):
    return {**SMALL, **groups}


FETCHING = {
    "/sdapi/v1/img2img": img2img([ADDRESS], mask=ADDRESS),
    "/agent-scheduler/v1/queue/img2img": img2img([ADDRESS]),
    "/sdapi/v1/extra-single-image": {"image": ADDRESS, "upscaler_1": "Lanczos"},
    "/sdapi/v1/extra-batch-images": {"imageList": [{"data": ADDRESS}], "upscaler_1": "Lanczos"},
    "/api/v1/jobs": typed(image={"images": [ADDRESS]}),
}


@pytest.mark.parametrize("path", FETCHING)
def test_without_credits_nothing_is_fetched_and_with_some_it_is(rig, bob, decoded, path):
    assert bob.post(path, json=FETCHING[path]).status_code in (200, 202)
    assert rig.fetcher.asked > 0
    spend(rig)
    rig.fetcher.asked = 0
    decoded.clear()
    assert bob.post(path, json=FETCHING[path]).status_code == 429
    assert (rig.fetcher.asked, decoded) == (0, [])


@pytest.mark.parametrize("path", ["/sdapi/v1/img2img", "/agent-scheduler/v1/queue/img2img"])
def test_more_pictures_than_the_batch_has_are_not_even_looked_at(rig, bob, decoded, monkeypatch, path):
    looked = []
    monkeypatch.setattr("modules.api.intake.look_at", lambda data, name: looked.append(name))
    for images, size in (([b64(picture())] * 3, 2), ([ADDRESS] * 500, 1), ([b64(picture())] * 65, 65)):
        answer = bob.post(path, json=img2img(images, batch_size=size))
        assert answer.status_code == 422, answer.text
    assert (decoded, looked, rig.fetcher.asked) == ([], [], 0)


def test_all_pictures_together_are_measured_by_their_heads(rig, bob, decoded):
    for path, body in (
        ("/sdapi/v1/img2img", img2img([b64(LARGE)] * 12, batch_size=12)),
        (
            "/api/v1/jobs",
            typed(canvas={"width": 64, "height": 64, "batch_size": 5}, image={"images": [b64(LARGE)] * 5}),
        ),
        ("/sdapi/v1/extra-batch-images", {"imageList": [{"data": b64(LARGE)}] * 5, "upscaling_resize": 0.01}),
    ):
        answer = bob.post(path, json=body)
        assert (answer.status_code, "256 megapixels" in answer.json()["detail"]) == (422, True), answer.text
    answer = bob.post("/sdapi/v1/extra-batch-images", json={"imageList": [{"data": b64(LARGE)}] * 2})
    assert (answer.status_code, "at most 8192 pixels a side" in answer.json()["detail"]) == (422, True)
    assert decoded == []


def test_what_the_tier_never_allows_is_refused_unseen(rig, bob, decoded):
    rig.accounts.set_tier(Tier("limited", max_steps=9, max_pixels=100 * 100))
    rig.accounts.change_user(rig.person, tier="limited")
    for body in (img2img([ADDRESS], steps=10), img2img([b64(picture())], width=128, height=128)):
        assert bob.post("/sdapi/v1/img2img", json=body).status_code == 422
    larger = {"image": b64(picture((64, 64))), "upscaling_resize": 2, "upscaler_1": "Lanczos"}
    assert bob.post("/sdapi/v1/extra-single-image", json=larger).status_code == 422
    assert (decoded, rig.fetcher.asked) == ([], 0)


def test_a_turned_photograph_counts_as_it_will_stand(rig, bob):
    """Seen upside it is narrow and fits the tier; as its file lies it would not."""
    rig.accounts.set_tier(Tier("limited", max_pixels=128 * 64))
    rig.accounts.change_user(rig.person, tier="limited")
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = picture((32, 64), form="JPEG", exif=exif)
    body = {"image": b64(photo), "resize_mode": 1, "upscaling_resize_w": 128, "upscaling_resize_h": 64}
    answer = bob.post("/sdapi/v1/extra-single-image", json={**body, "upscaling_crop": False, "upscaler_1": "Lanczos"})
    assert answer.status_code == 200, answer.text


def test_what_is_stored_under_its_key_comes_back_whatever_is_left(rig, bob):
    headers, body = {"idempotency-key": "order 17"}, typed(image={"images": [b64(picture())]})
    first = bob.post("/api/v1/jobs", json=body, headers=headers)
    assert first.status_code == 202, first.text
    rig.queue.handle(first.json()["id"]).wait(10)
    spend(rig)
    again = bob.post("/api/v1/jobs", json=body, headers=headers)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert bob.post("/api/v1/jobs", json=body, headers={"idempotency-key": "order 18"}).status_code == 429


def test_what_nobody_would_draw_is_refused_at_once_and_costs_nothing(rig, bob):
    def examine(request):
        if request.canvas.width == 8192:
            raise InvalidRequest("The size has 67.1 megapixels; the setting max_megapixels allows 17.")

    inner = rig.queue._inner
    before, kept = len(rig.accounts.ledger(limit=1000)), inner._entrance
    inner._entrance = dataclasses.replace(kept, examine=examine)
    large = typed(canvas={"width": 8192, "height": 8192}, sampling={"steps": 1})
    answer = bob.post("/api/v1/jobs", json=large)
    inner._entrance = kept
    assert (answer.status_code, "17" in answer.json()["detail"]) == (422, True), answer.text
    assert len(rig.accounts.ledger(limit=1000)) == before


def test_requests_that_fill_the_room_are_refused_before_anything_is_stored_or_charged(rig, bob):
    ada = rig.client(headers=rig.key_of("ada"))
    rig.queue.pause()
    noise = b64(to_png(Image.effect_noise((850, 850), 200)))  # about 0.7 megabytes as it is stored
    body, later = {"prompt": "a cat", "init_images": [noise]}, {"Prefer": "respond-async"}

    def ask(client, status, **headers):
        answer = client.post("/sdapi/v1/img2img", json=body, headers={**later, **headers})
        assert answer.status_code == status, answer.text
        return answer

    def waiting():
        return bob.get("/api/v1/queue").json()["waiting_bytes"]

    before, lines = waiting(), len(rig.accounts.ledger(limit=1000))
    assert (before["mine"], before["mine_at_most"], before["all_at_most"]) == (0, 2**30, 2**31)
    rig.settings.update({"queue_input_mb_per_owner": 1, "queue_input_mb": 2})
    try:
        first = ask(bob, 202, **{"Idempotency-Key": "first"}).json()
        told = waiting()
        assert 2**19 < told["mine"] < 2**20 == told["mine_at_most"]
        refused = ask(bob, 429)
        assert refused.json()["error"] == "over_limit"
        assert int(refused.headers["retry-after"]) > 0
        assert ask(bob, 202, **{"Idempotency-Key": "first"}).json() == first
        assert waiting() == told
        rig.settings.update({"queue_input_mb_per_owner": 0})
        ask(ada, 202)
        assert waiting()["all"] > told["all"]
        assert ask(ada, 503).headers["retry-after"] == "5"
        assert len(rig.accounts.ledger(limit=1000)) == lines + 2
    finally:
        rig.settings.update({"queue_input_mb_per_owner": None, "queue_input_mb": None})
        rig.queue.resume()


def test_a_full_queue_answers_503_and_when_to_come_again(rig, bob, monkeypatch):
    monkeypatch.setattr("modules.call_queue.entrance.DEPTH", 0)
    before = len(rig.accounts.ledger(limit=1000))
    answer = bob.post("/api/v1/jobs", json=SMALL)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert len(rig.accounts.ledger(limit=1000)) == before
