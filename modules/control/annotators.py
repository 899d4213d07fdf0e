"""Preprocessors whose maps a network makes: which networks those are, and which of them are there. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from modules.contracts.controls import PreprocessorEntry
from modules.control.figures import FIGURES
from modules.sd_models.scan import WEIGHTS

ONNX = ".onnx"
FOLDER = "annotators"
"""Below the models folder; what was fetched from the hub is looked at as well."""
LABELS = 150
"""Classes of ADE20K, which segmentation ControlNets were trained on."""
FINDERS = ("YolosForObjectDetection", "DetrForObjectDetection")
DETECTORS = "detectors"
"""Where those that find people may stand, too."""
POSES = frozenset({"openpose", *FIGURES})
"""Those that look at people one by one."""
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


@dataclass(frozen=True, slots=True)
class Single:
    """The small network of a preprocessor, which is a file of its own."""

    file: str
    """As it was published; with the ending of safetensors it is taken as well, before that one, unless it is ONNX."""
    hub_id: str
    size: str

    @property
    def names(self) -> tuple[str, ...]:
        """What the file may be called, the best first."""
        if self.file.endswith(ONNX):
            return (self.file,)
        return (Path(self.file).with_suffix(WEIGHTS).name, self.file)


PUBLISHED = "lllyasviel/Annotators"
"""Where ControlNet's authors keep the networks of its preprocessors."""
HED = Single("ControlNetHED.pth", PUBLISHED, "29 MB")
PIDINET = Single("table5_pidinet.pth", PUBLISHED, "3 MB")
DWPOSE = Single("dw-ll_ucoco_384.onnx", "yzd-v/DWPose", "134 MB")
SINGLE = {
    **dict.fromkeys(FIGURES, DWPOSE),
    "softedge_hed": HED,
    "softedge_hedsafe": HED,
    "scribble_hed": HED,
    "softedge_pidinet": PIDINET,
    "softedge_pidisafe": PIDINET,
    "scribble_pidinet": PIDINET,
    "lineart_realistic": Single("sk_model.pth", PUBLISHED, "17 MB"),
    "lineart_coarse": Single("sk_model2.pth", PUBLISHED, "17 MB"),
    "lineart_anime": Single("netG.pth", PUBLISHED, "218 MB"),
    "mlsd": Single("mlsd_large_512_fp32.pth", PUBLISHED, "6 MB"),
}
"""By the names of the table."""
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
    single = SINGLE.get(name)
    if single is not None:
        return (
            f"The preprocessor {name} needs the network {single.file} ({single.size}): fetch it with `python launch.py "
            f"models pull {single.hub_id} --file {single.file}`, or put it into models/{FOLDER}."
        )
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
    files = dict(_files(models, hub))
    found = []
    for entry in entries:
        wanted, single, weights = WANTED.get(entry.name), SINGLE.get(entry.name), None
        if wanted is not None:
            weights = next((path for name, path, config in there if wanted.fits(name, config)), None)
        elif single is not None:
            weights = next((files[name] for name in single.names if name in files), None)
        if weights is None:
            found.append(entry)
        else:
            found.append(replace(entry, weights=weights, needs=None, finder=finder if entry.name in POSES else None))
    return tuple(found)


def _files(models: Path, hub: Path) -> Iterator[tuple[str, Path]]:
    """Names and places of the small networks that are there, the installation's own last."""
    wanted = {name for single in SINGLE.values() for name in single.names}
    places = [*sorted(hub.glob("models--*/snapshots/*/*")), *sorted((models / FOLDER).rglob("*"))]
    yield from ((path.name, path) for path in places if path.name in wanted and path.is_file())


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
