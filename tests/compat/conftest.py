"""A studio with other people's extensions, unchanged, from a folder that whoever runs this has filled: README.md."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modules.app import build_studio
from modules.bootstrap.options import Options, PathOptions, RunOptions
from modules.contracts.request import CanvasParams, GenerationRequest, PromptParams, SamplingParams, SeedParams
from modules.contracts.scripts import GivenValue, ScriptParams, ScriptUse

FOLDER = "COMPAT_EXTENSIONS"
"""Names the folder that has the checkouts."""
PLAIN = GenerationRequest(
    PromptParams("a red circle"), CanvasParams(64, 64), SeedParams(3), SamplingParams(steps=8, sampler="DPM++ 2M")
)


@dataclass(frozen=True)
class Tried:
    """One extension in the studio, the only one that is switched on."""

    studio: Any
    name: str

    def script(self, title: str, mode: str = "txt2img", *, always_on: bool = True) -> Any:
        """One of its scripts."""
        return self.studio.scripts.find(title, mode, always_on=always_on)

    def draw(self, title: str | None = None, request: GenerationRequest = PLAIN, run: bool = False, **values: Any):
        """A job in which that script takes part with these values, or that it owns; nothing may be noted."""
        use = ScriptUse(title or "", tuple(GivenValue(key, value) for key, value in values.items()))
        scripts = ScriptParams(run=use) if run else ScriptParams((use,) if title else ())
        result = self.studio.queue.submit(replace(request, scripts=scripts), "ada").wait(240)
        assert result.notes == ()
        return result.pictures


def pixels(picture: Any) -> Any:
    """RGB from 0 to 255 (H, W, 3)."""
    return np.asarray(picture.image.convert("RGB")).astype(float)


@pytest.fixture(scope="session")
def crowd(tmp_path_factory):
    """A studio with every checkout that is there."""
    source = Path(os.environ.get(FOLDER) or "")
    if not os.environ.get(FOLDER) or not source.is_dir():
        pytest.skip(f"{FOLDER} names no folder with extensions")
    folder = tmp_path_factory.mktemp("compat")
    names = [one.name for one in sorted(source.iterdir()) if (one / "scripts").is_dir()]
    for name in names:
        shutil.copytree(source / name, folder / "extensions" / name, ignore=shutil.ignore_patterns(".git"))
    (folder / "extensions").mkdir(exist_ok=True)
    paths = PathOptions(data_dir=folder / "data", extensions_dir=folder / "extensions")
    made = build_studio(Options(paths=paths, run=RunOptions(lanes=2, offline=True)))
    assert made.status.wait(240)
    for name in names:
        made.scripts.switch(name, "disable")
    yield made, names
    made.close()


@pytest.fixture
def tried(crowd):
    """Switches one extension on for a test; skips where it is not there or lacks a library of its own."""
    studio, names = crowd
    used = []

    def switch(name: str) -> Tried:
        if name not in names:
            pytest.skip(f"{name} is not in the folder that {FOLDER} names")
        used.append(name)
        entry = studio.scripts.switch(name, "enable")
        if "ModuleNotFoundError: No module named" in entry.error:
            missing = entry.error.rpartition("named ")[2].strip("'\"")
            if not missing.startswith("modules"):
                pytest.skip(f"{name} needs the library {missing}, which is not installed")
        assert entry.state == "on", entry.trace
        return Tried(studio, name)

    yield switch
    for name in used:
        studio.scripts.switch(name, "disable")
