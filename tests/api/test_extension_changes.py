"""Bringing extensions in over HTTP: for admins who have signed in, out of repositories and zip files."""

from __future__ import annotations

import base64
import io
import shutil
import zipfile
from dataclasses import replace

import pytest

from modules.contracts.installing import Source
from modules.scripts.desk import ScriptDesk
from modules.scripts.installation.installer import ExtensionInstaller
from modules.scripts.shelf import ScriptShelf
from tests.api.fakes import PASSWORD

PLACE = "/api/v1/extensions"
SOURCE = "from modules.scripts.v1 import Script\n\nclass Haze(Script):\n    title = 'Haze {}'\n"


def zipped(text):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("haze/scripts/haze.py", text)
    return base64.b64encode(data.getvalue()).decode()


@pytest.fixture
def shop(rig, tmp_path):
    """Clients by who they are, of a studio with an installer and no extension yet."""
    installer = ExtensionInstaller(tmp_path / "ext", tmp_path / "kept")
    shelf = ScriptShelf([tmp_path / "ext"], [], tmp_path, libraries=installer.mount)
    shelf.scan()
    installer.changed = shelf.renew
    rig.studio = replace(rig.studio, scripts=ScriptDesk(shelf), installer=installer)

    def client(name=None):
        made = rig.client()
        if name is not None:
            made.auth = (name, PASSWORD)
        return made

    yield client
    shelf.close()


def test_nobody_installs_who_need_not_say_who_they_are(shop, rig, tmp_path):
    asked = {"archive": zipped(SOURCE.format(1))}
    for again in (False, True):
        for method, path in (("post", "/install"), ("post", "/rollback"), ("post", "/x/update"), ("delete", "/x")):
            clients = [shop()] if not again else [shop("ann"), shop("guy"), shop()]
            for client, status in zip(clients, (403, 403, 401), strict=False):
                answer = client.request(method, f"{PLACE}{path}", json=asked)
                assert answer.status_code == status, (path, answer.text)
        if not again:
            assert "an admin who has signed in" in answer.json()["detail"]
            rig.accounts.add_user("ada", PASSWORD, role="admin")
            rig.accounts.add_user("ann", PASSWORD, role="user")
            rig.accounts.add_user("guy", PASSWORD, role="guest")
    assert not (tmp_path / "ext").exists()


def test_an_admin_installs_uses_removes_and_undoes_without_a_start(shop, rig, tmp_path):
    rig.accounts.add_user("ada", PASSWORD, role="admin")
    client = shop("ada")
    dry = client.post(f"{PLACE}/install", json={"archive": zipped(SOURCE.format(1)), "dry_run": True}).json()
    assert (dry["done"], dry["name"], dry["files"], dry["source"]) == (False, "haze", 1, "a zip file")
    assert list((tmp_path / "ext").iterdir()) == []
    assert client.post(f"{PLACE}/install", json={"archive": zipped(SOURCE.format(1))}).json()["done"] is True
    assert "haze 1" in client.get("/sdapi/v1/scripts").json()["txt2img"]
    assert client.get(f"{PLACE}/sources").json() == [
        {"name": "haze", "kind": "archive", "address": "", "commit": "", "requirements": []}
    ]
    assert client.delete(f"{PLACE}/haze", params={"dry_run": True}).json()["done"] is False
    assert client.delete(f"{PLACE}/haze").json()["action"] == "remove"
    assert "haze 1" not in client.get("/sdapi/v1/scripts").json()["txt2img"]
    assert client.get(f"{PLACE}/sources").json() == []
    assert client.post(f"{PLACE}/rollback").json()["name"] == "haze"
    assert "haze 1" in client.get("/sdapi/v1/scripts").json()["txt2img"]
    assert str(tmp_path) not in client.get(PLACE).text


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "Give one source"),
        ({"archive": "no base64!"}, "archive is no base64"),
        ({"archive": "AAAA"}, "cannot be unpacked"),
        ({"address": "file:///etc"}, "begins with one of https, ssh"),
        ({"address": "https://a.example/x.git", "archive": "AAAA"}, "Give one source"),
        ({"folder": "/etc"}, "folder"),
    ],
)
def test_what_cannot_be_installed_is_a_sentence(shop, rig, asked, said):
    rig.accounts.add_user("ada", PASSWORD, role="admin")
    answer = shop("ada").post(f"{PLACE}/install", json=asked)
    assert answer.status_code == 422
    assert said in answer.text


def test_an_update_out_of_a_folder_names_no_place_of_this_machine(shop, rig, tmp_path):
    rig.accounts.add_user("ada", PASSWORD, role="admin")
    client, folder = shop("ada"), tmp_path / "from" / "haze"
    folder.mkdir(parents=True)
    (folder / "a.py").write_text("")
    rig.studio.installer.install(Source(folder, local=True))
    assert client.post(f"{PLACE}/haze/update").json()["source"] == "its folder"
    assert str(folder) in rig.studio.installer.update("haze", local=True).source
    shutil.rmtree(folder)
    answer = client.post(f"{PLACE}/haze/update")
    assert answer.status_code == 422
    assert str(tmp_path) not in answer.text


def test_what_is_not_there_is_not_found(shop, rig):
    rig.accounts.add_user("ada", PASSWORD, role="admin")
    client = shop("ada")
    assert client.post(f"{PLACE}/nobody/update").status_code == 404
    assert client.delete(f"{PLACE}/nobody").status_code == 404
    assert client.post(f"{PLACE}/rollback").status_code == 422
