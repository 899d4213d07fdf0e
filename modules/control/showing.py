"""What a preprocessor makes of a picture, for people to look at."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from modules.contracts.control import ControlUnit
from modules.contracts.controls import PreprocessorEntry
from modules.contracts.errors import InvalidRequest
from modules.control.geometry import resize
from modules.control.hints import HALF, See, make_map
from modules.control.preprocessors.base import Pixels


def show(entry: PreprocessorEntry, unit: ControlUnit, see: See) -> Image.Image:
    """The map of a unit whose picture and mask were decoded and encoded anew before; `see` looks with a network.

    Raises `InvalidRequest` without a picture, and without a mask where one is wanted.
    """
    if not unit.image:
        raise InvalidRequest("There is no picture for the preprocessor to look at; send one.")
    found = make_map(entry, unit, pixels_of(Image.open(io.BytesIO(unit.image))), None, 0, see)
    if entry.masked:
        if not unit.mask:
            raise InvalidRequest(f"The preprocessor {entry.name} wants a mask, white where to draw anew; send one.")
        mask = np.asarray(Image.open(io.BytesIO(unit.mask)).convert("L"), np.uint8)
        found = found.copy()
        found[resize(mask, (found.shape[1], found.shape[0])) > HALF] = 0
    return Image.fromarray(found)


def pixels_of(image: Image.Image) -> Pixels:
    """RGB pixels of a picture; what is transparent lies on white."""
    if image.has_transparency_data:
        layers = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), layers)
    return np.asarray(image.convert("RGB"), np.uint8)
