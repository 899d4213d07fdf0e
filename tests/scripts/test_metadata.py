"""Order by metadata."""

from __future__ import annotations

import pytest

from modules.scripts.metadata import Order, read_metadata, sort


def ordered(**items):
    return sort(items, {name: (0, name) for name in items})


def test_the_file_is_read(tmp_path):
    (tmp_path / "metadata.ini").write_text(
        "[Extension]\nName = Mine\nRequires = base, Tools\nPriority = -3\n[scripts/A.py]\nBefore = other/scripts/b.py\n"
    )
    found = read_metadata(tmp_path)
    assert (found.name, found.priority, found.order.requires) == ("Mine", -3, ("base", "tools"))
    assert found.files["scripts/a.py"].before == ("other/scripts/b.py",)
    assert read_metadata(tmp_path / "nothing").order == Order()


@pytest.mark.parametrize("text", ["no section", "[Extension]\nPriority = high\n", "[a]\n[a]\n"])
def test_a_file_that_cannot_be_read_says_so(tmp_path, text):
    (tmp_path / "metadata.ini").write_text(text)
    with pytest.raises(ValueError, match=r"metadata\.ini"):
        read_metadata(tmp_path)


def test_requirements_before_and_after_decide_and_names_do_the_rest():
    names, cycles = ordered(
        a=Order(requires=("d",)), b=Order(), c=Order(before=("b",)), d=Order(after=("c", "absent")), e=Order()
    )
    assert names == ["c", "b", "d", "a", "e"]
    assert cycles == []


def test_a_cycle_is_named_and_broken_and_the_others_keep_their_order():
    names, cycles = ordered(a=Order(after=("b",)), b=Order(after=("c",)), c=Order(after=("a",)), d=Order(after=("a",)))
    assert sorted(names) == ["a", "b", "c", "d"]
    assert names.index("a") < names.index("d")
    assert len(cycles) == 1
    assert str(cycles[0]) == "these want to come before each other: a -> b -> c -> a"
