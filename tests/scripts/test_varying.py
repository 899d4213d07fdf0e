"""Typed parameters of scripts as axes of a grid: what a value becomes, and what is refused."""

from __future__ import annotations

import pytest

from modules.contracts.errors import InvalidRequest
from modules.contracts.request import GenerationRequest
from modules.contracts.scripts import GivenValue, ScriptParams, ScriptUse
from modules.experiments.cells import caption, expand
from modules.experiments.kinds import script_kinds
from modules.experiments.reading import AxisReader, make_experiment
from modules.scripts.desk import ScriptDesk
from tests.api.fakes import FakeCatalog

SOURCE = """
from modules.scripts.v1 import Choice, Choices, Number, Picture, Script, Text, Toggle, unseen

class Haze(Script):
    title = "Haze 1.5"
    amount = Number("Amount", 0.5, minimum=0, maximum=1, cost=0.2)
    count = Number("Count", 3, minimum=1)
    colour = Choice("Colour", choices=("White", "Black"))
    kinds = Choices("Kinds", choices=("Fog", "Mist, thin", "Smoke"))
    words = Text("Words")
    on = Toggle("On")
    mask = Picture("Mask")
    kept = unseen(Text("Kept"))

class Walk(Script):
    always_on = False
    where = "txt2img"
    length = Number("Length", 2)

    def run(self, job, request):
        return []
"""


@pytest.fixture
def reader(place, open_shelf, tmp_path):
    place("haze/scripts/haze.py", SOURCE)

    def make(base=None):
        return AxisReader(FakeCatalog(tmp_path), scripts=ScriptDesk(open_shelf()), base=base)

    return make


def told(axis, base):
    return [cell.request.scripts for cell in expand(make_experiment(base, [axis]))]


def test_every_parameter_that_people_see_is_an_axis_of_its_own_type(reader):
    kinds = {kind.key: kind for kind in script_kinds(reader()._scripts, "txt2img", "img2img")}
    names = [key.removeprefix("scripts.Haze 1.5.") for key in kinds]
    assert names == ["amount", "count", "colour", "kinds", "words", "on", "scripts.Walk.length"]
    assert [kind.type for kind in kinds.values()] == ["float", "int", "str", "str", "str", "bool", "int"]
    amount, colour = kinds["scripts.Haze 1.5.amount"], kinds["scripts.Haze 1.5.colour"]
    assert (amount.label, amount.cost, colour.choices) == ("Haze 1.5: Amount", 0.2, ("White", "Black"))
    assert all(kind.key != "scripts.Walk.length" for kind in script_kinds(reader()._scripts, "img2img"))


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("haze 1.5: amount", "0-1 [3]", [0.0, 0.5, 1.0]),
        ("scripts.Haze 1.5.count", "1-5 (+2)", [1, 3, 5]),
        ("Haze 1.5: Colour", "black, white", ["Black", "White"]),
        ("Haze 1.5: Kinds", '"smoke, fog", fog', [["Fog", "Smoke"], ["Fog"]]),
        ("Haze 1.5: On", "yes, no", [True, False]),
    ],
)
def test_values_are_read_as_the_grid_does_and_told_to_the_script(reader, name, text, values):
    given = ScriptUse("haze 1.5", (GivenValue("amount", 0.25), GivenValue("words", "kept")))
    base = GenerationRequest(scripts=ScriptParams((ScriptUse("Other"), given)))
    axis = reader(base).axis(name, text)
    rows = told(axis, base)
    assert [row.always[1].values[-1].value for row in rows] == values
    assert all(row.always[0] == ScriptUse("Other") and row.run is None for row in rows)
    assert all(GivenValue("words", "kept") in row.always[1].values for row in rows)
    assert all(len({one.name for one in row.always[1].values}) == len(row.always[1].values) for row in rows)
    assert told(axis, GenerationRequest())[0].always[0].name == "Haze 1.5"


def test_the_owner_of_the_run_is_told_where_it_owns_it(reader):
    base = GenerationRequest(scripts=ScriptParams(run=ScriptUse("walk")))
    axis = reader(base).axis("Walk: Length", "1-2")
    assert [row.run for row in told(axis, base)] == [
        ScriptUse("walk", (GivenValue("length", 1),)),
        ScriptUse("walk", (GivenValue("length", 2),)),
    ]
    assert caption(axis, 1) == "Walk: Length: 2"
    with pytest.raises(InvalidRequest, match="does not have Walk own its run"):
        reader(GenerationRequest()).axis("Walk: Length", "1-2")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("Haze 1.5: Amount", "0, 2", "Haze 1.5: Amount: a number from 0 up to 1 is needed"),
        ("Haze 1.5: Count", "1.5", "not whole"),
        ("Haze 1.5: Colour", "Green", "allowed are White, Black"),
        ("Haze 1.5: Kinds", "Rain", "a list is needed of any of Fog"),
        ("Haze 1.5: Mask", "a.png", "There is no axis"),
        ("scripts.Haze 1.5.kept", "a", "There is no axis"),
        ("Haze 1.5: Amount", "", "no values"),
    ],
)
def test_what_the_script_does_not_take_is_refused(reader, name, text, said):
    with pytest.raises(InvalidRequest, match=said):
        reader().axis(name, text)


def test_lists_are_taken_as_they_come(reader):
    assert reader().axis("scripts.Haze 1.5.count", [1, 2.0, "3"]).values == (1, 2, 3)
    assert reader().axis("scripts.Haze 1.5.on", ["on", False]).values == (True, False)
