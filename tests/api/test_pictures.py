"""`/api/v1/pictures`: by opaque id, to whom they belong, under a fixed type."""

from __future__ import annotations

import io
import zipfile

import pytest
from PIL import Image

from tests.api.fakes import PASSWORD, made


@pytest.fixture
def drawn(make_rig):
    """A gallery of three pictures of one job, and a client."""
    rig = make_rig(gallery=True)
    client = rig.client()
    job = made(client, seeds={"seed": 5}, canvas={"width": 64, "height": 72, "batch_size": 3})["id"]
    rig.queue.handle(job).wait(20)
    return rig, client, job


def test_pictures_are_listed_read_and_removed(drawn):
    _, client, _ = drawn
    first = client.get("/api/v1/pictures?limit=2").json()
    assert ([row["index"] for row in first["pictures"]], first["total"]) == ([2, 1], 3)
    rest = client.get(f"/api/v1/pictures?limit=2&after={first['following']}").json()
    assert ([row["index"] for row in rest["pictures"]], rest["following"]) == ([0], None)
    assert client.get("/api/v1/pictures?job_id=other").json() == {
        "pictures": [],
        "following": None,
        "total": 0,
        "beginning": 0,
    }
    row = rest["pictures"][0]
    place = f"/api/v1/pictures/{row['id']}"
    assert client.get(place).json() == row
    assert (row["width"], row["height"], row["media_type"]) == (64, 72, "image/png")
    answer = client.get(f"{place}/file?download=true")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["content-disposition"].startswith("attachment")
    assert Image.open(io.BytesIO(answer.content)).size == (64, 72)
    small = client.get(f"{place}/thumbnail?side=64")
    assert small.headers["content-type"] == "image/webp"
    assert max(Image.open(io.BytesIO(small.content)).size) == 64
    assert client.get(f"{place}/recipe").json()["recipe"]["seed"] == 5
    assert client.get(f"{place}/infotext").json()["parameters"]["Seed"] == "5"
    assert client.delete(place).status_code == 204
    assert client.delete(place).status_code == 404
    assert client.get(f"{place}/file").status_code == 404
    for wrong in ("limit=0", "after=-1", "limit=1001", "job_id=%00"):
        assert client.get(f"/api/v1/pictures?{wrong}").status_code == 422


def test_several_come_as_one_archive(drawn):
    _, client, job = drawn
    rows = client.get(f"/api/v1/jobs/{job}/pictures").json()["pictures"]
    ids = [row["id"] for row in rows]
    part = client.get(f"/api/v1/jobs/{job}/pictures?limit=2&after=1").json()
    assert part == {"pictures": rows[1:3], "following": 3 if len(rows) > 3 else None, "total": len(rows)}
    assert client.get(f"/api/v1/jobs/{job}/pictures?limit=0").status_code == 422
    answer = client.post("/api/v1/pictures/zip", json={"ids": [*ids, ids[0]]})
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert len(names) == 3
        assert all("/" not in name and ".." not in name for name in names)
        one = client.get(f"/api/v1/pictures/{ids[0]}/file").content
        assert archive.read(names[0]) == one
    assert client.post("/api/v1/pictures/zip", json={"ids": []}).status_code == 422
    assert client.post("/api/v1/pictures/zip", json={"ids": ["../../etc/passwd"]}).status_code == 404
    assert client.post("/api/v1/pictures/zip", json={"ids": ["x"] * 1001}).status_code == 422


def test_nobody_gets_at_pictures_of_others(drawn):
    rig, client, job = drawn
    ids = [row["id"] for row in client.get(f"/api/v1/jobs/{job}/pictures").json()["pictures"]]
    app = rig.application()
    rig.accounts.add_user("ada", PASSWORD, role="admin")
    rig.accounts.add_user("bob", PASSWORD)
    tokens = {name: rig.accounts.add_token(name, "t")[1] for name in ("ada", "bob")}
    bob, ada = (rig.client(app, headers={"authorization": f"Bearer {tokens[name]}"}) for name in ("bob", "ada"))
    for path in ("", "/file", "/thumbnail", "/recipe", "/infotext"):
        assert bob.get(f"/api/v1/pictures/{ids[0]}{path}").status_code == 403
        assert ada.get(f"/api/v1/pictures/{ids[0]}{path}").status_code == 200
    assert bob.delete(f"/api/v1/pictures/{ids[0]}").status_code == 403
    assert bob.post("/api/v1/pictures/zip", json={"ids": ids}).status_code == 403
    assert bob.get("/api/v1/pictures").json()["pictures"] == []
    assert bob.get("/api/v1/pictures?owner=local").status_code == 403
    assert len(ada.get("/api/v1/pictures?owner=*").json()["pictures"]) == 3


@pytest.mark.parametrize("name", ["..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "..", "%00", "C:%5cwindows", "a" * 500])
def test_what_is_no_id_names_nothing(client, name):
    assert client.get(f"/api/v1/pictures/{name}/file").status_code == 404
