"""Which detectors there are: those without weights, and those in files. Imports neither torch nor OpenCV."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from modules.contracts.detailer import COLOUR, MASK
from modules.contracts.detectors import DetectorEntry, DetectorKind
from modules.contracts.errors import BrokenModel, UnknownModel
from modules.detectors.onnx_header import read_onnx_header
from modules.sd_models.names import near_names
from modules.support.paths import Paths

KIND = "detectors"
FOLDERS = (KIND, "adetailer", "yolo")
"""Below the models folder: ours, and those that others use for the same."""
BUILT_IN = (DetectorEntry(COLOUR, "colour"), DetectorEntry("Contrast", "contrast"), DetectorEntry(MASK, "mask"))
ALIASES = {"color": COLOUR.casefold()}
BOXES, SEGMENTS = ("YolosForObjectDetection", "DetrForObjectDetection"), ("SegformerForSemanticSegmentation",)
PICKLED = (".pt", ".pth")
ENDINGS = (".onnx", *PICKLED)
USUAL = ("face_yolov8", "hand_yolov8", "person_yolov8", "mediapipe_face", "yolov8", "yolo11", "yolov11")
"""How names begin that clients of ADetailer send without having looked what there is."""
REST_SECONDS = 2.0
"""From one look at the folders to the next that somebody asks for."""


class DetectorCatalog:
    """Implements `modules.contracts.detectors.Detectors`. Safe from any thread."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._lock = threading.Lock()
        self._files: tuple[DetectorEntry, ...] | None = None
        self._looked = 0.0
        self._due = False

    def entries(self) -> tuple[DetectorEntry, ...]:
        """All: those without weights, then usable files, then others, each group by name."""
        with self._lock:
            if self._files is None or (self._due and time.monotonic() >= self._looked + REST_SECONDS):
                found = sorted(_look(self._paths.models), key=lambda entry: entry.name.casefold())
                self._files = tuple(sorted(found, key=lambda entry: entry.problem is not None))
                self._due, self._looked = False, time.monotonic()
            return (*BUILT_IN, *self._files)

    def find(self, name: str) -> DetectorEntry:
        """The one of that name, whatever its case and its file's ending: `face_yolov8n.pt` is a `face_yolov8n.onnx`.

        Raises `UnknownModel` with the known ones and where files belong, or `BrokenModel` with the reason.
        """
        wanted = name.strip().replace("\\", "/").casefold()
        wanted = ALIASES.get(wanted, wanted)
        plain = wanted
        for ending in ENDINGS:
            plain = plain.removesuffix(ending)
        for entry in self.entries():
            if entry.name.casefold() in (wanted, plain):
                if entry.problem is not None:
                    raise BrokenModel(entry.problem)
                return entry
        known = near_names(name, [entry.name for entry in self.entries() if entry.problem is None])
        advice = ""
        if plain.startswith(USUAL):
            advice = (
                f" Put {plain}.onnx into the folder models/{KIND}; `yolo export model={plain}.pt format=onnx` of the "
                "package ultralytics makes it of the published file."
            )
        raise UnknownModel(f"There is no detector {name!r}; {known}.{advice}")

    def refresh(self) -> None:
        """Look at the folders again, at most every `REST_SECONDS`."""
        with self._lock:
            self._due = True


def _look(models: Path) -> Iterator[DetectorEntry]:
    taken = {entry.name.casefold() for entry in BUILT_IN}
    for folder in FOLDERS:
        if not (models / folder).is_dir():
            continue
        for path in sorted((models / folder).iterdir()):
            if path.is_dir() and (path / "config.json").is_file():
                name = path.name
            elif path.suffix.lower() in ENDINGS:
                name = path.stem
            else:
                continue
            usable = path.suffix.lower() not in PICKLED
            if usable and name.casefold() in taken:
                name = path.name
            if name.casefold() not in taken:
                taken |= {name.casefold()} if usable else set()
                yield _entry(name if usable else path.name, path)


def _entry(name: str, path: Path) -> DetectorEntry:
    try:
        if path.is_dir():
            return DetectorEntry(name, _kind_of_folder(path), path)
        if path.suffix.lower() in PICKLED:
            raise BrokenModel(
                f"{path.name} is a pickled file, which could run any program when opened; make an ONNX file of it "
                f"with the package ultralytics: yolo export model={path.name} format=onnx."
            )
        size = path.stat().st_size
        header = read_onnx_header(path)
    except BrokenModel as error:
        return DetectorEntry(name, None, path, error.message)
    except OSError as error:
        return DetectorEntry(name, None, path, f"{path.name} cannot be read: {error.strerror}.")
    faces = any(output.startswith("kps_") for output in header.outputs)
    return DetectorEntry(name, "yunet" if faces else "yolo", path, size_bytes=size)


def _kind_of_folder(folder: Path) -> DetectorKind:
    """Raises `BrokenModel` for networks that are not known."""
    try:
        said = json.loads((folder / "config.json").read_text("utf-8"))
        kind = str(next(iter(said.get("architectures") or ()), ""))
    except (ValueError, AttributeError) as error:
        raise BrokenModel(f"{folder.name}: config.json is no config.") from error
    if kind in BOXES:
        return "boxes"
    if kind in SEGMENTS:
        return "segments"
    known = ", ".join((*BOXES, *SEGMENTS))
    raise BrokenModel(f"{folder.name} is a {kind or 'network without a name'}; detectors are {known}.")
