"""Scripts and extensions over HTTP."""

from __future__ import annotations

import textwrap
from dataclasses import replace

import pytest

from modules.api.carrying import wanted_of
from modules.api.intake import Intake
from modules.api.typed import JobWanted, read_wanted
from modules.contracts.scripts import GivenValue, ScriptUse
from modules.scripts.desk import ScriptDesk
from modules.scripts.shelf import ScriptShelf
from tests.api.fakes import PASSWORD, b64, made, picture

JSON = {"Content-Type": "application/json"}
SOURCE = """
from modules.scripts.v1 import Choice, Number, Picture, Route, Script, Toggle

class Haze(Script):
    title = "Haze v2"
    amount = Number("Amount", 0.5, minimum=0, maximum=1, step=0.1)
    tone = Choice("Tone", choices=("White", "Black"))
    on = Toggle("On", True)
    veil = Picture("Veil")
    settings = (Number("Power", 3, name="power", maximum=5),)

    def routes(self):
        return [
            Route("twice", lambda given: {"twice": 2 * int(given["n"])}),
            Route("deep/add", lambda given: given["a"] + given["b"], "POST"),
            Route("secret", lambda given: "told", admin=True),
            Route("broken", lambda given: 1 / 0),
            Route("odd", lambda given: object()),
        ]

    def application(self, page):
        from fastapi import FastAPI
        made = FastAPI(openapi_url=None)
        made.add_api_route("/haze/own", lambda: f"own of {page}", methods=["GET"])
        return made

class Walk(Script):
    title = "Walk"
    always_on = False
    where = "txt2img"
    count = Number("Count", 2, minimum=1, maximum=9)

    def run(self, job, request):
        return job.generate(request).pictures
"""


@pytest.fixture
def shelf(tmp_path):
    folder = tmp_path / "ext" / "haze" / "scripts"
    folder.mkdir(parents=True)
    (folder / "haze.py").write_text(textwrap.dedent(SOURCE))
    (tmp_path / "ext" / "bad" / "scripts").mkdir(parents=True)
    (tmp_path / "ext" / "bad" / "scripts" / "bad.py").write_text("1 / 0")
    made_ = ScriptShelf([tmp_path / "ext"], [], tmp_path)
    made_.scan()
    yield made_
    made_.close()


@pytest.fixture
def scripted(rig, shelf):
    """A client of a studio with two extensions, one of which cannot be loaded."""
    rig.studio = replace(rig.studio, scripts=ScriptDesk(shelf))
    return rig.client()


def use_of(name, **values):
    return ScriptUse(name, tuple(GivenValue(key, value) for key, value in values.items()))


def test_clients_of_a1111_see_which_are_on(shelf, rig):
    rig.studio = replace(rig.studio, scripts=ScriptDesk(shelf))
    rows = {row["name"]: row for row in rig.client().get("/sdapi/v1/extensions").json()}
    assert {name: row["enabled"] for name, row in rows.items()} == {"haze": True, "bad": False}
    assert rows["haze"]["remote"] == ""  # its folder was laid down by hand


def test_scripts_are_listed_with_their_parameters(scripted):
    listed = scripted.get("/sdapi/v1/scripts").json()
    assert "haze v2" in listed["txt2img"]
    assert "haze v2" in listed["img2img"]
    assert ("walk" in listed["txt2img"], "walk" in listed["img2img"]) == (True, False)
    rows = [row for row in scripted.get("/sdapi/v1/script-info").json() if row["name"] in ("haze v2", "walk")]
    assert [(row["name"], row["is_alwayson"], row["is_img2img"]) for row in rows] == [
        ("haze v2", True, False),
        ("walk", False, False),
        ("haze v2", True, True),
    ]
    assert rows[0]["args"][0] == {
        "label": "Amount", "value": 0.5, "minimum": 0, "maximum": 1, "step": 0.1, "choices": None,
    }  # fmt: skip
    assert rows[0]["args"][1]["choices"] == ["White", "Black"]
    assert rows[0]["args"][3]["value"] is None


@pytest.mark.parametrize("args", [[0.25, 1, None], {"amount": 0.25, "tone": "Black"}])
def test_arguments_go_by_place_and_by_name(scripted, rig, args):
    body = {"steps": 1, "alwayson_scripts": {"haze V2": {"args": args}}}
    assert scripted.post("/sdapi/v1/txt2img", json=body).status_code == 200
    (use,) = rig.asked.scripts.always
    assert use.name == "Haze v2"
    assert {one.name: one.value for one in use.values} in (
        {"amount": 0.25, "tone": 1},
        {"amount": 0.25, "tone": "Black"},
    )


def test_the_script_that_owns_the_run_is_named_as_in_a1111(scripted, rig):
    answer = scripted.post("/sdapi/v1/txt2img", json={"steps": 1, "script_name": "WALK", "script_args": [3, "more"]})
    assert answer.status_code == 200
    assert rig.asked.scripts.run == use_of("Walk", count=3)
    assert "Walk takes 1 arguments" in answer.headers["X-Atelier-Notes"]


def test_pictures_for_scripts_are_taken_in_like_all_others(scripted, rig):
    body = {"steps": 1, "alwayson_scripts": {"Haze v2": {"args": {"veil": b64(picture())}}}}
    assert scripted.post("/sdapi/v1/txt2img", json=body).status_code == 200
    (use,) = rig.asked.scripts.always
    assert use.values[0].picture.startswith(b"\x89PNG")
    body["alwayson_scripts"]["Haze v2"]["args"]["veil"] = "no picture"
    answer = scripted.post("/sdapi/v1/txt2img", json=body)
    assert answer.status_code == 422
    assert "Haze v2: Veil" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"script_name": "nothing"}, "Script 'nothing' not found; for txt2img there are: X/Y/Z plot, Walk."),
        ({"script_name": "Haze v2"}, "Script 'Haze v2' not found"),
        ({"alwayson_scripts": {"Walk": {"args": [1]}}}, "Script 'Walk' not found"),
        ({"alwayson_scripts": {"Haze v2": {"args": 3}}}, "args has to be a list"),
    ],
)
def test_what_is_not_there_or_makes_no_sense_is_refused_with_a_sentence(scripted, body, said):
    answer = scripted.post("/sdapi/v1/txt2img", json={"steps": 1, **body})
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


def test_our_own_jobs_name_scripts_and_are_carried_with_them(scripted, rig):
    scripts = {
        "always": [{"name": "haze v2", "values": {"amount": 1.0, "veil": b64(picture())}}],
        "run": {"name": "walk", "values": {"count": 4}},
    }
    rig.engine.hold()
    first = made(scripted)["id"]
    for _ in range(8):
        made(scripted)
    job = made(scripted, scripts=scripts)["id"]
    kept = rig.queue.request(job).scripts
    assert kept.run == use_of("Walk", count=4)
    assert {one.name for one in kept.always[0].values} == {"amount", "veil"}
    carried = wanted_of(rig.queue.request(job))
    assert carried["scripts"]["run"] == {"name": "Walk", "values": {"count": 4}}
    again = read_wanted(JobWanted.model_validate(carried), rig.studio, Intake(rig.studio, "ada"))
    assert again.scripts == kept
    rig.engine.let_go()
    rig.queue.handle(first).wait(10)
    wrong = scripted.post("/api/v1/jobs", json={"scripts": {"run": {"name": "none such"}}})
    assert (wrong.status_code, "there are: Walk" in wrong.json()["detail"]) == (422, True)


def test_an_admin_sees_states_and_failures_and_switches(scripted):
    told = scripted.get("/api/v1/extensions").json()
    rows = {row["name"]: row for row in told["extensions"]}
    assert (rows["haze"]["state"], rows["bad"]["state"]) == ("on", "failed")
    assert "ZeroDivisionError" in rows["bad"]["error"]
    assert "Traceback" in rows["bad"]["trace"]
    assert [one["title"] for one in rows["haze"]["scripts"]] == ["Haze v2", "Walk"]
    assert rows["haze"]["settings"] == {"power": 3}
    assert scripted.post("/api/v1/extensions/haze/disable").json()["state"] == "off"
    assert "haze v2" not in scripted.get("/sdapi/v1/scripts").json()["txt2img"]
    assert scripted.post("/api/v1/extensions/haze/enable").json()["state"] == "on"
    assert scripted.post("/api/v1/extensions/haze/reload").json()["state"] == "on"
    assert "haze v2" in scripted.get("/sdapi/v1/scripts").json()["txt2img"]
    assert scripted.put("/api/v1/extensions/haze/settings", json={"values": {"power": 9}}).status_code == 422
    assert scripted.put("/api/v1/extensions/haze/settings", json={"values": {"power": 4}}).json()["settings"] == {
        "power": 4
    }
    assert scripted.post("/api/v1/extensions/nobody/enable").status_code == 404


def test_a_new_folder_is_found_without_a_start(scripted, tmp_path):
    (tmp_path / "ext" / "fresh").mkdir()
    rows = scripted.post("/api/v1/extensions/refresh").json()["extensions"]
    assert [row["name"] for row in rows] == ["bad", "fresh", "haze"]


def test_extensions_answer_at_their_own_addresses_and_fail_with_a_sentence(scripted):
    place = "/api/v1/extensions/haze/routes"
    assert scripted.get(f"{place}/twice", params={"n": 4}).json() == {"twice": 8}
    assert scripted.post(f"{place}/deep/add", json={"a": 1, "b": 2}).json() == 3
    assert scripted.get(f"{place}/secret").json() == "told"
    assert scripted.get(f"{place}/nowhere").status_code == 404
    assert scripted.post(f"{place}/twice").status_code == 404
    for broken, said in (("broken", "ZeroDivisionError"), ("odd", "TypeError")):
        answer = scripted.get(f"{place}/{broken}")
        assert answer.status_code == 500
        assert f"The extension haze failed: {said}" in answer.json()["detail"]
    assert scripted.post(f"{place}/deep/add", content=b"{", headers=JSON).status_code == 422
    assert scripted.post(f"{place}/deep/add", content=b"[]", headers=JSON).status_code == 422


def test_only_admins_manage_and_users_ask(scripted, rig):
    rig.accounts.add_user("ada", PASSWORD, role="admin")
    rig.accounts.add_user("ann", PASSWORD, role="user")
    client = rig.client()
    client.auth = ("ann", PASSWORD)
    assert client.get("/api/v1/extensions").status_code == 403
    assert client.post("/api/v1/extensions/haze/disable").status_code == 403
    assert client.get("/api/v1/extensions/haze/routes/twice", params={"n": 1}).json() == {"twice": 2}
    assert client.get("/api/v1/extensions/haze/routes/secret").status_code == 403


def test_addresses_of_their_own_are_for_members(scripted, rig):
    assert scripted.get("/haze/own").status_code == 404
    rig.studio.scripts.open("a page")
    assert scripted.get("/haze/own").json() == "own of a page"
    assert scripted.post("/haze/own").status_code in (404, 405)
    for name, role in (("ada", "admin"), ("ann", "user"), ("guy", "guest")):
        rig.accounts.add_user(name, PASSWORD, role=role)
    client = rig.client()
    assert client.get("/haze/own").status_code == 401
    client.auth = ("guy", PASSWORD)
    assert client.get("/haze/own").status_code == 403
    client.auth = ("ann", PASSWORD)
    assert client.get("/haze/own").json() == "own of a page"
