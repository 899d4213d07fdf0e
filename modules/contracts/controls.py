"""What there is to steer with: the rows of ControlNets and preprocessors, and who knows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from modules.contracts.control import ControlUnit
from modules.contracts.errors import UnknownModel

ControlKind = Literal["controlnet", "union", "controlnet_xs", "t2i_adapter", "ip_adapter", "redux"]
PROMPTING: frozenset[ControlKind] = frozenset({"ip_adapter", "redux"})
"""Kinds that make a prompt of a picture."""


@dataclass(frozen=True, slots=True)
class ControlEntry:
    """One ControlNet or adapter of the catalogue. `problem` is None when it can be used."""

    name: str
    path: Path
    kind: ControlKind | None
    base: str | None = None
    """Which models it was made for: `sd15`, `sd2` and `sdxl` by the widths of their text, `sd3`, `flux` and `qwen` by
    their transformers; None when nothing tells."""
    short_hash: str = ""
    """Eight hex digits that A1111 knows model files by, of 64 KiB in their middle."""
    size_bytes: int = 0
    problem: str | None = None
    wish: tuple[str, int] | None = None
    """Of an image prompt, what it reads of an image encoder: an entry of the encoder's config, and its number."""
    encoder: Path | None = None
    """Of an image prompt, the folder of the encoder that it is used with."""

    @property
    def title(self) -> str:
        """The name with its hash, as the extension lists it."""
        return f"{self.name} [{self.short_hash}]" if self.short_hash else self.name


@dataclass(frozen=True, slots=True)
class Slider:
    """One number of a preprocessor."""

    label: str
    default: float
    minimum: float
    maximum: float
    step: float = 1.0


@dataclass(frozen=True, slots=True)
class PreprocessorEntry:
    """One preprocessor: what it is called and what it wants."""

    name: str
    """As sd-webui-controlnet calls it."""
    label: str
    tags: tuple[str, ...] = ()
    """Control types that it belongs to, such as `Canny`; of several the last says most."""
    aliases: tuple[str, ...] = ()
    sliders: tuple[Slider, ...] = ()
    """Thresholds A and B, as far as it has them."""
    resolution: bool = True
    """It looks at the picture at a resolution of its own choice."""
    masked: bool = False
    """It wants a mask."""
    network: bool = True
    """A network reads what it makes; else the drawing looks at the picture itself."""
    encoder: bool = False
    """An image encoder looks at the picture, and the network is an IP-Adapter."""
    needs: str | None = None
    """What it lacks to work here, as one sentence; None for one that works."""
    weights: Path | None = None
    """Folder or file of the network that makes the map; None for one that needs none, or lacks it."""
    finder: Path | None = None
    """The network that finds the people whom it looks at one by one; None where there is none."""


class Controls(Protocol):
    """ControlNets and preprocessors. Reading never imports torch."""

    def models(self) -> tuple[ControlEntry, ...]:
        """All, usable ones first, each group by name."""

    def find_model(self, name: str) -> ControlEntry:
        """The one of that name, title or hash. Raises `UnknownModel` with near names, or `BrokenModel`."""

    def preprocessors(self) -> tuple[PreprocessorEntry, ...]:
        """All in display order, those that lack something included."""

    def find_preprocessor(self, name: str) -> PreprocessorEntry:
        """The one of that name or alias. Raises `UnsupportedFeature` where it lacks something, `InvalidRequest` where
        there is none."""

    def see(self, entry: PreprocessorEntry, image: Any, numbers: Sequence[float] = ()) -> Any:
        """The map that the entry's network makes of a picture, both uint8 arrays (H, W, 3). `numbers` are those of its
        sliders; without any, their defaults. Blocks; raises `BrokenModel`."""

    def detect(self, unit: ControlUnit) -> bytes:
        """What the unit's preprocessor makes of its picture, as PNG of the picture's size. Blocks; raises
        `StudioError`."""

    def refresh(self) -> None:
        """Look at the folders again."""

    def empty(self) -> None:
        """Let go of all networks of preprocessors that nobody looks with."""


class NoControls:
    """Stands where there are none."""

    def models(self) -> tuple[ControlEntry, ...]:
        """None."""
        return ()

    def find_model(self, name: str) -> ControlEntry:
        """Nothing is found."""
        raise UnknownModel(f"There is no ControlNet {name!r}; known are none.")

    def preprocessors(self) -> tuple[PreprocessorEntry, ...]:
        """None."""
        return ()

    def find_preprocessor(self, name: str) -> PreprocessorEntry:
        """Nothing is found."""
        raise UnknownModel(f"There is no preprocessor {name!r}; known are none.")

    def see(self, entry: PreprocessorEntry, image: Any, numbers: Sequence[float] = ()) -> Any:
        """Nothing is found."""
        raise UnknownModel(f"There is no preprocessor {entry.name!r}; known are none.")

    def detect(self, unit: ControlUnit) -> bytes:
        """Nothing is found."""
        raise UnknownModel(f"There is no preprocessor {unit.module!r}; known are none.")

    def refresh(self) -> None:
        """Nothing to look at."""

    def empty(self) -> None:
        """Nothing to let go of."""


TAGS: Mapping[str, int] = {
    "OpenPose": 0,
    "Depth": 1,
    "SoftEdge": 2,
    "Scribble": 2,
    "Canny": 3,
    "Lineart": 3,
    "MLSD": 3,
    "NormalMap": 4,
    "Segmentation": 5,
    "Tile": 6,
    "Blur": 6,
    "Inpaint": 7,
}
"""Which condition of a union ControlNet each control type is (ControlNet++, ProMax included)."""
FLUX_TAGS: Mapping[str, int] = {
    "Canny": 0,
    "Lineart": 0,
    "Scribble": 0,
    "SoftEdge": 0,
    "MLSD": 0,
    "Tile": 1,
    "Depth": 2,
    "Blur": 3,
    "OpenPose": 4,
    "Recolor": 5,
}
"""The same for Flux (InstantX' and Shakker's unions); all that is drawn lines is the first."""
