"""Where things are: the program's own folders and the data folder of this installation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout: holds `launch.py`, `configs/` and `models/pocket/`."""

MODEL_KINDS = (
    *("checkpoints", "vae", "vae-approx", "lora", "embeddings", "controlnet", "ip-adapter", "image-encoders"),
    *("upscalers", "text-encoders", "detectors", "annotators", "face_restorers"),
)


@dataclass(frozen=True, slots=True)
class Paths:
    """All folders of one installation. Nothing is created until `ensure` is called."""

    data: Path
    models: Path
    root: Path = ROOT

    @property
    def configs(self) -> Path:
        """Tables that ship with the program."""
        return self.root / "configs"

    @property
    def outputs(self) -> Path:
        """Finished pictures, one folder a day."""
        return self.data / "outputs"

    @property
    def cache(self) -> Path:
        """Everything that can be made again: hashes, measurements, thumbnails."""
        return self.data / "cache"

    @property
    def hub(self) -> Path:
        """Own cache folder for downloads from the model hub."""
        return self.data / "hub"

    @property
    def database(self) -> Path:
        """The SQLite file with jobs and gallery."""
        return self.data / "atelier.sqlite3"

    @property
    def scripts(self) -> tuple[Path, ...]:
        """Folders of single script files: those that ship, and a person's own."""
        return self.root / "scripts", self.data / "scripts"

    @property
    def pocket(self) -> Path:
        """The model that ships with the repository."""
        return self.root / "models" / "pocket"

    def models_of(self, kind: str) -> Path:
        """The folder of one kind of weights, e.g. `vae`."""
        return self.models / kind

    def ensure(self) -> Paths:
        """Make the folders that the program writes to, the data folder for its owner only; returns itself.

        Folders for the kinds of weights are made in the program's own models folder only: one that somebody points to
        has an order of its own and may be read-only.
        """
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self.outputs, self.cache):
            folder.mkdir(parents=True, exist_ok=True)
        if self.models == self.root / "models":
            for kind in MODEL_KINDS:
                self.models_of(kind).mkdir(parents=True, exist_ok=True)
        return self
