"""What extensions bring to the page is served from where it belongs, and nothing else of them is."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from modules.scripts.desk import ScriptDesk
from modules.scripts.shelf import ScriptShelf
from modules.ui.extension_files import extension_routes

SCRIPT = "from modules.scripts.v1 import Script\n\nclass Haze(Script): ...\n"
FILES = {
    "scripts/haze.py": SCRIPT,
    "scripts/secret.js": "no",
    "secret.json": "no",
    "javascript/b.js": "window.b = 1;",
    "javascript/a.js": "window.a = 1;",
    "javascript/deep/c.js": "no",
    "javascript/notes.txt": "no",
    "style.css": "body { color: red }",
    "locale/de.json": '{"Generate": "Erzeugen", "n": 1, "empty": ""}',
    "localizations/pt_BR.json": "{broken",
    "localizations/no language.json": "{}",
}


@pytest.fixture
def shelf(tmp_path):
    for path, text in FILES.items():
        file = tmp_path / "ext" / "haze" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    (tmp_path / "outside.js").write_text("no")
    (tmp_path / "ext" / "haze" / "javascript" / "link.js").symlink_to(tmp_path / "outside.js")
    made = ScriptShelf([tmp_path / "ext"], [], tmp_path)
    made.scan()
    yield made
    made.close()


@pytest.fixture
def ask(shelf):
    """GET below `/studio/extensions` of a page; `who` is whom the reader sees."""
    who = {"owner": "ada"}
    app = FastAPI()
    app.include_router(extension_routes("", ScriptDesk(shelf), lambda request: who["owner"]))
    client = TestClient(app)

    def get(path, owner="ada"):
        who["owner"] = owner
        return client.get(f"/studio/extensions{path}")

    return get


def test_scripts_styles_and_translations_are_listed_in_order_and_nothing_else(ask):
    rows = ask("").json()
    assert [(row["path"], row["kind"], row["language"]) for row in rows] == [
        ("javascript/a.js", "script", ""), ("javascript/b.js", "script", ""), ("style.css", "style", ""),
        ("locale/de.json", "words", "de"), ("localizations/pt_BR.json", "words", "pt-br"),
    ]  # fmt: skip
    for row in rows:
        answer = ask(f"/haze/{row['path']}?v={row['mark']}")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert ask("/haze/javascript/a.js").text == "window.a = 1;"
    assert ask("/haze/javascript/a.js").headers["cache-control"] == "no-store"
    assert ask("/haze/style.css").headers["content-type"].startswith("text/css")
    assert ask("/haze/locale/de.json").json() == {"Generate": "Erzeugen"}
    assert ask("/haze/localizations/pt_BR.json").json() == {}


@pytest.mark.parametrize(
    "path",
    [
        "/haze/scripts/haze.py", "/haze/scripts/secret.js", "/haze/secret.json", "/haze/javascript/deep/c.js",
        "/haze/javascript/notes.txt", "/haze/javascript/link.js", "/haze/javascript/../scripts/haze.py",
        "/haze/javascript/..%2f..%2f..%2foutside.js", "/haze/%2fetc%2fpasswd", "/../outside.js", "/haze/",
        "/nobody/style.css",
    ],
)  # fmt: skip
def test_nothing_else_of_the_folder_can_be_fetched(ask, path):
    assert ask(path).status_code in (404, 307)
    assert ask(path).text != "no"


def test_strangers_get_nothing(ask):
    assert ask("", owner=None).status_code == 401
    assert ask("/haze/style.css", owner=None).status_code == 401


def test_switching_acts_at_once(ask, shelf):
    shelf.disable("haze")
    assert ask("").json() == []
    assert ask("/haze/style.css").status_code == 404
    shelf.enable("haze")
    assert len(ask("").json()) == 5
    (shelf.get("haze").folder / "style.css").write_text("body { color: blue }")
    assert "blue" in ask("/haze/style.css").text
