"""Installing, with a uv that only writes down what it was asked: what, when, and what happens after a failure."""

import json
import os
import sys
import threading
import time

import pytest

from modules.bootstrap import environment as place
from modules.bootstrap import installation, repair, stamp
from modules.bootstrap.environment import BootstrapError, Environment

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-in for uv is a script with a #! line")

FAKE_UV = f"""#!{sys.executable}
import json, os, sys, pathlib
here = pathlib.Path(__file__).parent
if sys.argv[1:] == ["--version"]:
    print("uv {place.UV.partition("==")[2]}")
    sys.exit(0)
with open(here / "asked.jsonl", "a") as log:
    log.write(json.dumps(sys.argv[1:]) + "\\n")
plan = json.loads((here / "plan.json").read_text())
sys.stderr.write("Resolved 2 packages\\n + a==1\\n")
sys.exit(plan["compile" if sys.argv[2] == "compile" else "fitted" if "--torch-backend" in sys.argv else "default"])
"""


class Workshop:
    """A checkout with a working environment, a lock, and the uv above."""

    def __init__(self, root):
        self.environment = Environment(root)
        self.environment.scripts.mkdir(parents=True)
        self.environment.python.symlink_to(sys.executable)
        version = ".".join(map(str, sys.version_info[:3]))
        (self.environment.folder / "pyvenv.cfg").write_text(f"version = {version}\n")
        self.environment.uv.write_text(FAKE_UV)
        self.environment.uv.chmod(0o755)
        stamp.lock_file(root, "core").write_text("torch==2.15.0\nnvidia-nvtx==13 ; sys_platform == 'linux'\nz==1\n")
        stamp.lock_file(root, "test").write_text("torch==2.15.0\nz==1\npytest==9\n")
        (root / "pyproject.toml").write_text("")
        self.plan(compile=2, fitted=0, default=0)
        self.said = []

    def plan(self, **codes):
        (self.environment.scripts / "plan.json").write_text(json.dumps(codes))

    def asked(self):
        log = self.environment.scripts / "asked.jsonl"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]

    def ensure(self, *extras, offline=False):
        installation.ensure(self.environment, extras, offline=offline, say=self.said.append)


@pytest.fixture
def workshop(tmp_path, monkeypatch):
    monkeypatch.delenv("UV_TORCH_BACKEND", raising=False)
    return Workshop(tmp_path)


def test_without_the_index_of_torch_the_whole_lock_comes_from_the_default_one(workshop, capfd):
    workshop.ensure()
    probe, install = workshop.asked()
    assert probe[:2] == ["pip", "compile"]
    assert install[:2] == ["pip", "install"]
    assert "--torch-backend" not in install
    assert install[-2:] == ["-r", str(workshop.environment.root / "requirements.txt")]
    assert any("Installing 3 packages of requirements.txt" in line for line in workshop.said)
    assert capfd.readouterr().err == "Resolved 2 packages\n"


def test_with_it_the_build_fits_and_the_lock_holds_all_but_the_other_build_s_libraries(workshop):
    workshop.plan(compile=0, fitted=0, default=9)
    workshop.ensure()
    _, install = workshop.asked()
    assert install[install.index("--torch-backend") + 1] == "auto"
    assert install[-2:] == ["-r", str(workshop.environment.root / "pyproject.toml")]
    assert (workshop.environment.folder / "atelier-core-constraints.txt").read_text() == "torch==2.15.0\nz==1"
    workshop.ensure("test")
    assert workshop.asked()[-1][-2:] == ["--extra", "test"]


def test_a_fitting_build_that_cannot_be_had_after_all_is_replaced_by_the_default(workshop):
    workshop.plan(compile=0, fitted=1, default=0)
    workshop.ensure()
    assert ["--torch-backend" in call for call in workshop.asked()] == [True, True, False]
    assert stamp.missing(workshop.environment, ("core",)) == ()


def test_the_second_start_asks_for_nothing(workshop):
    workshop.ensure("test")
    workshop.asked()
    workshop.ensure("test")
    workshop.ensure()
    assert workshop.asked() == []


def test_a_changed_lock_is_installed_again(workshop):
    workshop.ensure()
    workshop.asked()
    stamp.lock_file(workshop.environment.root, "core").write_text("torch==2.15.0\nz==2\n")
    workshop.ensure()
    assert [call[1] for call in workshop.asked()] == ["compile", "install"]


def test_a_failure_leaves_no_stamp_and_the_next_start_mends_what_is_damaged(workshop):
    workshop.plan(compile=1, fitted=1, default=1)
    with pytest.raises(BootstrapError, match=r"uv could not install requirements\.txt"):
        workshop.ensure()
    assert not stamp.path(workshop.environment).exists()
    workshop.asked()
    packages = workshop.environment.folder / "lib" / "python3" / "site-packages"
    for name in ("whole", "hurt"):
        (packages / f"{name}-1.dist-info").mkdir(parents=True)
        (packages / f"{name}-1.dist-info" / "RECORD").write_text(f"{name}.py,,4\n")
    (packages / "whole.py").write_text("1234")
    workshop.plan(compile=1, fitted=1, default=0)
    workshop.ensure()
    assert "The last installation was cut short; hurt-1 was left damaged" in workshop.said
    assert [path.name for path in packages.glob("*.dist-info")] == ["whole-1.dist-info"]
    assert workshop.asked()[-1][1] == "install"
    assert not workshop.environment.marker.exists()
    assert stamp.missing(workshop.environment, ("core",)) == ()


@pytest.mark.parametrize(
    ("record", "is_whole"),
    [
        ("a.py,sha256=x,3\na-1.dist-info/RECORD,,\n", True),
        ("a.py,sha256=x,3\n__pycache__/a.cpython-312.pyc,,\n", True),
        ("a.py,sha256=x,4\n", False),
        ("a.py,sha256=x,3\nb.py,sha256=x,3\n", False),
        ("", False),
        (None, False),
    ],
)
def test_what_makes_a_package_whole(tmp_path, record, is_whole):
    info = tmp_path / "a-1.dist-info"
    info.mkdir()
    (tmp_path / "a.py").write_text("abc")
    if record is not None:
        (info / "RECORD").write_text(record)
    assert repair.is_whole(info) is is_whole


def test_offline_probes_nothing_and_says_so_to_uv(workshop):
    workshop.ensure(offline=True)
    (install,) = workshop.asked()
    assert "--offline" in install


def test_offline_without_uv_is_a_clear_refusal(workshop):
    workshop.environment.uv.unlink()
    with pytest.raises(BootstrapError, match="--offline forbids to fetch it"):
        workshop.ensure(offline=True)


def test_a_broken_environment_is_made_again(tmp_path):
    env = Environment(tmp_path)
    env.folder.mkdir()
    (env.folder / "rubble").touch()
    said = []
    place.make(env, said.append)
    assert env.works()
    assert not (env.folder / "rubble").exists()
    place.make(env, said.append)
    assert len(said) == 1


def test_two_first_starts_make_one_environment(workshop, monkeypatch):
    """The second one waits for the first before it looks at the folder, so it cannot empty it under its hands."""
    making = []

    def make(environment, say):
        if not making:
            making.append("first")
            second = threading.Thread(target=workshop.ensure)
            second.start()
            while "Another start is installing; waiting for it" not in workshop.said:
                time.sleep(0.01)
            making.append(second)
        else:
            making.append("second")

    monkeypatch.setattr(installation, "make", make)
    workshop.ensure()
    making[1].join(20)
    assert [step for step in making if isinstance(step, str)] == ["first", "second"]
    assert workshop.environment.lock.parent == workshop.environment.root
    assert sum(words[1] == "install" for words in workshop.asked()) == 1
