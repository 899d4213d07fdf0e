"""Scripts and extensions on the page."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import pytest

from modules.contracts.errors import InvalidRequest
from modules.contracts.installing import Change, PackageChange
from modules.contracts.request import GenerationRequest, ImageParams
from modules.contracts.scripts import GivenValue, ScriptParams, ScriptUse
from modules.scripts.desk import ScriptDesk
from modules.scripts.shelf import ScriptShelf
from modules.ui import archives
from modules.ui.installing import NOTHING
from modules.ui.page import build_page
from modules.ui.scripts import ExtensionPlace, ScriptPanel
from tests.ui.fakes import FakeEngine, fake_studio
from tests.ui.test_control import data_uri

PAGE = ("ada", "one")
SOURCE = """
from modules.scripts.v1 import Choice, Choices, Number, Picture, Script, Text, Toggle, unseen

class Kept(Text):
    hidden = True
    kind = "text"

class Haze(Script):
    title = "Haze"
    amount = Number("Amount", 0.5, minimum=0, maximum=1)
    count = Number("Count", 3)
    tone = Choice("Tone", choices=("White", "Black"))
    words = Text("Words", lines=2)
    on = Toggle("On")
    veil = Picture("Veil")
    kept = Kept("Kept")

    def panel(self):
        return "What haze **does**."

class Walk(Script):
    title = "Walk"
    where = "txt2img"
    always_on = False
    far = Number("Far", 2, minimum=1, maximum=9)
    past = unseen(Text("Past", "kept"))
    ways = Choices("Ways", default=("left",), choices=("left", "right"))

    def run(self, job, request):
        return job.generate(request).pictures
"""


@pytest.fixture
def shelf(tmp_path):
    (tmp_path / "ext" / "haze" / "scripts").mkdir(parents=True)
    (tmp_path / "ext" / "haze" / "scripts" / "haze.py").write_text(SOURCE)
    (tmp_path / "ext" / "<bad>" / "scripts").mkdir(parents=True)
    (tmp_path / "ext" / "<bad>" / "scripts" / "bad.py").write_text("1 / 0")
    made = ScriptShelf([tmp_path / "ext"], [], tmp_path)
    made.scan()
    yield made
    made.close()


@pytest.fixture
def studio(tmp_path, shelf):
    made = fake_studio(tmp_path, FakeEngine(), lanes=1)
    yield replace(made, scripts=ScriptDesk(shelf))
    made.close()


@pytest.fixture
def panel(studio):
    made = ScriptPanel(studio)

    async def act():
        with gr.Blocks():
            made.build()

    asyncio.run(act())
    return made


PLAIN = ["None", 0.5, 3, "White", "", False, 2, ["left"]]


def test_every_parameter_has_an_input_with_its_bounds(panel):
    labels = ["Script", "Amount", "Count", "Tone", "Words", "On", "Far", "Ways"]  # Past is not for the page
    assert [field.label for field in panel.fields] == labels
    assert [field.value for field in panel.fields] == PLAIN
    assert (panel.fields[1].minimum, panel.fields[1].maximum) == (0, 1)
    assert panel.fields[0].choices == [("None", "None"), ("Walk", "Walk")]
    assert panel.fields[1].elem_id == "script_txt2img_haze_amount"


def test_defaults_say_nothing_and_changes_are_told_to_the_script(panel):
    assert panel.fill(GenerationRequest(), PLAIN, PAGE) == GenerationRequest()
    panel.pictures.take(0, data_uri((8, 8)), PAGE)
    asked = panel.fill(GenerationRequest(), ["Walk", 0.7, 4.0, "Black", "", True, 5, ["right"]], PAGE)
    (use,) = asked.scripts.always
    assert use.name == "Haze"
    assert [(one.name, one.value) for one in use.values[:-1]] == [
        ("amount", 0.7), ("count", 4), ("tone", "Black"), ("on", True),
    ]  # fmt: skip
    assert isinstance(use.values[1].value, int)
    assert use.values[-1].picture.startswith(b"\x89PNG")
    assert asked.scripts.run == ScriptUse("Walk", (GivenValue("far", 5), GivenValue("ways", ["right"])))


def test_a_script_that_was_switched_off_is_told_nothing(panel, studio):
    studio.scripts.switch("haze", "disable")
    changed = ["None", 0.7, *PLAIN[2:]]
    assert panel.fill(GenerationRequest(), changed, PAGE).scripts == ScriptParams()
    studio.scripts.switch("haze", "enable")
    drawn = GenerationRequest(image=ImageParams((b"",)))
    assert [use.name for use in panel.fill(drawn, changed, PAGE).scripts.always] == ["Haze"]


def test_the_page_hands_what_its_inputs_say_to_the_queue(studio):
    async def act():
        return build_page(studio)

    page = asyncio.run(act())
    labels = [getattr(block, "label", None) for block in page.blocks.values()]
    assert {"Haze", "Walk", "Amount", "Extensions"} <= set(labels)
    ids = {getattr(block, "elem_id", None) for block in page.blocks.values()}
    assert {"script_list", "extensions_table", "script_txt2img_haze_veil"} <= ids


def asking(name=None):
    return SimpleNamespace(username=name, session_hash="one")


def test_admins_see_state_time_and_failures_and_switch(studio):
    place = ExtensionPlace(studio)
    shown, table, names, install = place.open(asking())
    assert install["visible"] is False
    assert shown["visible"] is True
    assert "<td>haze</td><td>on</td><td>Haze, Walk</td>" in table
    assert "&lt;bad&gt;" in table
    assert "ZeroDivisionError" in table
    assert "<bad>" not in table
    assert names["choices"] == ["<bad>", "haze"]
    table, names = place.switch("disable", "haze", asking())
    assert "<td>haze</td><td>off</td>" in table
    assert names["value"] == "haze"
    with pytest.raises(gr.Error, match="There is no extension"):
        place.switch("enable", None, asking())


def test_nobody_else_sees_the_place_or_switches(studio):
    studio.accounts.add_user("ada", "a long password", role="admin")
    studio.accounts.add_user("ann", "a long password", role="user")
    place = ExtensionPlace(studio)
    assert place.open(asking("ann"))[0]["visible"] is False
    with pytest.raises(gr.Error, match="Only an admin"):
        place.switch("disable", "haze", asking("ann"))
    assert studio.scripts.entries()[1].state == "on"
    assert place.open(asking("ada"))[0]["visible"] is True


class Bench:
    """An installer that remembers what it was asked."""

    def __init__(self):
        self.asked = []
        self.refuses = False

    def install(self, source, *, dry_run=False):
        self.asked.append(("install", source.address or source.archive, source.commit, source.follow, dry_run))
        if not source.address and not source.archive:
            raise InvalidRequest("Give one source.")
        if self.refuses:
            raise InvalidRequest("Not this one.")
        added = (PackageChange("<tools>", None, "1.0"),)
        return Change("install", "haze", not dry_run, source.address, "ab" * 20, 3, 100, (), added, ("install.py",))

    def update(self, name, *, dry_run=False, local=False):
        self.asked.append(("update", name))
        return Change("update", name, True)

    def remove(self, name, *, dry_run=False):
        self.asked.append(("remove", name))
        return Change("remove", name, True)

    def rollback(self):
        self.asked.append(("rollback",))
        return Change("rollback", "haze", True)


def test_admins_who_signed_in_bring_extensions_in_and_nobody_else(studio):
    studio = replace(studio, installer=Bench())
    install = ExtensionPlace(studio).installing
    with pytest.raises(gr.Error, match="an admin who has signed in"):
        install.install("https://a.example/x.git", "", "", NOTHING, asking())
    studio.accounts.add_user("ada", "a long password", role="admin")
    studio.accounts.add_user("ann", "a long password", role="user")
    for act in (lambda who: install.look("https://a.example/x.git", "", "", who), install.undo,
                lambda who: install.update("haze", who), lambda who: install.remove("haze", who),
                lambda who: install.take(piece(0, b"PK"), who), install.drop):  # fmt: skip
        with pytest.raises(gr.Error, match="an admin who has signed in"):
            act(asking("ann"))
    assert studio.installer.asked == []
    assert ExtensionPlace(studio).open(asking("ada"))[3]["visible"] is True
    told, looked = install.look(" https://a.example/x.git ", "main", "", asking("ada"))
    assert "Commit " + "ab" * 20 in told
    assert "haze: would be installed." in told
    assert "&lt;tools&gt;: none → 1.0" in told
    told, _ = install.install("https://a.example/x.git", "main", "", looked, asking("ada"))
    assert "haze: installed." in told
    install.install("https://a.example/x.git", "v2", "", looked, asking("ada"))
    install.update("haze", asking("ada"))
    install.remove("haze", asking("ada"))
    install.undo(asking("ada"))
    assert studio.installer.asked == [
        ("install", "https://a.example/x.git", "main", None, True),
        ("install", "https://a.example/x.git", "ab" * 20, "main", False),
        ("install", "https://a.example/x.git", "v2", None, False),
        ("update", "haze"), ("remove", "haze"), ("rollback",),
    ]  # fmt: skip
    with pytest.raises(gr.Error, match="Give one source"):
        install.install("", "", "", NOTHING, asking("ada"))


def piece(number, data, count=1, token="t"):
    """What the browser sends of a zip file."""
    said = f"{token} {number} {count} {base64.b64encode(data).decode()}"
    return SimpleNamespace(_data={"id": said})


def test_a_zip_file_comes_in_pieces_and_is_installed_whole(studio):
    studio = replace(studio, installer=Bench())
    studio.accounts.add_user("ada", "a long password", role="admin")
    install, ada = ExtensionPlace(studio).installing, asking("ada")
    assert install.take(piece(0, b"PK", 2), ada) == {"token": "t", "got": 1, "count": 2}
    with pytest.raises(gr.Error, match="not here yet"):
        install.look("", "", "", ada)
    assert install.take(piece(1, b"zip", 2), ada)["got"] == 2
    install.look("", "", "", ada)
    assert install.install("", "", "mine", NOTHING, ada)[1]["count"] == 0
    assert studio.installer.asked == [("install", b"PKzip", "", None, True), ("install", b"PKzip", "", None, False)]
    with pytest.raises(gr.Error, match="Give one source"):
        install.look("", "", "", ada)


def test_a_zip_file_goes_when_it_is_brought_in_or_not_wanted_and_not_before(studio):
    bench = Bench()
    studio = replace(studio, installer=bench)
    studio.accounts.add_user("ada", "a long password", role="admin")
    install, ada = ExtensionPlace(studio).installing, asking("ada")
    install.take(piece(0, b"PKzip"), ada)
    install.install("https://a.example/x.git", "", "", NOTHING, ada)
    bench.refuses = True
    with pytest.raises(gr.Error, match="Not this one"):
        install.install("", "", "", NOTHING, ada)
    bench.refuses = False
    install.install("", "", "", NOTHING, ada)
    assert [source for _, source, *_ in bench.asked] == ["https://a.example/x.git", b"PKzip", b"PKzip"]
    assert len(install.archives._held) == 0
    install.take(piece(0, b"PKzip"), ada)
    assert install.drop(ada)["count"] == 0
    with pytest.raises(gr.Error, match="Give one source"):
        install.look("", "", "", ada)


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        ([piece(1, b"a", 2)], "out of turn"),
        ([piece(0, b"a", 3), piece(2, b"a", 3)], "out of turn"),
        ([piece(0, b"a", 3), piece(1, b"a", 3, "other")], "out of turn"),
        ([piece(0, bytes(5), 9), piece(1, bytes(5), 9), piece(2, bytes(5), 9)], "may have"),
        ([SimpleNamespace(_data={"id": "t 0 1 ???"})], "no piece of a zip file"),
        ([SimpleNamespace(_data={})], "no piece of a zip file"),
    ],
)
def test_pieces_that_do_not_fit_are_refused(studio, monkeypatch, pieces, said):
    monkeypatch.setattr(archives, "LARGEST", 12)
    studio.accounts.add_user("ada", "a long password", role="admin")
    install = ExtensionPlace(studio).installing
    for one in pieces[:-1]:
        install.take(one, asking("ada"))
    with pytest.raises(gr.Error, match=said):
        install.take(pieces[-1], asking("ada"))
