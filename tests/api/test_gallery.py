"""`/api/v1/pictures` as a gallery: narrowed, marked, put into the bin and taken back, each for its owner alone."""

from __future__ import annotations

import pytest

from tests.api.fakes import PASSWORD, made

PLACE = "/api/v1/pictures"


@pytest.fixture
def drawn(make_rig):
    """A gallery of three pictures, the client that made them, and their ids, newest first."""
    rig = make_rig(gallery=True)
    client = rig.client()
    for prompt, size in (("a red fox", 64), ("a blue cat", 72), ("a red owl", 64)):
        asked = {"prompt": {"text": prompt}, "canvas": {"width": size, "height": 64}, "sampling": {"sampler": "Euler"}}
        rig.queue.handle(made(client, **asked)["id"]).wait(20)
    return rig, client, [row["id"] for row in client.get(PLACE).json()["pictures"]]


def listed(client, **wanted):
    return [row["id"] for row in client.get(PLACE, params=wanted).json()["pictures"]]


def test_lists_are_narrowed_and_say_by_what(drawn):
    _, client, (owl, cat, fox) = drawn
    assert listed(client, text="RED") == [owl, fox]
    assert listed(client, width=72) == [cat]
    assert listed(client, sampler="Euler", text="cat") == [cat]
    assert listed(client, model="nothing of it") == listed(client, kind="film") == []
    assert listed(client, since="2020-01-01T00:00:00Z", kind="still") == [owl, cat, fox]
    assert listed(client, until="2020-01-01T00:00:00Z") == []
    told = client.get(f"{PLACE}/facets").json()
    assert told["samplers"] == [{"name": "Euler", "pictures": 3}]
    assert told["sizes"] == [{"width": 64, "height": 64, "pictures": 2}, {"width": 72, "height": 64, "pictures": 1}]
    first = client.get(PLACE, params={"limit": 1}).json()
    assert listed(client, limit=2, after=first["beginning"], skip=1) == [cat, fox]
    for wrong in ("kind=both", "skip=-1", "width=0", "since=yesterday", "text=%00", f"text={'x' * 1001}"):
        assert client.get(f"{PLACE}?{wrong}").status_code == 422


def test_favourites_one_and_many(drawn):
    _, client, (owl, cat, fox) = drawn
    row = client.patch(f"{PLACE}/{cat}", json={"favourite": True}).json()
    assert (row["id"], row["favourite"], row["binned"]) == (cat, True, None)
    assert client.patch(PLACE, json={"ids": [owl, owl], "favourite": True}).json() == {"pictures": 1}
    assert listed(client, favourite=True) == [owl, cat]
    assert client.get(f"{PLACE}/facets").json()["favourites"] == 2
    for wrong in (
        {},
        {"ids": []},
        {"ids": ["x"] * 1001},
        {"ids": [fox], "colour": 1},
        {"ids": [fox], "binned": "yes!"},
    ):
        assert client.patch(PLACE, json=wrong).status_code == 422
    assert client.patch(PLACE, json={"ids": [fox, "nobody's"], "favourite": True}).status_code == 404
    assert fox not in listed(client, favourite=True)


def test_the_bin_hides_gives_back_and_is_emptied(drawn):
    _, client, (owl, cat, fox) = drawn
    assert client.patch(PLACE, json={"ids": [owl, cat], "binned": True}).json() == {"pictures": 2}
    assert listed(client) == [fox]
    assert listed(client, binned=True) == [owl, cat]
    assert client.get(f"{PLACE}/{owl}").json()["binned"].endswith("Z")
    assert client.get(f"{PLACE}/{owl}/file").status_code == 200
    client.patch(f"{PLACE}/{owl}", json={"binned": False})
    assert listed(client) == [owl, fox]
    assert client.post(f"{PLACE}/bin/empty").json() == {"pictures": 1}
    assert client.get(f"{PLACE}/{cat}").status_code == 404
    assert listed(client, binned=True) == []


def test_marks_are_for_the_owner_and_not_for_guests(drawn):
    rig, _, (owl, *_) = drawn
    app = rig.application()
    for name, role in (("ada", "admin"), ("bob", "user"), ("guy", "guest")):
        rig.accounts.add_user(name, PASSWORD, role=role)
    ada, bob, guy = (
        rig.client(app, headers={"authorization": f"Bearer {rig.accounts.add_token(name, 't')[1]}"})
        for name in ("ada", "bob", "guy")
    )
    for call in (
        lambda one: one.patch(PLACE, json={"ids": [owl], "binned": True}),
        lambda one: one.patch(f"{PLACE}/{owl}", json={"favourite": True}),
    ):
        assert [call(one).status_code for one in (bob, guy)] == [403, 403]
    assert guy.post(f"{PLACE}/bin/empty").status_code == 403
    assert bob.get(f"{PLACE}/facets?owner=*").status_code == 403
    assert bob.get(f"{PLACE}/facets").json()["models"] == []
    assert ada.patch(f"{PLACE}/{owl}", json={"binned": True}).status_code == 200
    assert bob.post(f"{PLACE}/bin/empty").json() == {"pictures": 0}
    assert ada.post(f"{PLACE}/bin/empty?owner=*").json() == {"pictures": 1}
