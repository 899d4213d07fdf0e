"""Bringing extensions in: whole or not at all, with the libraries that they need, and back again."""

from __future__ import annotations

import io
import json
import os
import random
import select
import shutil
import subprocess
import sys
import tarfile

import psutil
import pytest

from modules.contracts.errors import InvalidRequest, NotReady, StudioError, UnknownName
from modules.contracts.installing import PackageChange, Source
from modules.scripts.installation import libraries, repositories
from modules.scripts.installation.installer import ExtensionInstaller
from modules.scripts.installation.ledger import Pending
from modules.scripts.installation.processes import carry_out
from modules.scripts.shelf import ScriptShelf
from tests.scripts.installation.conftest import git

SCRIPT = """
from modules.scripts.v1 import Script
import hazetools

class Haze(Script):
    title = "Haze " + hazetools.VERSION
"""
HAZE = {"scripts/haze.py": SCRIPT, "requirements.txt": "hazetools<2  # the old one\n\n"}
ADDED = (PackageChange("hazebase", None, "3.1"), PackageChange("hazetools", None, "1.0"))


def local(path, **given):
    return Source(path, local=True, **given)


def titles(tmp_path, installer):
    shelf = ScriptShelf([tmp_path / "extensions"], [], tmp_path / "data", libraries=installer.mount)
    shelf.scan()
    found = [script.title for one in shelf.extensions() for script in one.scripts]
    shelf.close()
    for name in [name for name in sys.modules if name.startswith("haze")]:
        del sys.modules[name]
    return found


def test_a_dry_run_says_what_would_change_and_changes_nothing(installer, folder, seen):
    change = installer.install(local(folder("haze", HAZE)), dry_run=True)
    assert (change.done, change.name, change.files) == (False, "haze", 2)
    assert change.packages == ADDED
    assert change.requirements == ("hazetools<2",)
    assert seen() == {}


def test_an_extension_comes_with_its_libraries_and_goes_with_them(installer, folder, seen, tmp_path):
    assert installer.install(local(folder("haze", HAZE))).packages == ADDED
    assert titles(tmp_path, installer) == ["Haze 1.0"]
    before = seen()
    gone = installer.remove("HAZE")
    assert [(one.name, one.after) for one in gone.packages] == [("hazebase", None), ("hazetools", None)]
    assert titles(tmp_path, installer) == []
    assert not any("libraries" in path for path in sys.path)
    assert installer.rollback().name == "haze"
    assert titles(tmp_path, installer) == ["Haze 1.0"]
    after = seen()
    assert {path: data for path, data in after.items() if path.startswith("extensions")} == {
        path: data for path, data in before.items() if path.startswith("extensions")
    }
    installer.rollback()
    assert titles(tmp_path, installer) == []
    with pytest.raises(InvalidRequest, match="no change that could be undone"):
        installer.rollback()


def test_what_would_change_the_core_is_refused_and_everything_stays(installer, folder, seen, tmp_path):
    installer.install(local(folder("haze", HAZE)))
    before, path = seen(), sys.path[:]
    for wish in ("hazeold", "numpy<2", "torch==1.0", "gradio<4"):
        with pytest.raises(InvalidRequest, match=r"would change the studio's own packages \(.*Nothing was changed"):
            installer.install(local(folder("old", {"scripts/a.py": "", "requirements.txt": wish})))
    assert seen() == before
    assert sys.path == path


def test_extensions_that_need_different_versions_do_not_both_come_in(installer, folder, seen):
    installer.install(local(folder("haze", HAZE)))
    before = seen()
    with pytest.raises(InvalidRequest, match="hazetools"):
        installer.install(local(folder("mist", {"scripts/a.py": "", "requirements.txt": "hazetools>=2"})))
    assert seen() == before


def test_what_others_have_changes_only_where_it_must(installer, folder):
    installer.install(local(folder("haze", {"scripts/a.py": "", "requirements.txt": "hazetools<2"})))
    change = installer.install(local(folder("mist", {"a.py": "", "requirements.txt": "hazetools"})))
    assert change.packages == ()
    assert installer.remove("haze").packages == ()
    change = installer.install(local(folder("fog", {"a.py": "", "requirements.txt": "hazetools>=2"})))
    assert [(one.name, one.before, one.after) for one in change.packages] == [
        ("hazebase", "3.1", None), ("hazetools", "1.0", "2.0"),
    ]  # fmt: skip
    assert "next start" in change.notes[0]


def test_libraries_are_behind_the_studios_own(installer, folder):
    installer.install(local(folder("haze", HAZE)))
    assert sys.path[-1].endswith("libraries/1")
    libraries.mount(None)
    assert not sys.path[-1].endswith("libraries/1")


def test_safe_mode_lets_no_library_be_seen(installer, folder, tmp_path):
    installer.install(local(folder("haze", HAZE)))
    ExtensionInstaller(tmp_path / "extensions", tmp_path / "data", safe=True).mount()
    assert not any("libraries" in path for path in sys.path)


@pytest.mark.parametrize(
    "line",
    ["--index-url https://evil.example/simple", "-r ../other.txt", "hazetools @ https://evil.example/x.whl",
     "git+https://evil.example/x", "./here", "-e .", "C:\\x.whl", "$(id)"],
)  # fmt: skip
def test_a_library_is_a_name_with_versions_and_no_place_to_take_it_from(installer, folder, seen, line):
    with pytest.raises(InvalidRequest, match="a library's name with versions is all"):
        installer.install(local(folder("haze", {"scripts/a.py": "", "requirements.txt": line})))
    assert seen() == {}


def test_a_project_file_says_it_where_there_is_no_list(installer, folder):
    text = '[project]\nname = "haze"\ndependencies = ["hazetools[extra] >=1,<2 ; python_version>\'3\'"]\n'
    change = installer.install(local(folder("haze", {"a.py": "", "pyproject.toml": text})), dry_run=True)
    assert change.packages == ADDED


@pytest.mark.parametrize(
    "wish",
    ["hazetools>=1\n--index-url https://evil.example/simple", "hazetools\r--pre", "hazetools>=1\x0b-r /etc/passwd",
     "hazetools>=1 --index-url https://evil.example/simple", "hazetools>=1\u2028hazeold"],
)  # fmt: skip
def test_a_wish_is_one_line_and_has_no_option(installer, folder, seen, wish):
    text = f'[project]\nname = "haze"\ndependencies = [{json.dumps(wish)}]\n'
    with pytest.raises(InvalidRequest, match=r"pyproject.toml asks for .* a library's name with versions is all"):
        installer.install(local(folder("haze", {"a.py": "", "pyproject.toml": text})))
    source = f"import launch, shlex\nlaunch.run_pip('install ' + shlex.quote({wish!r}))\n"
    with pytest.raises(InvalidRequest, match="a library's name with versions is all"):
        installer.install(local(folder("mist", {"install.py": source})))
    assert seen() == {}


def test_without_an_index_there_is_a_sentence_and_nothing_else(tmp_path, folder, seen, monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    for name in ("UV_FIND_LINKS", "UV_NO_INDEX", "UV_INDEX", "UV_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    for offline in (False, True):
        made = ExtensionInstaller(tmp_path / "extensions", tmp_path / "data", offline=offline)
        with pytest.raises(NotReady, match="index does not answer"):
            made.install(local(folder("haze", {"a.py": "", "requirements.txt": "hazenowhere"})))
    assert seen() == {}


def test_what_fails_on_the_way_leaves_everything_as_it_was(installer, folder, seen, monkeypatch):
    source = folder("haze", HAZE)
    installer.install(local(source))
    before = seen()
    (source / "scripts" / "haze.py").write_text("changed")
    (source / "requirements.txt").write_text("hazetools>=2")
    written = installer._ledger.write

    def fail(book):
        if book.pending is None and book.number == 2:
            raise OSError("no space left")
        written(book)

    monkeypatch.setattr(installer._ledger, "write", fail)
    with pytest.raises(OSError, match="no space"):
        installer.update("haze")
    assert seen() == before
    monkeypatch.undo()


def test_a_change_that_was_cut_short_is_taken_back_by_the_next(installer, folder, seen, tmp_path, monkeypatch):
    source = folder("haze", {"a.py": "1"})
    installer.install(local(source))
    (source / "a.py").write_text("2")
    before = seen()
    monkeypatch.setattr(installer._ledger, "_take_back", lambda pending: None)
    written = installer._ledger.write

    class Killed(BaseException):
        """As if the process ended."""

    def die(book):
        if book.pending is None:
            raise Killed
        written(book)

    monkeypatch.setattr(installer._ledger, "write", die)
    with pytest.raises(Killed):
        installer.update("haze")
    assert (tmp_path / "extensions" / "haze" / "a.py").read_text() == "2"
    monkeypatch.undo()
    again = ExtensionInstaller(tmp_path / "extensions", tmp_path / "data")
    with pytest.raises(UnknownName):
        again.remove("nobody")
    assert seen() == before


def test_what_a_killed_change_had_fetched_goes_with_the_next(installer, folder, tmp_path):
    left = tmp_path / "extensions" / ".stage-abc"
    left.mkdir(parents=True)
    (left / "a.py").write_text("")
    with pytest.raises(InvalidRequest):
        installer.rollback()
    assert list((tmp_path / "extensions").iterdir()) == []


def test_one_change_at_a_time(installer, folder, tmp_path):
    with installer._alone(), pytest.raises(NotReady, match="Another change"):
        ExtensionInstaller(tmp_path / "extensions", tmp_path / "data").install(local(folder("haze", {"a.py": ""})))


def test_names_and_places_are_checked(installer, folder):
    made = folder("haze", {"a.py": ""})
    installer.install(local(made))
    for source, said in (
        (local(made), "There is an extension haze already"),
        (local(made, name="../out"), "cannot be the name"),
        (local(made / "a.py"), "is no folder"),
        (Source(made), "from its terminal only"),
        (Source(), "Give one source"),
        (local(folder("none", {}).parent / "none"), "is no folder"),
    ):
        with pytest.raises(InvalidRequest, match=said):
            installer.install(source)
    with pytest.raises(UnknownName):
        installer.update("../haze")


def test_a_folder_that_was_taken_away_by_hand_asks_for_nothing_any_more(installer, folder, tmp_path):
    installer.install(local(folder("haze", HAZE)))
    shutil.rmtree(tmp_path / "extensions" / "haze")
    change = installer.install(local(folder("mist", {"a.py": "", "requirements.txt": "hazetools>=2"})))
    assert [(one.name, one.after) for one in change.packages] == [("hazebase", None), ("hazetools", "2.0")]
    with pytest.raises(InvalidRequest, match="There is an extension MIST already"):
        installer.install(local(folder("mist", {}), name="MIST"))


def test_a_link_is_left_alone_with_a_sentence(installer, folder, tmp_path):
    source = folder("haze", {"a.py": ""})
    installer.install(local(source))
    place = tmp_path / "extensions" / "haze"
    shutil.rmtree(place)
    for target in (source, source / "nowhere"):
        place.symlink_to(target)
        for act in (
            lambda: installer.remove("haze"),
            lambda: installer.update("Haze"),
            lambda: installer.install(local(source)),
            installer.rollback,
        ):
            with pytest.raises(InvalidRequest, match="haze is a link to a place elsewhere"):
                act()
        assert place.is_symlink()
        place.unlink()
    assert (source / "a.py").is_file()


def test_links_that_were_kept_are_thrown_away_and_not_what_they_lead_to(installer, folder, tmp_path):
    source = folder("haze", {"a.py": ""})
    kept = tmp_path / "extensions" / ".kept"
    kept.mkdir(parents=True)
    (kept / "77").symlink_to(source)
    (kept / "78").symlink_to(source / "nowhere")
    installer.install(local(source))
    assert list(kept.iterdir()) == []
    (tmp_path / "extensions" / "mist").symlink_to(source)
    installer._ledger._take_back(Pending(9, "mist", had=False))
    assert [path.name for path in (tmp_path / "extensions").iterdir() if path.name == "mist"] == []
    assert (source / "a.py").is_file()


def test_a_damaged_book_is_a_sentence(installer, folder, tmp_path):
    installer.install(local(folder("haze", {"a.py": ""})))
    (tmp_path / "data" / "installed" / "book.json").write_text("{")
    with pytest.raises(StudioError, match="damaged"):
        installer.remove("haze")


def test_only_the_last_changes_are_kept(installer, folder, tmp_path):
    source = folder("haze", {"a.py": "0"})
    installer.install(local(source))
    for number in range(1, 8):
        (source / "a.py").write_text(str(number))
        installer.update("haze")
    assert len(list((tmp_path / "extensions" / ".kept").iterdir())) == 5
    for number in range(6, 1, -1):
        installer.rollback()
        assert (tmp_path / "extensions" / "haze" / "a.py").read_text() == str(number)
    assert not list((tmp_path / "extensions" / ".kept").iterdir())


def test_a_repository_is_pinned_to_its_commit_updated_and_put_back(installer, tmp_path):
    home = tmp_path / "from" / "haze.git"
    home.mkdir(parents=True)
    git(home, "init")
    (home / "a.py").write_text("1")
    (home / "link.py").symlink_to("/etc/passwd")
    git(home, "add", ".")
    git(home, "commit", "-m", "one")
    first = git(home, "rev-parse", "HEAD")
    address = home.as_uri()
    planned = installer.install(Source(address=address, local=True), dry_run=True)
    assert (planned.name, planned.commit) == ("haze", first)
    (home / "a.py").write_text("2")
    git(home, "commit", "-am", "two")
    place = tmp_path / "extensions" / "haze"
    assert installer.install(Source(address=address, commit=planned.commit, name="mist", local=True)).commit == first
    assert (place.with_name("mist") / "a.py").read_text() == "1"
    assert not (place.with_name("mist") / "link.py").is_symlink()
    assert not (place.with_name("mist") / ".git").exists()
    pinned = installer.update("mist")
    assert (pinned.commit, "pinned to commit " + first in pinned.notes[-1]) == (first, True)
    installer.remove("mist")
    installer.install(Source(address=address, local=True))
    (home / "a.py").write_text("3")
    git(home, "commit", "-am", "three")
    moved = installer.update("haze")
    assert (moved.commit, moved.notes) == (git(home, "rev-parse", "HEAD"), ())
    assert (place / "a.py").read_text() == "3"
    book = json.loads((tmp_path / "data" / "installed" / "book.json").read_text())
    assert book["state"]["extensions"]["haze"]["commit"] == git(home, "rev-parse", "HEAD")
    (known,) = installer.installed()
    assert (known.name, known.address, known.commit) == ("haze", address, git(home, "rev-parse", "HEAD"))
    installer.rollback()
    assert (place / "a.py").read_text() == "2"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ext::sh -c id", "begins with one of"),
        ("http://a.example/x.git", "begins with one of"),
        ("git://a.example/x.git", "begins with one of"),
        ("file:///etc", "begins with one of https, ssh"),
        ("https://-oProxyCommand=id/x", "names no host"),
        ("ssh://-oProxyCommand=id/x", "names no host"),
        ("https://me:secret@a.example/x.git", "Leave names and passwords out"),
        ("https://a.example/x y.git", "begins with one of"),
        ("https:///x.git", "names no host"),
        ("https://[::1/x.git", "is no address"),
    ],
)
def test_addresses_are_https_or_ssh_with_a_host_and_no_password(installer, address, said):
    with pytest.raises(InvalidRequest, match=said):
        installer.install(Source(address=address))


def test_a_commit_is_no_option_and_a_repository_that_is_not_there_is_a_sentence(installer, tmp_path):
    for commit in ("--upload-pack=id", "a..b", "a b"):
        with pytest.raises(InvalidRequest, match="cannot be a commit"):
            installer.install(Source(address="https://a.example/x.git", commit=commit))
    with pytest.raises(NotReady, match="git could not fetch it"):
        installer.install(Source(address=(tmp_path / "none").as_uri(), local=True))
    offline = ExtensionInstaller(tmp_path / "extensions", tmp_path / "data", offline=True)
    with pytest.raises(InvalidRequest, match="--offline"):
        offline.install(Source(address="https://a.example/x.git"))


def test_what_was_looked_at_comes_in_and_updates_follow_its_branch(installer, tmp_path):
    home = tmp_path / "from" / "haze.git"
    home.mkdir(parents=True)
    git(home, "init")
    for number in (1, 2, 3):
        (home / "a.py").write_text(str(number))
        git(home, "add", ".")
        git(home, "commit", "-m", str(number))
    address, place = home.as_uri(), tmp_path / "extensions" / "haze" / "a.py"
    seen = git(home, "rev-parse", "HEAD~1")
    brought = installer.install(Source(address=address, commit=seen, follow="", local=True))
    assert (brought.commit, place.read_text()) == (seen, "2")
    moved = installer.update("haze")
    assert (moved.commit, moved.notes, place.read_text()) == (git(home, "rev-parse", "HEAD"), (), "3")
    installer.remove("haze")
    git(home, "branch", "old", "HEAD~2")
    installer.install(Source(address=address, commit=seen, follow="old", local=True))
    installer.update("haze")
    assert place.read_text() == "1"
    with pytest.raises(InvalidRequest, match="cannot be a commit"):
        installer.install(Source(address=address, commit=seen, follow="--exec=id", name="mist", local=True))


def test_a_repository_that_is_too_large_is_ended_and_nothing_is_left(installer, seen, tmp_path, monkeypatch):
    home = tmp_path / "from" / "haze.git"
    home.mkdir(parents=True)
    git(home, "init")
    (home / "a.bin").write_bytes(random.Random(1).randbytes(1 << 20))
    git(home, "add", ".")
    git(home, "commit", "-m", "one")
    monkeypatch.setattr(repositories, "MOST_BYTES", 1 << 19)
    with pytest.raises(InvalidRequest, match=r"larger than 0\.5 MiB, the most that is fetched\. Nothing was changed"):
        installer.install(Source(address=home.as_uri(), local=True))
    assert seen() == {}


def test_what_a_program_began_ends_with_it_when_it_is_too_slow(tmp_path):
    kept = tmp_path / "child"
    line = f"sleep 60 & echo $! > {kept}; wait"
    with pytest.raises(subprocess.TimeoutExpired):
        carry_out(["sh", "-c", line], tmp_path, dict(os.environ), 1.0)
    assert not psutil.pid_exists(int(kept.read_text())) or psutil.Process(int(kept.read_text())).status() == "zombie"


def test_what_a_program_began_ends_also_when_it_ended_first(tmp_path):
    """What is left holds the pipes open, so the program is waited for until its time is up."""
    life = tmp_path / "life"
    os.mkfifo(life)
    ear = os.open(life, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            carry_out(["sh", "-c", f"(echo here >&3; exec sleep 60) 3> {life} &"], tmp_path, dict(os.environ), 0.5)
        assert os.read(ear, 9) == b"here\n"
        assert select.select([ear], [], [], 20) == ([ear], [], []), "it goes on"
        assert os.read(ear, 9) == b""
    finally:
        os.close(ear)


def test_a_library_that_is_there_as_source_only_is_refused_by_name(installer, folder, seen, wheels):
    with tarfile.open(wheels / "hazesource-1.0.tar.gz", "w:gz") as archive:
        told = b"Metadata-Version: 2.1\nName: hazesource\nVersion: 1.0\n"
        entry = tarfile.TarInfo("hazesource-1.0/PKG-INFO")
        entry.size = len(told)
        archive.addfile(entry, io.BytesIO(told))
    with pytest.raises(
        InvalidRequest, match=r"hazesource: there is the source only.*UV_FIND_LINKS.*Nothing was changed"
    ):
        installer.install(local(folder("haze", {"a.py": "", "requirements.txt": "hazesource"})))
    assert seen() == {}
