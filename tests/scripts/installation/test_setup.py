"""`install.py` of an extension: in a process of its own, its wishes under the same rules as all others."""

from __future__ import annotations

import subprocess
import sys

import pytest

from modules.a1111 import launcher
from modules.contracts.errors import InvalidRequest, UnsupportedFeature
from modules.contracts.installing import Source
from modules.scripts.installation.solving import installed

ASKS = """
import os
import launch
from modules.paths import models_path, script_path
from words import WISH

assert __name__ == "__main__"
assert not launch.is_installed("hazetools")
assert launch.is_installed("Pillow") and launch.is_installed("PIL") and not launch.is_installed("no.such.thing")
launch.run_pip(f"install {WISH} --prefer-binary", "tools for haze")
launch.run(f'"{launch.python}" -m pip install -r wanted.txt', "more")
import hazetools

assert hazetools.VERSION == "1.0"
open("made.txt", "w").write(os.path.basename(models_path))
"""
FILES = {
    "install.py": ASKS,
    "words.py": "WISH = 'hazetools<2'\n",
    "wanted.txt": "# more\nhazebase\n",
    "scripts/a.py": "",
}


def local(path):
    return Source(path, local=True)


def test_it_asks_for_libraries_and_they_come_with_the_extension(installer, folder, tmp_path):
    planned = installer.install(local(folder("haze", FILES)), dry_run=True)
    assert (planned.runs, planned.packages) == (("install.py",), ())
    assert "held to the same rules" in planned.notes[0]
    assert not (tmp_path / "from" / "haze" / "made.txt").exists()
    done = installer.install(local(folder("haze", FILES)))
    assert [(one.name, one.after) for one in done.packages] == [("hazebase", "3.1"), ("hazetools", "1.0")]
    assert done.requirements == ("hazetools<2", "hazebase")
    assert (tmp_path / "extensions" / "haze" / "made.txt").read_text() == "models"
    assert sys.path[-1].endswith("libraries/1")
    with pytest.raises(InvalidRequest, match="hazetools"):
        installer.install(local(folder("mist", {"a.py": "", "requirements.txt": "hazetools>=2"})))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import sys; sys.exit(3)", "exit code 3"),
        ("import launch; launch.run_pip('install numpy<2')", "would change the studio's own packages"),
        ("import launch; launch.run_pip('install -i https://evil.example/simple hazetools')", "'-i'"),
        ("import launch; launch.run_pip('uninstall -y numpy')", "install is all that an extension may ask for"),
        ("import launch; launch.run('rm -rf x')", "only pip's are carried out"),
        ("from modules import shared; shared.sd_upscalers", "catalogue of models is not handed out"),
    ],
)
def test_one_that_fails_leaves_everything_as_it_was(installer, folder, seen, source, said):
    with pytest.raises(InvalidRequest, match=r"install.py of haze failed: .*Nothing was changed") as told:
        installer.install(local(folder("haze", {"install.py": source, "requirements.txt": "hazetools<2"})))
    assert said in str(told.value)
    assert seen() == {}


def test_one_that_minds_no_refusal_is_installed_and_the_refusal_told(installer, folder):
    source = "import launch\ntry:\n    launch.run_pip('install numpy<2')\nexcept RuntimeError:\n    pass\n"
    done = installer.install(local(folder("haze", {"install.py": source})))
    assert done.done
    assert done.packages == ()
    assert done.notes[0].startswith("install.py was refused: numpy<2: It would change the studio's own packages")


def test_a_pip_that_it_starts_by_itself_changes_nothing(installer, folder, wheels):
    before = installed()
    source = f"""
import subprocess, sys
subprocess.run([sys.executable, "-m", "pip", "install", "--no-index", "--find-links", {str(wheels)!r}, "hazebase"],
               check=True)
"""
    installer.install(local(folder("haze", {"install.py": source})))
    assert installed() == before
    assert "hazebase" not in before


@pytest.mark.parametrize(
    "words",
    [["uninstall", "-y", "hazenowhere"], ["-q", "uninstall", "-y", "hazenowhere"], ["cache", "dir"],
     ["--log", "install", "uninstall", "-y", "hazenowhere"]],
)  # fmt: skip
@pytest.mark.parametrize("way", ["[sys.executable, '-m', 'pip']", "[sys.executable, '-c', CODE]"])
def test_a_pip_that_it_starts_by_itself_refuses_all_that_has_no_dry_run(installer, folder, seen, words, way):
    source = f"""
import subprocess, sys
CODE = "import sys; from pip._internal.cli.main import main; sys.exit(main())"
done = subprocess.run([*{way}, *{words!r}], capture_output=True, text=True)
sys.exit(done.stderr if done.returncode else 0)
"""
    with pytest.raises(InvalidRequest, match=r"failed: pip \S+ is refused: an install.py may ask for libraries"):
        installer.install(local(folder("haze", {"install.py": source})))
    assert seen() == {}


def test_a_pip_that_it_starts_by_itself_tells_what_there_is(installer, folder):
    source = """
import subprocess, sys
from pip._internal import main
for words in (["--version"], ["show", "pip"], ["-q", "freeze"]):
    subprocess.run([sys.executable, "-m", "pip", *words], check=True)
assert main(["--version"]) == 0
"""
    assert installer.install(local(folder("haze", {"install.py": source}))).done


def test_while_the_studio_runs_nothing_is_installed():
    with pytest.raises(UnsupportedFeature, match="while the studio runs"):
        launcher.run_pip("install x")


def test_an_update_carries_it_out_again_and_keeps_what_is_the_same(installer, folder, tmp_path):
    installer.install(local(folder("haze", FILES)))
    (tmp_path / "from" / "haze" / "install.py").write_text("import hazetools\nopen('made.txt', 'w').write('again')\n")
    with pytest.raises(InvalidRequest, match="No module named 'hazetools'"):
        installer.update("haze")
    folder("haze", {"install.py": ASKS.replace("os.path.basename(models_path)", "'again'")})
    assert installer.update("haze").packages == ()
    assert (tmp_path / "extensions" / "haze" / "made.txt").read_text() == "again"
    assert subprocess.run([sys.executable, "-c", "import hazetools"], capture_output=True).returncode == 1
