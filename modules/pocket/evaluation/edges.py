"""Edges of pictures and how well two sets of them agree.

Edges are Canny's (A Computational Approach to Edge Detection, 1986). Two sets agree as in boundary benchmarks: an edge
pixel is right where the other set has one within a tolerance (Martin, Fowlkes and Malik, Learning to Detect Natural
Image Boundaries, 2004).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.pocket.evaluation.colours import Picture

LOW, HIGH = 50, 120
"""Canny's two thresholds on the gradient, of the strongest channel."""


def find_edges(picture: Picture) -> Picture:
    """Edges of an RGB picture (height, width, 3): 255 on an edge, 0 elsewhere, uint8 (height, width).

    Every channel is looked at, so that an edge between two colours of one lightness is found as well.
    """
    blurred = cv2.GaussianBlur(picture, (0, 0), 1.0)
    return np.maximum.reduce(
        [cv2.Canny(np.ascontiguousarray(blurred[..., channel]), LOW, HIGH) for channel in range(3)]
    )


def edges_f1(edges: Picture, wanted: Picture, tolerance: int = 2) -> float:
    """Harmonic mean of precision and recall, 0 to 1, of two edge maps (height, width), other than 0 on an edge.

    `tolerance` in pixels. Two maps without any edge agree. Raises ValueError where their sizes differ.
    """
    if edges.shape != wanted.shape:
        raise ValueError(f"edge maps of one size are compared; given {edges.shape} and {wanted.shape}")
    found, asked = edges > 0, wanted > 0
    if not found.any() and not asked.any():
        return 1.0
    precision = _near(found, asked, tolerance)
    recall = _near(asked, found, tolerance)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _near(points: NDArray[np.bool_], others: NDArray[np.bool_], tolerance: int) -> float:
    """Share of `points` that have one of `others` within the tolerance."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * tolerance + 1,) * 2)
    reach = cv2.dilate(others.astype(np.uint8), kernel) > 0
    return float(reach[points].mean()) if points.any() else 0.0
