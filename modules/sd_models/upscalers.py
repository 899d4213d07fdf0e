"""Files of upscalers as rows of the catalogue: which there are, how much each enlarges, and what is wrong with it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

from modules.contracts.catalog import UpscalerEntry
from modules.contracts.errors import BrokenModel
from modules.sd_models.header import Header, read_header
from modules.sd_models.scan import PICKLES, WEIGHTS, find_files

KIND = "upscalers"
USUAL_SCALE = 4.0
"""What A1111 says of an upscaler of which it knows nothing."""
_IN_NAME = re.compile(r"(?<![a-z0-9])(?:x([1-8])|([1-8])x)(?![0-9])|(?<=[a-z])x([1-8])(?![0-9a-z])", re.IGNORECASE)


def list_upscalers(models: Path, embedded: Path) -> tuple[UpscalerEntry, ...]:
    """Upscaler files below the folders of that kind in `models`, then those in `embedded`, sorted by name without case.

    A name that is taken gets its ending. Nothing but headers is read.
    """
    entries: dict[str, UpscalerEntry] = {}
    for path in chain(_single_files(embedded), (path for path in find_files(models, KIND) if path.is_file())):
        name = path.stem if path.stem not in entries else path.name
        name = name if name not in entries else f"{path.parent.name}/{path.name}"
        entries[name] = _entry(name, path)
    return tuple(sorted(entries.values(), key=lambda entry: (entry.name.casefold(), entry.name)))


def _single_files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if path.suffix.lower() in (WEIGHTS, *PICKLES))


def _entry(name: str, path: Path) -> UpscalerEntry:
    try:
        header = read_header(path)
    except BrokenModel as error:
        return UpscalerEntry(name, False, scale_in(path.stem), path, error.message)
    except OSError as error:
        return UpscalerEntry(name, False, scale_in(path.stem), path, f"{path.name} cannot be read: {error.strerror}.")
    return UpscalerEntry(name, latent=False, scale=scale_of(header, path.stem), path=path)


def scale_of(header: Header, stem: str) -> float:
    """The factor as the header says it, else as the shapes of a compact network do, else as the name does.

    For lists only: what a network really does is known once it has been opened.
    """
    said = header.metadata.get("scale", "")
    if re.fullmatch(r"[1-8]", said):
        return float(said)
    return _compact_scale(header.shapes) or scale_in(stem)


def scale_in(stem: str) -> float:
    """The factor in a name such as `4x-UltraSharp`, `RealESRGAN_x2plus` or `net-x2`; USUAL_SCALE without one."""
    found = _IN_NAME.search(stem.replace("_", " "))
    return float(next(digit for digit in found.groups() if digit)) if found else USUAL_SCALE


def _compact_scale(shapes: Mapping[str, tuple[int, ...]]) -> float | None:
    """Of Real-ESRGAN's compact network, whose last layer makes three channels for each pixel that one becomes."""
    numbers = [int(name.split(".")[1]) for name in shapes if re.fullmatch(r"body\.\d+\.bias", name)]
    if "body.0.weight" not in shapes or not numbers:
        return None
    side = math.isqrt(shapes[f"body.{max(numbers)}.bias"][0] // 3)
    return float(side) if side else None
