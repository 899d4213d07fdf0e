"""Extensions as they are found, loaded, switched off and blamed."""

from __future__ import annotations

import sys
import threading

import pytest

from modules.contracts.errors import InvalidRequest, JobCancelled, TimedOut, UnknownName
from modules.contracts.request import GenerationRequest
from modules.contracts.scripts import GivenValue, ScriptParams, ScriptUse
from modules.scripts.calling import Caller, current_call

ONE = """
from modules.scripts.v1 import Number, Script

class {name}(Script):
    title = "{name}"
    amount = Number("Amount", 1.0, maximum=2)
"""


def titles(shelf, **given):
    return [script.title for _, script in shelf.scripts(given.pop("mode", "txt2img"), always_on=given.pop("on", True))]


def test_folders_and_single_files_are_loaded_with_time_and_memory(place, open_shelf, tmp_path):
    place("first/scripts/a.py", ONE.format(name="Alpha"))
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "single.py").write_text(ONE.format(name="Single"))
    place("empty/style.css", "")
    shelf = open_shelf()
    assert titles(shelf) == ["Alpha", "Single"]
    assert [(one.name, one.loaded, one.error) for one in shelf.extensions()] == [
        ("empty", True, ""),
        ("first", True, ""),
        ("single.py", True, ""),
    ]
    assert all(one.seconds > 0 and one.bytes >= 0 for one in shelf.extensions())


def test_files_of_an_extension_import_each_other_and_leave_no_public_name(place, open_shelf):
    place("tools/numbers.py", "TWO = 2\n")
    place("tools/scripts/__init__.py", "")
    place(
        "tools/scripts/b.py",
        "from ..numbers import TWO\nfrom .a import Base\nclass Other(Base):\n    title = 'Other'\n    order = TWO\n",
    )
    place("tools/scripts/a.py", "from modules.scripts.v1 import Script\nclass Base(Script):\n    pass\n")
    before = set(sys.modules)
    shelf = open_shelf()
    assert [(script.title, script.order) for _, script in shelf.scripts("txt2img", always_on=True)] == [
        ("Base", 0),
        ("Other", 2),
    ]
    assert all(name.startswith("_extension_tools_") for name in set(sys.modules) - before)
    shelf.disable("tools")
    assert set(sys.modules) - before == set()


def test_order_follows_metadata_and_a_missing_requirement_is_named(place, open_shelf):
    place("b-late/scripts/s.py", ONE.format(name="Late"))
    place("b-late/metadata.ini", "[Extension]\nRequires = z-base\n")
    place("z-base/scripts/s.py", ONE.format(name="Base"))
    place("lonely/scripts/s.py", ONE.format(name="Lonely"))
    place("lonely/metadata.ini", "[Extension]\nRequires = nowhere\n")
    place("urgent/scripts/s.py", ONE.format(name="Urgent"))
    place("urgent/metadata.ini", "[Extension]\nPriority = -1\n")
    shelf = open_shelf()
    assert titles(shelf) == ["Urgent", "Base", "Late"]
    assert shelf.get("lonely").error == "lonely requires nowhere, which is not there or switched off"


def test_files_are_loaded_in_the_order_that_they_ask_for_and_decide_for_their_extension(place, open_shelf):
    place("b-haze/scripts/a.py", ONE.format(name="A"))
    place("b-haze/scripts/b.py", ONE.format(name="B"))
    place("b-haze/metadata.ini", "[Extension]\nName = Haze\n[scripts/a.py]\nAfter = haze/scripts/b.py\n")
    place("a-mist/scripts/m.py", ONE.format(name="M"))
    place("a-mist/metadata.ini", "[scripts/m.py]\nRequires = haze/scripts/a.py\n")
    place("lonely/scripts/s.py", ONE.format(name="Lonely"))
    place("lonely/metadata.ini", "[scripts/s.py]\nRequires = haze/scripts/none.py\n")
    shelf = open_shelf()
    assert titles(shelf) == ["B", "A", "M"]
    assert shelf.get("lonely").error == "lonely requires haze/scripts/none.py, which is not there or switched off"


def test_a_cycle_is_a_notice_that_names_it(place, open_shelf):
    for one, other in (("a", "b"), ("b", "a")):
        place(f"{one}/scripts/s.py", ONE.format(name=one.upper()))
        place(f"{one}/metadata.ini", f"[Extension]\nRequires = {other}\n")
    shelf = open_shelf()
    assert shelf.notices == ["Extensions: these want to come before each other: a -> b -> a."]
    assert titles(shelf) == ["A", "B"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("1 / 0", "s.py could not be loaded: ZeroDivisionError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("def broken(:", "SyntaxError"),
        ("import not_there_at_all", "ModuleNotFoundError"),
        (ONE.format(name="X").replace("maximum=2", "maximum=0"), "the default of Amount is 1.0"),
        ("from modules.scripts.v1 import Script\nclass Idle(Script):\n    always_on = False\n", "has no run method"),
        ("from modules.scripts.v1 import Script\nclass Odd(Script):\n    where = 'there'\n", "allowed are txt2img"),
    ],
)
def test_one_that_fails_to_load_is_blamed_by_name_and_the_others_stand(place, open_shelf, caplog, source, said):
    place("bad/scripts/s.py", source)
    place("good/scripts/s.py", ONE.format(name="Good"))
    shelf = open_shelf()
    bad = shelf.get("BAD")
    assert said in bad.error
    assert "Traceback" in bad.trace
    assert "extension bad" in caplog.text
    assert titles(shelf) == ["Good"]
    assert not any(name.startswith("_extension_bad") for name in sys.modules)


def test_two_scripts_of_one_title_are_refused_by_name(place, open_shelf):
    place("a/scripts/s.py", ONE.format(name="Same"))
    place("b/scripts/s.py", ONE.format(name="Same"))
    shelf = open_shelf()
    assert "a has a script called 'Same', too" in shelf.get("b").error
    assert titles(shelf) == ["Same"]


def test_switching_off_holds_over_a_start_and_on_loads_again(place, open_shelf):
    place("one/scripts/s.py", ONE.format(name="One"))
    shelf = open_shelf()
    shelf.disable("one")
    assert titles(shelf) == []
    later = open_shelf()
    assert titles(later) == []
    assert later.get("one").error == ""
    later.enable("one")
    assert titles(later) == ["One"]
    assert titles(open_shelf()) == ["One"]
    with pytest.raises(UnknownName):
        later.enable("two")


def test_reloading_reads_the_files_again(place, open_shelf):
    place("one/scripts/s.py", ONE.format(name="Before"))
    shelf = open_shelf()
    place("one/scripts/s.py", ONE.format(name="Afterwards"))
    place("one/scripts/t.py", ONE.format(name="Fresh"))
    shelf.reload("one")
    assert titles(shelf) == ["Afterwards", "Fresh"]


def test_safe_mode_lists_and_loads_nothing(place, open_shelf):
    place("one/scripts/s.py", "raise RuntimeError")
    shelf = open_shelf(safe=True)
    assert [(one.name, one.loaded, one.error) for one in shelf.extensions()] == [("one", False, "")]
    with pytest.raises(InvalidRequest, match="--safe-mode"):
        shelf.enable("one")


def test_three_failed_jobs_in_a_row_switch_an_extension_off_with_a_notice(place, open_shelf):
    place("one/scripts/s.py", ONE.format(name="One"))
    shelf = open_shelf()
    one = shelf.get("one")
    for failed in (True, True, False, True, True):
        shelf.settle(one, failed=failed)
    assert titles(shelf) == ["One"]
    shelf.settle(one, failed=True)
    assert titles(shelf) == []
    assert shelf.notices == ["one failed in 3 jobs in a row and was switched off."]
    shelf.enable("one")
    assert titles(shelf) == ["One"]


def test_requests_are_checked_by_the_scripts_own_bounds(place, open_shelf):
    place("one/scripts/s.py", ONE.format(name="One"))
    shelf = open_shelf()

    def asking(name, **values):
        use = ScriptUse(name, tuple(GivenValue(key, value) for key, value in values.items()))
        return GenerationRequest(scripts=ScriptParams((use,)))

    shelf.check(asking("ONE", amount=2))
    with pytest.raises(InvalidRequest, match="a number up to 2 is needed"):
        shelf.check(asking("one", amount=3))
    with pytest.raises(InvalidRequest, match="Script 'two' not found.*there are: One"):
        shelf.check(asking("two"))
    with pytest.raises(InvalidRequest, match="owns a run.*none"):
        shelf.check(GenerationRequest(scripts=ScriptParams(run=ScriptUse("One"))))


def test_settings_are_declared_checked_and_kept(place, open_shelf):
    place(
        "one/scripts/s.py",
        "from modules.scripts.v1 import Number, Script\nclass One(Script):\n"
        "    settings = (Number('Power', 3, name='power', maximum=5),)\n",
    )
    shelf = open_shelf()
    assert shelf.settings(shelf.get("one")) == {"power": 3}
    with pytest.raises(InvalidRequest, match="power is 6"):
        shelf.configure("one", {"power": 6})
    shelf.configure("one", {"power": 5})
    again = open_shelf()
    assert again.settings(again.get("one")) == {"power": 5}


def test_models_that_come_and_go_are_told_and_a_throwing_listener_is_blamed(place, open_shelf):
    place(
        "one/scripts/s.py",
        """
        from modules.scripts.v1 import Script
        HEARD = []
        class One(Script):
            def model_loaded(self, name, family):
                HEARD.append((name, family))
            def model_unloaded(self, name, family):
                raise RuntimeError("no")
        """,
    )
    shelf = open_shelf()
    shelf.loaded("tiny", "sd15")
    shelf.unloaded("tiny", "sd15")
    one = shelf.get("one")
    assert sys.modules[f"{one.package}.scripts.s"].HEARD == [("tiny", "sd15")]
    assert one.error == "One failed in model_unloaded: RuntimeError: no"


def test_a_call_that_takes_too_long_is_left_behind_and_the_next_one_has_another_thread():
    caller, gate, seen = Caller(), threading.Event(), []
    with pytest.raises(TimedOut, match=r"longer than 0.05 s"):
        caller.call(gate.wait, 0.05)

    def later():
        seen.append(threading.current_thread())
        return current_call() is not None

    assert caller.call(later, 5.0) is True
    assert caller.call(later, 5.0) is True
    assert seen[0] is seen[1]
    gate.set()
    caller.close()


def test_a_call_ends_with_its_job_and_what_is_no_error_becomes_one(monkeypatch):
    caller, gate = Caller(), threading.Event()
    monkeypatch.setattr("modules.scripts.calling.GRACE", 0.05)
    with pytest.raises(JobCancelled):
        caller.call(gate.wait, None, lambda: True)

    def leave():
        raise SystemExit(1)

    with pytest.raises(RuntimeError, match="SystemExit"):
        caller.call(leave, 1.0)
    gate.set()
    caller.close()
