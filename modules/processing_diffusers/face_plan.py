"""Which restorer and which detector of faces a job uses, said before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modules.contracts.catalog import Catalog
from modules.contracts.detectors import DetectorEntry, Detectors
from modules.contracts.enlarging import EnlargeParams
from modules.contracts.errors import StudioError, UnsupportedFeature
from modules.contracts.plan import FacePlan, Recipe
from modules.contracts.request import GenerationRequest
from modules.sd_models.hashes import hash_model
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


def plan_drawn_faces(
    request: GenerationRequest, settings: Mapping[str, Any], catalog: Catalog, detectors: Detectors, notes: list[str]
) -> FacePlan | None:
    """How faces of pictures that are drawn are restored; None where they are not.

    Old clients ask for it out of habit, so where nobody named a restorer and there is none a note says what is missing.
    One that was named and cannot be used is refused, as `plan_faces` does.
    """
    wish = request.faces
    if not wish.acts:
        return None
    known = catalog.restorers()
    usual = next((entry.name for entry in known if entry.problem is None), "GFPGAN")
    try:
        entry = find_restorer(wish.restorer or str(settings["face_restoration_model"]) or usual, known)
        check_restorer(entry)
        detector = find_face_detector(detectors)
    except StudioError as error:
        if wish.restorer:
            raise
        notes.append(f"Faces are as they were drawn. {error}")
        return None
    return FacePlan(entry, detector, wish.share, wish.weight)


def describe_faces(plan: FacePlan, sha256: str) -> Recipe:
    """What a recipe says of restored faces; `sha256` is of the restorer's file."""
    assert plan.detector.path is not None  # one without weights finds no faces
    return {
        "restorer": {"name": plan.restorer.name, "sha256": sha256},
        "detector": {"name": plan.detector.name, "sha256": hash_model(plan.detector.path)},
    }


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
