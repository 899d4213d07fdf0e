"""Settings keep their values across restarts, whole, and never give a secret away."""

from __future__ import annotations

import json
import logging
import os
import stat

import pytest

from modules.contracts.errors import InvalidRequest
from modules.support.options import CORE_SETTINGS
from modules.support.settings import Setting, Settings

DECLARED = (
    Setting("steps", 20, "Steps", minimum=1, maximum=100),
    Setting("ratio", 0.5, "Ratio", minimum=0, maximum=1),
    Setting("word", "one", "Word", choices=("one", "two")),
    Setting("flag", False, "Flag"),
    Setting("token", "", "Token", scope="secret"),
)


def test_values_survive_a_restart(tmp_path):
    Settings(DECLARED, tmp_path).update({"steps": 33, "flag": True})
    again = Settings(DECLARED, tmp_path)
    assert (again["steps"], again["flag"], again["ratio"]) == (33, True, 0.5)


def test_one_bad_value_refuses_the_whole_change(tmp_path):
    settings = Settings(DECLARED, tmp_path)
    with pytest.raises(InvalidRequest, match="ratio is 7.0; allowed is 0 to 1"):
        settings.update({"steps": 50, "ratio": 7})
    assert settings["steps"] == 20
    assert not (tmp_path / "settings.json").exists()


def test_a_change_that_cannot_be_written_does_not_happen(tmp_path, monkeypatch):
    def full(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    settings = Settings(DECLARED, tmp_path)
    monkeypatch.setattr("modules.support.settings.write_text", full)
    with pytest.raises(OSError, match="No space"):
        settings.update({"steps": 44})
    assert settings["steps"] == 20


@pytest.mark.parametrize("value", ["twenty", 20.5, True, [1]])
def test_a_value_of_another_type_is_refused(value):
    with pytest.raises(InvalidRequest, match="steps is"):
        Settings(DECLARED).update({"steps": value})


def test_a_float_that_is_whole_serves_as_an_integer_and_null_as_the_default():
    settings = Settings(DECLARED)
    settings.update({"steps": 30.0})
    assert settings["steps"] == 30
    assert isinstance(settings["steps"], int)
    settings.update({"steps": None})
    assert settings["steps"] == 20


def test_unknown_keys_are_refused_or_ignored_as_asked():
    settings = Settings(DECLARED)
    settings.update({"colour": "red", "steps": 5}, unknown="ignore")
    assert settings["steps"] == 5
    with pytest.raises(InvalidRequest, match="no setting 'colour'"):
        settings.update({"colour": "red"})


def test_secrets_are_stored_apart_and_never_handed_out(tmp_path):
    settings = Settings(DECLARED, tmp_path)
    settings.set_secret("token", "s3cret")
    settings.update({"steps": 21})
    assert settings["token"] == "s3cret"
    assert "token" not in settings.public()
    assert "s3cret" not in (tmp_path / "settings.json").read_text()
    assert Settings(DECLARED, tmp_path)["token"] == "s3cret"
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600
    with pytest.raises(InvalidRequest):
        settings.update({"token": "other"})
    with pytest.raises(ValueError, match="steps is not a secret"):
        settings.set_secret("steps", "1")


@pytest.mark.parametrize("content", ["{", "[1]", json.dumps({"steps": "many"})])
def test_a_broken_file_is_kept_aside_and_defaults_apply(tmp_path, caplog, content):
    (tmp_path / "settings.json").write_text(content)
    with caplog.at_level(logging.WARNING):
        settings = Settings(DECLARED, tmp_path)
    assert settings["steps"] == 20
    assert (tmp_path / "settings.broken").read_text() == content
    assert "settings.json" in caplog.text


def test_watchers_hear_of_accepted_changes():
    heard = []
    settings = Settings(DECLARED)
    settings.watch(lambda changes: heard.append(dict(changes)))
    settings.update({"steps": 7})
    assert heard == [{"steps": 7}]


def test_core_settings_are_sound():
    keys = [item.key for item in CORE_SETTINGS]
    assert len(keys) == len(set(keys))
    for item in CORE_SETTINGS:
        assert item.coerce(item.default) == item.default


def test_a_secret_stored_by_another_process_outlives_a_change_of_settings(tmp_path):
    running = Settings(DECLARED, tmp_path)
    running.update({"steps": 30})
    Settings(DECLARED, tmp_path).set_secret("token", "from the terminal")
    running.update({"steps": 31})
    again = Settings(DECLARED, tmp_path)
    assert (again["token"], again["steps"]) == ("from the terminal", 31)


def test_storing_a_secret_leaves_settings_and_other_secrets_as_another_process_has_left_them(tmp_path):
    declared = (*DECLARED, Setting("other", "", "Other", scope="secret"))
    terminal, running = Settings(declared, tmp_path), Settings(declared, tmp_path)
    running.update({"steps": 30})
    running.set_secret("other", "kept")
    terminal.set_secret("token", "new")
    again = Settings(declared, tmp_path)
    assert (again["steps"], again["other"], again["token"]) == (30, "kept", "new")
