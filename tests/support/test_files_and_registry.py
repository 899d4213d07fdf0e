"""Atomic files are whole or absent; the registry refuses without changing."""

from __future__ import annotations

import os
import stat

import pytest

from modules.support.atomic import replacing, replacing_folder, write_text
from modules.support.paths import MODEL_KINDS, Paths
from modules.support.registry import Registry, RegistryError


def test_a_folder_is_the_old_or_the_new_one_whole(tmp_path):
    target = tmp_path / "model"
    for text in ("old", "new"):
        with replacing_folder(target) as made:
            made.mkdir()
            (made / f"{text}.txt").write_text(text)
    with pytest.raises(RuntimeError), replacing_folder(target) as made:
        made.mkdir()
        (made / "half.txt").write_text("half")
        raise RuntimeError
    assert [path.name for path in target.iterdir()] == ["new.txt"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "deep" / "file.txt"
    write_text(target, "old")
    with pytest.raises(RuntimeError), replacing(target) as stream:
        stream.write(b"half of the new")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [item.name for item in target.parent.iterdir()] == ["file.txt"]


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX")
def test_a_secret_file_is_never_readable_by_others(tmp_path):
    target = tmp_path / "secret"
    with replacing(target, mode=0o600) as stream:
        part = next(tmp_path.glob("*.part"), None) or next(tmp_path.glob(".*.part"))
        assert stat.S_IMODE(part.stat().st_mode) == 0o600
        stream.write(b"x")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_paths_make_what_is_written_to_and_leave_the_models_of_others_alone(tmp_path):
    own = Paths(tmp_path / "data", tmp_path / "models", tmp_path).ensure()
    assert own.outputs.is_dir()
    assert own.cache.is_dir()
    assert all(own.models_of(kind).is_dir() for kind in MODEL_KINDS)
    (tmp_path / "theirs").mkdir()
    Paths(tmp_path / "data", tmp_path / "theirs", tmp_path).ensure()
    assert list((tmp_path / "theirs").iterdir()) == []


def test_the_registry_orders_by_before():
    registry: Registry[int] = Registry("row")
    registry.add("late", 3)
    registry.add("middle", 2, before=["late"])
    registry.add("early", 1, before=["middle"])
    assert list(registry) == ["early", "middle", "late"]


def test_a_refused_entry_changes_nothing():
    registry: Registry[int] = Registry("row")
    registry.add("a", 1, before=["b"])
    with pytest.raises(RegistryError, match="circle: .*a"):
        registry.add("b", 2, before=["a"])
    with pytest.raises(RegistryError, match="'a' is registered already"):
        registry.add("a", 9)
    assert list(registry.items()) == [("a", 1)]
    twin = registry.copy()
    twin.add("c", 3)
    assert "c" not in registry
    with pytest.raises(KeyError, match="No row 'x'; known are: a"):
        registry["x"]
