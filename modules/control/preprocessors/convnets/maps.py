"""What a small network makes of a picture: which network a preprocessor has, and how its answer becomes a map."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from modules.control.preprocessors.base import Pixels, Plane, as_rgb
from modules.control.preprocessors.convnets.drawings import Anime, Drawing
from modules.control.preprocessors.convnets.hed import Hed
from modules.control.preprocessors.convnets.mlsd import Mlsd, find_lines
from modules.control.preprocessors.convnets.pidinet import PiDiNet

Network = Any
Draw = Callable[[Network, Pixels, Sequence[float]], Pixels]
"""The map, of the picture's size, by the preprocessor's numbers."""
STEPS = 2
"""Steps of brightness above black of the maps that are called safe."""
STROKE, THICK, RIM = 127.0, 3.0, 4.0
"""How bright an edge has to be for a scribble, the standard deviation in pixels of what makes it broad, and how bright
a place then has to be."""
ROWS = ("...###...", ".#..#..#.", "#...#...#", "..#.#.#..")
"""The four directions, three pixels each, in which an edge is thinned."""
FOUR, STRAIGHT, DEEPEST = 4, 64, 256
"""What both sides are multiples of when drawings are made, straight lines found, and anime drawings made."""


@dataclass(frozen=True, slots=True)
class Artist:
    """How a preprocessor with a small network works."""

    build: Callable[[], nn.Module]
    draw: Draw


def show(image: Pixels, least: float = 0.0, most: float = 1.0) -> torch.Tensor:
    """The picture (H, W, 3) as (1, 3, H, W), black as `least` and white as `most`."""
    plain = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
    return plain * ((most - least) / 255.0) + least


def in_steps(edges: Plane) -> Plane:
    """Edges of 0 to 1 in few steps, so that faint ones carry nothing of the picture itself."""
    return np.minimum(np.floor(edges * (STEPS + 1)) / STEPS, 1.0)


def scribble(edges: Plane) -> Pixels:
    """Broad white strokes along the ridges of edges of 0 to 1.

    A ridge is what is largest along one of four directions, of the blurred edges (non-maximum suppression, Canny 1986).
    """
    smooth = cv2.GaussianBlur((edges * 255.0).astype(np.float32), (0, 0), THICK)
    kernels = [np.array([mark == "#" for mark in row], np.uint8).reshape(3, 3) for row in ROWS]
    ridge = np.any([cv2.dilate(smooth, kernel) == smooth for kernel in kernels], axis=0) & (smooth > STROKE)
    broad = cv2.GaussianBlur(ridge.astype(np.float32) * 255.0, (0, 0), THICK)
    return as_rgb(255.0 * (broad > RIM))


def _by_hed(network: Network, image: Pixels) -> Plane:
    found: Plane = network(show(image, 0.0, 255.0))[0, 0].numpy()
    return found


def _by_pidinet(network: Network, image: Pixels) -> Plane:
    found: Plane = network(show(image[..., ::-1]))[0, 0].numpy()
    return found


def _softly(look: Callable[[Network, Pixels], Plane]) -> Draw:
    return lambda network, image, numbers: as_rgb(255.0 * look(network, image))


def _safely(look: Callable[[Network, Pixels], Plane]) -> Draw:
    return lambda network, image, numbers: as_rgb(255.0 * in_steps(look(network, image)))


def _broadly(look: Callable[[Network, Pixels], Plane]) -> Draw:
    return lambda network, image, numbers: scribble(look(network, image))


def draw_lines(network: Network, image: Pixels, numbers: Sequence[float]) -> Pixels:
    """White lines on black; the picture's border is carried on to whole steps of four pixels."""
    height, width = image.shape[:2]
    room = (0, -width % FOUR, 0, -height % FOUR)
    drawn = network(functional.pad(show(image), room, mode="replicate"))[0, 0, :height, :width]
    return as_rgb(255.0 * (1.0 - drawn.numpy()))


def draw_anime(network: Network, image: Pixels, numbers: Sequence[float]) -> Pixels:
    """White lines on black, looked at with both sides stretched to whole steps of 256 pixels."""
    height, width = image.shape[:2]
    seen = (width + -width % DEEPEST, height + -height % DEEPEST)
    drawn = network(show(np.asarray(cv2.resize(image, seen, interpolation=cv2.INTER_CUBIC)), -1.0, 1.0))[0, 0]
    line = cv2.resize(drawn.numpy(), (width, height), interpolation=cv2.INTER_CUBIC)
    return as_rgb(255.0 - (line * 127.5 + 127.5))


def draw_straight(network: Network, image: Pixels, numbers: Sequence[float]) -> Pixels:
    """Straight white lines, one pixel wide, on black; the numbers are how sure and how long they have to be."""
    height, width = image.shape[:2]
    seen = (max(round(width / STRAIGHT), 1) * STRAIGHT, max(round(height / STRAIGHT), 1) * STRAIGHT)
    shown = show(np.asarray(cv2.resize(image, seen, interpolation=cv2.INTER_AREA)), -1.0, 1.0)
    ones = torch.full_like(shown[:, :1], 1.0 / 127.5 - 1.0)
    sure, long = numbers
    canvas = np.zeros(image.shape[:2], np.uint8)
    scale = np.array([width / seen[0], height / seen[1]] * 2) * 2.0
    for left, top, right, bottom in (find_lines(network(torch.cat([shown, ones], 1))[0], sure, long) * scale).tolist():
        cv2.line(canvas, (int(left), int(top)), (int(right), int(bottom)), 255, 1)
    return as_rgb(canvas)


ARTISTS: Mapping[str, Artist] = {
    "softedge_hed": Artist(Hed, _softly(_by_hed)),
    "softedge_hedsafe": Artist(Hed, _safely(_by_hed)),
    "scribble_hed": Artist(Hed, _broadly(_by_hed)),
    "softedge_pidinet": Artist(PiDiNet, _softly(_by_pidinet)),
    "softedge_pidisafe": Artist(PiDiNet, _safely(_by_pidinet)),
    "scribble_pidinet": Artist(PiDiNet, _broadly(_by_pidinet)),
    "lineart_realistic": Artist(Drawing, draw_lines),
    "lineart_coarse": Artist(Drawing, draw_lines),
    "lineart_anime": Artist(Anime, draw_anime),
    "mlsd": Artist(Mlsd, draw_straight),
}
"""By the names of the table."""
