"""Colour correction: what was drawn from a picture gets that picture's colours back."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]
FINENESS = 4
"""Steps of one unit of CIELAB's a and b between which values are not told apart."""


def match_colours(drawn: Image.Image, reference: Image.Image) -> Image.Image:
    """`drawn` (RGB) with the distribution of colours of `reference`, which may be of another size.

    In CIELAB the histograms of a and b are matched to the reference's (Gonzalez and Woods, Digital Image Processing,
    section 3.3); lightness stays as it was drawn, as A1111 keeps it.
    """
    lab, wanted = _to_lab(drawn), _to_lab(reference)
    for channel in (1, 2):
        lab[..., channel] = _match(lab[..., channel], wanted[..., channel])
    rgb = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    return Image.fromarray(np.round(np.clip(rgb, 0, 1) * 255).astype(np.uint8))


def _to_lab(image: Image.Image) -> Floats:
    return np.asarray(cv2.cvtColor(np.asarray(image.convert("RGB"), np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def _match(values: Floats, wanted: Floats) -> Floats:
    """`values` moved so that they are spread as `wanted` are."""
    _, places, counts = np.unique(np.round(values * FINENESS), return_inverse=True, return_counts=True)
    levels, known = np.unique(np.round(wanted * FINENESS), return_counts=True)
    # The middle of each level's share, so that a flat area maps onto the middle of a flat area.
    shares = (np.cumsum(counts) - counts / 2) / counts.sum()
    reached = (np.cumsum(known) - known / 2) / known.sum()
    moved = np.interp(shares, reached, levels / FINENESS)
    return np.asarray(moved[places].reshape(values.shape), np.float32)
