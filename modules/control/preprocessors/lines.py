"""Lines of a picture, white on black."""

from __future__ import annotations

import cv2
import numpy as np

from modules.control.preprocessors.base import Numbers, Pixels, Plane, as_rgb

FINE, COARSE = 0.5, 5.0
"""Standard deviations in pixels of the two blurs whose difference XDoG takes."""
PAPER_BLUR = 6.0
FAINT = 8.0
"""Darker than the paper by less is no line."""
SCALES = (0.8, 1.6, 3.2)
"""Standard deviations in pixels at which the soft edge looks for change."""


def find_canny(image: Pixels, numbers: Numbers) -> Pixels:
    """Thin edges with hysteresis between thresholds `a` and `b` (Canny 1986), found in all three colours."""
    low, high = sorted((numbers.a, numbers.b))
    return as_rgb(cv2.Canny(image, low, high))


def draw_scribble(image: Pixels, numbers: Numbers) -> Pixels:
    """Broad strokes where something is darker than its surroundings by more than `a`.

    The difference of two Gaussians, thresholded (Winnemöller, Kyprianidis and Olsen, XDoG, 2012).
    """
    return as_rgb(255.0 * (_darker(image, FINE, COARSE) > numbers.a))


def draw_lines(image: Pixels, numbers: Numbers) -> Pixels:
    """Line drawing of a picture: what is darker than the blurred picture, scaled so that typical lines are half white.

    Flat areas stay black; faint texture below eight steps of brightness sets no scale.
    """
    depth = _darker(image, 0.0, PAPER_BLUR)
    lines = depth[depth > FAINT]
    typical = max(float(np.median(lines)) if lines.size else 0.0, 2 * FAINT)
    return as_rgb(depth / typical * 127.0)


def soften_edges(image: Pixels, numbers: Numbers) -> Pixels:
    """Broad edges whose brightness says how strong they are: gradients at three scales, the largest of each pixel.

    No network is behind it, unlike HED and PiDiNet, so texture is not told from outlines.
    """
    values = image.astype(np.float32)
    found: Plane = np.zeros(image.shape[:2], np.float32)
    for sigma in SCALES:
        smooth = cv2.GaussianBlur(values, (0, 0), sigma)
        across, down = (cv2.Scharr(smooth, cv2.CV_32F, *axis) / 32.0 for axis in ((1, 0), (0, 1)))
        strength = np.sqrt(across**2 + down**2).max(axis=2) * sigma
        found = np.maximum(found, strength)
    peak = float(np.percentile(found, 99.5))
    return as_rgb(255.0 * np.minimum(found / peak, 1.0)) if peak >= 1.0 else as_rgb(found)


def soften_edges_safely(image: Pixels, numbers: Numbers) -> Pixels:
    """The same in few steps of brightness, so that faint edges carry nothing of the picture itself."""
    levels = soften_edges(image, numbers).astype(np.float32) / 255.0
    return (np.floor(levels * 3.0 + 0.5) * 85.0).astype(np.uint8)


def _darker(image: Pixels, fine: float, coarse: float) -> Plane:
    """By how much each pixel is darker than its surroundings, in the colour in which it is least so; 0 to 255."""
    values = image.astype(np.float32)
    near = cv2.GaussianBlur(values, (0, 0), fine) if fine else values
    around = cv2.GaussianBlur(values, (0, 0), coarse)
    return np.clip((around - near).min(axis=2), 0.0, 255.0)
