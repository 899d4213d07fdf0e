"""Colours and brightness of a picture: what tile, blur, recolour, shuffle and colour segmentation models look at."""

from __future__ import annotations

import cv2
import numpy as np

from modules.control.preprocessors.base import Numbers, Pixels, as_rgb

BEND = 16
"""Pixels of the shorter side for each bend of a shuffled picture."""
FEWEST, MOST_PIXELS = 2, 20_000
"""Colours of a segmentation at least, and pixels from which they are learnt at most."""


def keep(image: Pixels, numbers: Numbers) -> Pixels:
    """The picture as it is."""
    return image


def invert(image: Pixels, numbers: Numbers) -> Pixels:
    """Black lines on white paper become white ones on black."""
    return 255 - image


def binarise(image: Pixels, numbers: Numbers) -> Pixels:
    """White where the picture is brighter than `a`, black elsewhere."""
    return as_rgb(255.0 * (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) > numbers.a))


def coarsen(image: Pixels, numbers: Numbers) -> Pixels:
    """The picture made smaller by the factor `a` and larger again, so that only coarse shapes and colours are left."""
    height, width = image.shape[:2]
    factor = max(numbers.a, 1.0)
    small = (max(round(width / factor), 1), max(round(height / factor), 1))
    return np.asarray(cv2.resize(cv2.resize(image, small, interpolation=cv2.INTER_AREA), (width, height)), np.uint8)


def blur(image: Pixels, numbers: Numbers) -> Pixels:
    """A Gaussian blur with the standard deviation `a` in pixels."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), max(numbers.a, 1e-3)), np.uint8)


def take_luminance(image: Pixels, numbers: Numbers) -> Pixels:
    """Lightness as the eye sees it (L of CIE Lab), with `a` as gamma."""
    return _bent(cv2.cvtColor(image, cv2.COLOR_RGB2LAB)[..., 0], numbers.a)


def take_intensity(image: Pixels, numbers: Numbers) -> Pixels:
    """The brightest of the three colours (V of HSV), with `a` as gamma."""
    return _bent(cv2.cvtColor(image, cv2.COLOR_RGB2HSV)[..., 2], numbers.a)


def _bent(plane: Pixels, gamma: float) -> Pixels:
    return as_rgb((plane.astype(np.float32) / 255.0) ** gamma * 255.0)


def shuffle(image: Pixels, numbers: Numbers) -> Pixels:
    """The picture bent by a smooth random field of the seed: its colours stay, its shapes go.

    As the authors of ControlNet 1.1 do for their shuffle model; which field it is, is ours.
    """
    height, width = image.shape[:2]
    random = np.random.default_rng(numbers.seed)
    cells = (max(height // (min(height, width) // 4 + 1), 2) + 1, max(width // (min(height, width) // 4 + 1), 2) + 1)
    places = []
    for length in (width, height):
        field = random.uniform(-0.2, 1.2, cells).astype(np.float32)
        smooth = cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC)
        places.append(np.clip(smooth, 0.0, 1.0).astype(np.float32) * (length - 1))
    return np.asarray(cv2.remap(image, places[0], places[1], cv2.INTER_LINEAR), np.uint8)


def segment(image: Pixels, numbers: Numbers) -> Pixels:
    """Areas of one colour each: k-means of `a` colours in CIE Lab, areas smoothed by a median.

    It knows colours and no kinds of things, so it is not what ADE20K models were trained on.
    """
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float32)
    unique = np.unique(lab, axis=0)
    count = min(max(round(numbers.a), FEWEST), len(unique))
    random = np.random.default_rng(numbers.seed)
    some = lab[random.choice(len(lab), min(len(lab), MOST_PIXELS), replace=False)]
    centres = _centres(some, unique if len(unique) <= count else None, count, random)
    nearest = np.stack([((lab - centre) ** 2).sum(axis=1) for centre in centres]).argmin(axis=0)
    areas = cv2.medianBlur(nearest.reshape(image.shape[:2]).astype(np.uint8), 3)
    colours = cv2.cvtColor(np.clip(np.rint(centres), 0, 255).astype(np.uint8)[None], cv2.COLOR_LAB2RGB)[0]
    return np.asarray(colours[areas], np.uint8)


def _centres(some: np.ndarray, known: np.ndarray | None, count: int, random: np.random.Generator) -> np.ndarray:
    """Colours of the areas: Lloyd's algorithm from spread-out beginnings (k-means++, Arthur and Vassilvitskii 2007)."""
    if known is not None:
        return known
    chosen = [some[random.integers(len(some))]]
    distance = ((some - chosen[0]) ** 2).sum(axis=1)
    while len(chosen) < count and distance.sum() > 0:
        chosen.append(some[random.choice(len(some), p=distance / distance.sum())])
        distance = np.minimum(distance, ((some - chosen[-1]) ** 2).sum(axis=1))
    centres = np.stack(chosen)
    for _ in range(12):
        nearest = ((some[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
        for place in range(len(centres)):
            if (nearest == place).any():
                centres[place] = some[nearest == place].mean(axis=0)
    return centres
