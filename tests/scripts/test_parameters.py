"""Typed parameters: declared once, read strictly."""

from __future__ import annotations

import pytest

from modules.contracts.errors import InvalidRequest
from modules.contracts.scripts import GivenValue
from modules.scripts.parameters import Choice, Choices, Number, Picture, Text, Toggle, declared, read_values
from modules.scripts.v1 import Script


class Example(Script):
    amount = Number("Amount", 0.5, minimum=0, maximum=1)
    count = Number("Count", 3, minimum=1)
    way = Choice("Way", choices=("up", "down"))
    words = Text("Words")
    on = Toggle("On")
    given = Picture("Given")


class Narrower(Example):
    words = None
    amount = Number("Amount", 0.1, maximum=0.2)


def read(**values):
    given = [GivenValue(key, picture=v) if isinstance(v, bytes) else GivenValue(key, v) for key, v in values.items()]
    return read_values("Example", Example.parameters, given)


def test_parameters_are_found_in_order_with_their_names_and_defaults():
    assert [item.name for item in Example.parameters] == ["amount", "count", "way", "words", "on", "given"]
    assert read() == {"amount": 0.5, "count": 3, "way": "up", "words": "", "on": False, "given": b""}
    assert [item.kind for item in Example.parameters] == ["number", "number", "choice", "text", "toggle", "picture"]


def test_a_class_may_leave_out_or_replace_what_its_base_declares():
    assert [item.name for item in declared(Narrower)] == ["amount", "count", "way", "on", "given"]
    assert Narrower.parameters[0].default == 0.1


def test_values_come_out_in_the_parameters_own_types():
    read_back = read(amount=1, count=4.0, way=1, words="a", on=True, given=b"png")
    assert read_back == {"amount": 1.0, "count": 4, "way": "down", "words": "a", "on": True, "given": b"png"}
    assert [type(read_back[name]) for name in ("amount", "count")] == [float, int]
    assert read(way="DOWN")["way"] == "down"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("amount", 1.1, "Amount is 1.1; a number from 0 up to 1 is needed."),
        ("amount", float("nan"), "Amount is nan"),
        ("amount", True, "Amount is True"),
        ("amount", None, "Amount is None"),
        ("count", 1.5, "a whole number from 1 is needed"),
        ("way", "left", "allowed are up, down"),
        ("way", 2, "allowed are up, down"),
        ("way", [], "allowed are up, down"),
        ("words", 3, "a text"),
        ("on", 1, "true or false"),
        ("given", "x", "a picture is needed"),
        ("other", 1, "has no parameter 'other'; there are: amount"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_what_is_allowed(name, value, said):
    with pytest.raises(InvalidRequest, match="Example") as caught:
        read(**{name: value})
    assert said in caught.value.message


def test_several_words_are_taken_from_a_list_in_any_case_and_order():
    ways = Choices("Ways", default=["left"], choices=["left", "right", "up"])
    assert ways.default == ("left",)
    assert ways.read(["UP", "left", "up"]) == ("left", "up")
    assert ways.read([]) == ()
    for wrong in ("left", ["down"], [1], None, {"left": 1}):
        with pytest.raises(ValueError, match="a list is needed of any of left, right, up"):
            ways.read(wrong)
