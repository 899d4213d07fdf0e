"""The stamp: it vouches for what was installed, for that Python and those pins, and for nothing else."""

import pytest

from modules.bootstrap import stamp
from modules.bootstrap.environment import Environment


@pytest.fixture
def environment(tmp_path):
    env = Environment(tmp_path)
    env.scripts.mkdir(parents=True)
    env.python.touch()
    (env.folder / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.12.1\n")
    stamp.lock_file(tmp_path, "core").write_text("# made by uv\na==1\nb==2\n    # via a\n")
    stamp.lock_file(tmp_path, "test").write_text("a==1\nb==2\nt==3\n")
    return env


def test_nothing_is_installed_before_the_first_stamp(environment):
    assert stamp.missing(environment, ("core", "test")) == ("core", "test")


def test_a_stamp_vouches_for_the_locks_it_names(environment):
    stamp.write(environment, ("core",))
    assert stamp.missing(environment, ("core",)) == ()
    assert stamp.missing(environment, ("core", "test")) == ("test",)
    stamp.write(environment, ("test",))
    assert stamp.missing(environment, ("core", "test")) == ()


def test_a_changed_pin_is_noticed_and_a_changed_comment_is_not(environment):
    lock = stamp.lock_file(environment.root, "core")
    stamp.write(environment, ("core",))
    lock.write_text("# made by another uv\nb==2\na==1\n")
    assert stamp.missing(environment, ("core",)) == ()
    lock.write_text("a==1\nb==3\n")
    assert stamp.missing(environment, ("core",)) == ("core",)


def test_a_lock_that_changed_since_falls_out_when_another_is_stamped(environment):
    stamp.write(environment, ("core",))
    stamp.lock_file(environment.root, "core").write_text("a==9\n")
    stamp.write(environment, ("test",))
    assert set(stamp.read(environment)) == {"test"}


def test_another_python_needs_another_installation(environment):
    stamp.write(environment, ("core",))
    (environment.folder / "pyvenv.cfg").write_text("version_info = 3.13.0\n")
    assert environment.python_version() == "3.13.0"
    assert stamp.missing(environment, ("core",)) == ("core",)


@pytest.mark.parametrize("harm", ["marker", "interpreter", "garbage", "list"])
def test_what_is_half_done_or_damaged_does_not_count(environment, harm):
    stamp.write(environment, ("core",))
    if harm == "marker":
        environment.marker.touch()
    elif harm == "interpreter":
        environment.python.unlink()
    else:
        stamp.path(environment).write_text("{" if harm == "garbage" else "[]")
    assert stamp.missing(environment, ("core",)) == ("core",)


def test_writing_leaves_nothing_but_the_stamp(environment):
    stamp.write(environment, ("core",))
    assert [path.name for path in environment.folder.glob("atelier-*")] == ["atelier-stamp.json"]
