"""What launch.py hands to the studio's process, and what it does before there is an environment."""

import json
import os
import subprocess
import sys

import pytest

from modules.bootstrap import command
from modules.bootstrap.environment import BootstrapError
from modules.bootstrap.options import ROOT


def run(*argv, python=sys.executable):
    return subprocess.run([python, ROOT / "launch.py", *argv], capture_output=True, text=True, timeout=60)


def test_variables_of_the_process():
    made = command.child_variables({"HOME": "/h", "GOMP_SPINCOUNT": "9"}, ROOT, offline=False)
    assert made["PYTHONPATH"] == str(ROOT)
    assert (made["GOMP_SPINCOUNT"], made["TOKENIZERS_PARALLELISM"], made["HOME"]) == ("9", "false", "/h")
    assert (made["HF_HUB_DISABLE_TELEMETRY"], made["GRADIO_ANALYTICS_ENABLED"]) == ("1", "False")
    assert "HF_HUB_OFFLINE" not in made


def test_offline_tells_the_hub_and_takes_proxies_away():
    made = command.child_variables({"HTTPS_PROXY": "p", "http_proxy": "p", "PYTHONPATH": "/x"}, ROOT, offline=True)
    assert made["HF_HUB_OFFLINE"] == "1"
    assert not {"HTTPS_PROXY", "http_proxy"} & set(made)
    assert made["PYTHONPATH"] == os.pathsep.join([str(ROOT), "/x"])


def test_help_and_usage_need_no_environment():
    shown = run("--help")
    assert shown.returncode == 0
    assert "commands:" in shown.stdout
    refused = run("--listen", "--offline")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "loopback sockets only" in refused.stderr


def test_bootstrapping_imports_the_standard_library_alone():
    code = (
        "import sys; import modules.bootstrap.command, modules.contracts.request\n"
        "print([n for n in sys.modules if n.split('.')[0] not in sys.stdlib_module_names | {'modules', '__main__'}])"
    )
    # -S leaves out site-packages and what hooks of installed packages would import at start.
    line = [sys.executable, "-S", "-P", "-c", code]
    found = subprocess.run(
        line, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert found.stdout.strip() == "[]"


def test_a_failed_installation_is_one_sentence(monkeypatch, capsys):
    def fail(*arguments, **settings):
        raise BootstrapError("the index is not there")

    monkeypatch.setattr(command, "ensure", fail)
    assert command.main(["serve"]) == 1
    assert capsys.readouterr().err == "the index is not there\n"
    assert command.main(["serve", "--log-json"]) == 1
    assert json.loads(capsys.readouterr().err)["message"] == "the index is not there"


@pytest.mark.parametrize(
    ("argv", "extras"),
    [
        (["models"], ()),
        (["test"], ("test",)),
        (["--extra", "quant"], ("quant",)),
        (["--extra", "kolors"], ("kolors",)),
        (["--extra", "upscale", "--extra", "quant"], ("upscale", "quant")),
    ],
)
def test_extras_that_a_start_asks_for(monkeypatch, argv, extras):
    seen = []

    def note(environment, wanted, **settings):
        seen.append(wanted)
        raise BootstrapError("far enough")

    monkeypatch.setattr(command, "ensure", note)
    assert command.main(argv) == 1
    assert seen == [extras]
