"""Which restorer and which detector of faces a job uses, said before anything is loaded."""

from __future__ import annotations

from modules.contracts.catalog import Catalog
from modules.contracts.detectors import DetectorEntry, Detectors
from modules.contracts.enlarging import EnlargeParams
from modules.contracts.errors import UnsupportedFeature
from modules.contracts.plan import FacePlan
from modules.upscalers.face_network import check_restorer, find_restorer

YUNET = "face_detection_yunet_2023mar.onnx"


def plan_faces(wish: EnlargeParams, catalog: Catalog, detectors: Detectors) -> FacePlan | None:
    """None where no faces are restored. Raises `InvalidRequest`, `BrokenModel` or `UnsupportedFeature` with the file
    that is missing."""
    if not wish.restores:
        return None
    entry = find_restorer(wish.restorer, catalog.restorers())
    check_restorer(entry)
    return FacePlan(entry, find_face_detector(detectors), wish.restorer_share, wish.restorer_weight)


def find_face_detector(detectors: Detectors) -> DetectorEntry:
    """The first YuNet, which says where eyes and mouth are; else the first detector with `face` in its name.

    Raises `UnsupportedFeature` where there is neither.
    """
    usable = [entry for entry in detectors.entries() if entry.problem is None and entry.path is not None]
    for entry in usable:
        if entry.kind == "yunet":
            return entry
    for entry in usable:
        if "face" in entry.name.casefold():
            return entry
    raise UnsupportedFeature(
        f"There is no detector of faces; put {YUNET} of OpenCV's model zoo into the folder models/detectors."
    )
