"""From a unit's picture to what a ControlNet sees: preprocessed, at exactly the size of the drawing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modules.contracts.control import REFERENCES, ControlUnit
from modules.contracts.controls import PreprocessorEntry
from modules.contracts.errors import InvalidRequest
from modules.control.figures import FIGURES
from modules.control.geometry import USUAL, Size, fit, perfect_side, resize, scale_to
from modules.control.preprocessors import lines, tones
from modules.control.preprocessors.base import Numbers, Pixels, Preprocess

Floats = NDArray[np.float32]
See = Callable[[PreprocessorEntry, Pixels, Sequence[float]], Pixels]
"""Makes a map by the network of an entry that has one, and the entry's numbers."""
HIDDEN = -1.0
"""Value of pixels that an inpaint ControlNet is to fill, as its authors trained it."""
HALF = 127

FUNCTIONS: Mapping[str, Preprocess] = {
    "none": tones.keep,
    "canny": lines.find_canny,
    "scribble_xdog": lines.draw_scribble,
    "lineart_standard": lines.draw_lines,
    "softedge_gradient": lines.soften_edges,
    "softedge_gradient_safe": lines.soften_edges_safely,
    "tile_resample": tones.coarsen,
    "blur_gaussian": tones.blur,
    "recolor_luminance": tones.take_luminance,
    "recolor_intensity": tones.take_intensity,
    "threshold": tones.binarise,
    "invert": tones.invert,
    "shuffle": tones.shuffle,
    "segment_colors": tones.segment,
    "inpaint": tones.keep,
    "inpaint_global_harmonious": tones.keep,
    **dict.fromkeys(REFERENCES, tones.keep),
    "ip-adapter-auto": tones.keep,
    "ip-adapter_clip_sd15": tones.keep,
    "ip-adapter_clip_sdxl": tones.keep,
    "ip-adapter_clip_sdxl_plus_vith": tones.keep,
}
"""By the names of the table."""
SEEDED = frozenset({"shuffle"})
"""Those whose map is another one for another seed."""
HARD = frozenset(
    {
        *("canny", "scribble_xdog", "scribble_hed", "scribble_pidinet", "mlsd", "threshold"),
        *("segment_colors", "seg_ufade20k", "openpose", *FIGURES),
    }
)
"""Those whose maps have a few colours only, which resizing must not mix."""


@dataclass(frozen=True, slots=True)
class Given:
    """A unit's picture and mask, decoded."""

    image: Pixels
    mask: Pixels | None = None
    """(H, W), white where to act."""


def make_map(
    entry: PreprocessorEntry, unit: ControlUnit, image: Pixels, target: Size | None, seed: int, see: See
) -> Pixels:
    """What the preprocessor makes of the picture, at the size at which it looked at it.

    `target` is the drawing's size, which pixel-perfect units go by; None is none. Numbers outside of what the
    preprocessor takes are brought to its bounds.
    """
    if entry.resolution:
        wanted = unit.hint.processor_res if unit.hint.processor_res > 0 else USUAL
        if unit.hint.pixel_perfect:
            height, width = image.shape[:2]
            wanted = perfect_side((width, height), target or (width, height), unit.resize_mode)
        image = scale_to(image, wanted)
    numbers = numbers_of(entry, unit)
    if entry.weights is not None:
        return see(entry, image, numbers)
    first, second = (*numbers, 0.0, 0.0)[:2]
    return FUNCTIONS[entry.name](image, Numbers(first, second, seed))


def numbers_of(entry: PreprocessorEntry, unit: ControlUnit) -> list[float]:
    """What the unit's thresholds are, as far as the preprocessor has such: its own, or brought into its bounds."""
    return [
        slider.default if value < 0 else min(max(value, slider.minimum), slider.maximum)
        for slider, value in zip(entry.sliders, (unit.hint.threshold_a, unit.hint.threshold_b), strict=False)
    ]


def make_hint(entry: PreprocessorEntry, unit: ControlUnit, given: Given, size: Size, seed: int, see: See) -> Floats:
    """Shape (height, width, 3) of `size`, 0 to 1, and -1 where an inpaint ControlNet fills in.

    Raises `InvalidRequest` where the preprocessor wants a mask and there is none.
    """
    found = make_map(entry, unit, given.image, size, seed, see)
    hint = fit(found, size, unit.resize_mode, hard=entry.name in HARD).astype(np.float32) / 255.0
    if entry.masked:
        if given.mask is None:
            raise InvalidRequest(f"The preprocessor {entry.name} wants a mask, white where to draw anew; send one.")
        hint[region_of(given, size, unit.resize_mode) > HALF] = HIDDEN
    return hint


def region_of(given: Given, size: Size, mode: str) -> Pixels:
    """The unit's mask at the drawing's size, (height, width); all white without one. Nothing of it is outside the
    picture."""
    if given.mask is None:
        return np.full((size[1], size[0]), 255, np.uint8)
    height, width = given.image.shape[:2]
    return fit(resize(given.mask, (width, height)), size, mode, fill=0)
