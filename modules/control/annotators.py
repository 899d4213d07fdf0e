"""Preprocessors whose maps a network makes: which networks those are, and which of them are there. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from modules.contracts.controls import PreprocessorEntry

FOLDER = "annotators"
"""Below the models folder; what was fetched from the hub is looked at as well."""
LABELS = 150
"""Classes of ADE20K, which segmentation ControlNets were trained on."""
FINDERS = ("YolosForObjectDetection", "DetrForObjectDetection")
DETECTORS = "detectors"
"""Where those that find people may stand, too."""
POSES = "openpose"
PARTED = ("SegformerForSemanticSegmentation", "UperNetForSemanticSegmentation")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The network of a preprocessor: transformers' class and what tells it from others of the class."""

    architectures: tuple[str, ...]
    hub_id: str
    """One that fits, in full as the hub calls it."""
    size: str
    named: str = ""
    """What its folder's name holds."""
    unnamed: str = ""
    """What its folder's name does not hold."""
    labels: int | None = None

    def fits(self, name: str, config: dict[str, object]) -> bool:
        """Whether a folder of that name with that config is one."""
        kinds, folded = config.get("architectures"), name.casefold()
        if not isinstance(kinds, list) or not set(kinds) & set(self.architectures):
            return False
        names = config.get("id2label")
        counted = self.labels is None or (isinstance(names, dict) and len(names) == self.labels)
        return counted and self.named in folded and (not self.unnamed or self.unnamed not in folded)


WANTED = {
    "depth_midas": Wanted(("DPTForDepthEstimation",), "Intel/dpt-hybrid-midas", "490 MB"),
    "depth_zoe": Wanted(("ZoeDepthForDepthEstimation",), "Intel/zoedepth-nyu-kitti", "1.4 GB"),
    "depth_anything": Wanted(
        ("DepthAnythingForDepthEstimation",), "LiheYoung/depth-anything-small-hf", "99 MB", unnamed="v2"
    ),
    "depth_anything_v2": Wanted(
        ("DepthAnythingForDepthEstimation",), "depth-anything/Depth-Anything-V2-Small-hf", "99 MB", named="v2"
    ),
    "openpose": Wanted(("VitPoseForPoseEstimation",), "usyd-community/vitpose-base-simple", "344 MB"),
    "seg_ufade20k": Wanted(PARTED, "nvidia/segformer-b0-finetuned-ade-512-512", "15 MB", labels=LABELS),
}
"""By the names of the table."""


def say_needs(name: str) -> str:
    """What that preprocessor lacks, and how it is had."""
    wanted = WANTED[name]
    return (
        f"The preprocessor {name} needs a network such as {wanted.hub_id} ({wanted.size}): fetch it with "
        f"`python launch.py models pull {wanted.hub_id}`, or put its folder into models/{FOLDER}."
    )


def equip(entries: Sequence[PreprocessorEntry], models: Path, hub: Path) -> tuple[PreprocessorEntry, ...]:
    """The entries, those with the network they need that have one; the installation's own before the hub's."""
    there = list(_folders(models, hub))
    finders = (path for _, path, config in there if _finds_people(config))
    finder = next(finders, None)
    found = []
    for entry in entries:
        wanted = WANTED.get(entry.name)
        folder = None
        if wanted is not None:
            folder = next((path for name, path, config in there if wanted.fits(name, config)), None)
        if folder is None:
            found.append(entry)
        else:
            found.append(replace(entry, folder=folder, needs=None, finder=finder if entry.name == POSES else None))
    return tuple(found)


def _finds_people(config: dict[str, object]) -> bool:
    kinds, names = config.get("architectures"), config.get("id2label")
    return (
        isinstance(kinds, list)
        and bool(set(kinds) & set(FINDERS))
        and isinstance(names, dict)
        and "person" in {str(name).casefold() for name in names.values()}
    )


def _folders(models: Path, hub: Path) -> Iterator[tuple[str, Path, dict[str, object]]]:
    """Names, places and configs of all that may be one."""
    places = [(path.parent.name, path.parent) for path in sorted((models / FOLDER).glob("*/config.json"))]
    places += [(path.parent.name, path.parent) for path in sorted((models / DETECTORS).glob("*/config.json"))]
    places += [(path.parents[2].name, path.parent) for path in sorted(hub.glob("models--*/snapshots/*/config.json"))]
    for name, folder in places:
        try:
            config = json.loads((folder / "config.json").read_text("utf-8"))
        except (OSError, ValueError):
            continue  # half a download, or somebody else's
        if isinstance(config, dict):
            yield name, folder, config
