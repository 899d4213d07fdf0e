"""`launch.py models`: what it prints, in tables and as JSON, and how it ends."""

from __future__ import annotations

import hashlib
import io
import json
import os

import pytest

from modules.bootstrap.options import Options, PathOptions, RunOptions
from modules.sd_models.command import run
from tests.factories import headers as h
from tests.factories.fake_hub import FakeHub, serving

SD15 = h.ldm_unet(768) | h.LDM_VAE | h.LDM_CLIP


@pytest.fixture
def options(tmp_path, monkeypatch):
    """An installation with one good and one pickled model; the user's own hub cache is out of sight."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "no-cache"))
    checkpoints = tmp_path / "models" / "checkpoints"
    h.write_weightless(checkpoints / "good.safetensors", SD15)
    (checkpoints / "old.ckpt").write_bytes(b"PK\x03\x04 pickled")
    return Options(paths=PathOptions(tmp_path / "data", tmp_path / "models"))


def test_list_shows_what_there_is_and_what_is_wrong(options, capsys):
    assert run(["list"], options) == 0
    shown = capsys.readouterr().out
    assert "good" in shown
    assert "old: old.ckpt is a pickled checkpoint" in shown


def test_list_as_json(options, capsys):
    assert run(["list", "--json"], options) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["good"]["family"] == "sd15"
    assert rows["good"]["problem"] is None
    assert "models convert" in rows["old"]["problem"]


def test_inspect_by_path_and_by_name(options, capsys, tmp_path):
    path = tmp_path / "models" / "checkpoints" / "good.safetensors"
    for called in (str(path), "good.safetensors"):
        assert run(["inspect", called, "--json", "--hash"], options) == 0
        answer = json.loads(capsys.readouterr().out)
        assert (answer["outcome"], answer["family"]) == ("recognised", "sd15")
        assert answer["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_inspect_tells_why_not(options, capsys):
    assert run(["inspect", "old.ckpt", "--json"], options) == 1
    assert json.loads(capsys.readouterr().out)["outcome"] == "broken"
    assert run(["inspect", "absent.safetensors"], options) == 1
    assert "cannot be read" in capsys.readouterr().out.replace("\n", " ")


def test_pull_fetches_into_the_own_cache(options, capsys, tmp_path):
    with serving(FakeHub({"m.safetensors": b"weights"})) as hub:
        assert run(["pull", "owner/model", "--endpoint", hub.endpoint, "--json"], options) == 0
    captured = capsys.readouterr()
    assert "1 file, " in captured.err
    answer = json.loads(captured.out)
    assert answer["files"] == ["m.safetensors"]
    assert (tmp_path / "data" / "hub").is_dir()


def test_pull_takes_a_token_from_a_file(options, capsys, tmp_path):
    (tmp_path / "token").write_text("secret\n")
    with serving(FakeHub({"m.safetensors": b"weights"}, token="secret")) as hub:
        line = ["pull", "owner/model", "--endpoint", hub.endpoint, "--json"]
        assert run(line, options) == 1
        assert run([*line, "--token-file", str(tmp_path / "token")], options) == 0
        assert run([*line, "--token-file", str(tmp_path / "absent")], options) == 1
    assert "token cannot be read" in capsys.readouterr().err.replace("\n", " ")


def test_pull_uses_the_stored_token(options, capsys, tmp_path, monkeypatch):
    with serving(FakeHub({"m.safetensors": b"weights"}, token="s3cret-1")) as hub:
        line = ["pull", "owner/model", "--endpoint", hub.endpoint, "--json"]
        assert run(line, options) == 1
        monkeypatch.setattr("sys.stdin", io.StringIO("s3cret-1\n"))
        assert run(["token"], options) == 0
        assert run(line, options) == 0
    assert "s3cret-1" not in "".join(capsys.readouterr())
    stored = tmp_path / "data" / "secrets.json"
    assert json.loads(stored.read_text())["hub_token"] == "s3cret-1"
    assert os.name == "nt" or stored.stat().st_mode & 0o777 == 0o600


def test_a_token_comes_from_a_file_and_can_be_forgotten(options, tmp_path):
    (tmp_path / "token").write_text("from-file\n")
    assert run(["token", "--file", str(tmp_path / "token")], options) == 0
    stored = tmp_path / "data" / "secrets.json"
    assert "from-file" in stored.read_text()
    assert run(["token", "--forget"], options) == 0
    assert "from-file" not in stored.read_text()


@pytest.mark.parametrize("given", ["", "\n", "two words\n", "umlaut-ä\n"])
def test_what_is_no_token_is_refused_without_repeating_it(options, capsys, tmp_path, monkeypatch, given):
    monkeypatch.setattr("sys.stdin", io.StringIO(given))
    assert run(["token"], options) == 1
    said = capsys.readouterr().err
    assert said.startswith("The token has to be one word")
    assert given.strip() == "" or given.strip() not in said
    assert not (tmp_path / "data" / "secrets.json").exists()


def test_pull_offline_says_what_to_do(options, capsys):
    offline = Options(paths=options.paths, run=RunOptions(offline=True))
    assert run(["pull", "owner/model"], offline) == 1
    assert "cannot be fetched while offline" in capsys.readouterr().err.replace("\n", " ")


def test_errors_are_one_sentence(options, capsys):
    assert run(["convert", "absent.ckpt"], options) == 1
    assert capsys.readouterr().err.startswith("There is no file")


@pytest.mark.parametrize("words", [[], ["dance"], ["list", "--unknown"]])
def test_wrong_usage_ends_with_2(options, words):
    with pytest.raises(SystemExit) as caught:
        run(words, options)
    assert caught.value.code == 2
