"""The look of one picture for another, by the statistics of their colours and textures alone: no model takes part.

Colours are carried over by iterative distribution transfer (Pitié, Kokaram and Dahyot, N-Dimensional Probability
Density Function Transfer and its Application to Colour Transfer, 2005) in CIE Lab: along one direction after the other
the content's values are brought to the places that they would have among the style's. Texture is the spread of the
bands of a Laplacian pyramid (Burt and Adelson, 1983) of the lightness, which is matched band by band as adaptive
instance normalisation does with features (Huang and Belongie, arXiv:1703.06868).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from modules.control.preprocessors.base import Pixels

Plane = NDArray[np.float32]
ROUNDS = 10
"""Directions are three at right angles a round; more change nothing that can be seen."""
CELL, NEAR = 4.0, 15.0
"""In Lab: the cell in which colours are counted, and the distance within which they are one."""
MOST_COLOURS, LEAST_SHARE = 64, 0.01
"""That a picture is taken to be made of, and what a colour has to cover of it."""
COUNTING = 0.5
"""Power of the share that a colour covers by which it counts."""
SAMPLES = 1 << 16
"""Pixels of the style that its colours are learnt from, at most."""
BANDS = 4
"""Of the pyramid, from details of a pixel to such of sixteen."""
MOST_GAIN = 3.0
"""A band is made stronger by no more than that, so that noise in what is flat is not made into texture."""
LEAST_SPREAD = 0.05
"""Of a band, in units of lightness, 0 to 100; less is no texture."""


def transfer_style(content: Pixels, style: Pixels, strength: float, hold: float) -> Pixels:
    """`content` (height, width, 3) RGB with the palette and the textures of `style`, which may be of any size.

    `strength` is how much of it shows, 0 to 1: 0 gives the content bit for bit. `hold` says whose spread the bands of
    the lightness get: the style's at 0, the content's at 1, so that edges stay as strong as they were.
    """
    if strength <= 0:
        return content
    given, wanted = (_to_lab(picture) for picture in (content, style))
    found = carry_colours(given, wanted)
    found[..., 0] = match_bands(found[..., 0], given[..., 0], wanted[..., 0], hold)
    mixed = np.asarray(given + np.float32(strength) * (found - given), np.float32)
    return _from_lab(mixed)


def carry_colours(content: NDArray[np.float32], style: NDArray[np.float32]) -> NDArray[np.float32]:
    """`content` (height, width, 3) with the distribution of the colours of `style`, as far as its own parts allow.

    It is not pixels that are moved but colours, each with all that is near it: what is flat stays flat, and its grain
    is not spread over the style's palette.
    """
    own = content.reshape(-1, 3)
    (colours, shares), (far, far_shares) = (find_colours(part.reshape(-1, 3)) for part in (content, style))
    points, chance = colours.copy(), np.random.default_rng(0)
    for number in range(ROUNDS):
        axes = np.eye(3) if number == 0 else np.linalg.qr(chance.standard_normal((3, 3)))[0]
        along, wanted = points @ axes, far @ axes
        moved = np.stack([_matched(along[:, axis], shares, wanted[:, axis], far_shares) for axis in range(3)], axis=1)
        points += (moved - along) @ axes.T
    return _moved(own, colours.astype(np.float32), (points - colours).astype(np.float32)).reshape(content.shape)


def find_colours(points: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The colours that a picture of those points (N, 3) is made of, (K, 3), and what each counts, which adds up to 1.

    The commonest first, each with all that is nearer than `NEAR` to it and to none before. What is hardly there is no
    colour of its own, and what there is much of counts for less than it covers: a small thing on a wide ground keeps
    its colour even where the other picture has a large one.
    """
    points = points[:: -(-len(points) // SAMPLES)]
    cells, places, counts = np.unique(
        np.rint(points / CELL).astype(np.int64), axis=0, return_inverse=True, return_counts=True
    )
    sums = np.stack([np.bincount(places.reshape(-1), points[:, axis], len(cells)) for axis in range(3)], axis=1)
    means = sums / counts[:, None]
    free = np.ones(len(cells), np.bool_)
    found: list[NDArray[np.float64]] = []
    shares: list[float] = []
    while free.any() and len(found) < MOST_COLOURS:
        leader = means[np.argmax(np.where(free, counts, 0))]
        mine = free & (((means - leader) ** 2).sum(axis=1) < NEAR**2)
        shares.append(counts[mine].sum() / len(points))
        found.append(sums[mine].sum(axis=0) / counts[mine].sum())
        free &= ~mine
    kept = np.asarray(shares) >= min(LEAST_SHARE, max(shares))
    weights = np.asarray(shares)[kept] ** COUNTING
    return np.asarray(found, np.float64)[kept], weights / weights.sum()


def _matched(
    values: NDArray[np.float64],
    shares: NDArray[np.float64],
    wanted: NDArray[np.float64],
    wanted_shares: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The values at the ranks that they have among those wanted: each at the middle of its own ranks, so that it gets
    a colour that there is and not a mean of several."""
    order = np.argsort(values, kind="stable")
    ranks = np.empty_like(values)
    ranks[order] = np.cumsum(shares[order]) - shares[order] / 2
    places = np.argsort(wanted, kind="stable")
    ends = np.cumsum(wanted_shares[places])
    return wanted[places[np.minimum(np.searchsorted(ends, ranks), len(places) - 1)]]


def _moved(points: NDArray[np.float32], colours: NDArray[np.float32], ways: NDArray[np.float32]) -> NDArray[np.float32]:
    """The points (N, 3), each moved like the colours that it is near to."""
    found = np.empty_like(points)
    for begin in range(0, len(points), SAMPLES):
        part = points[begin : begin + SAMPLES]
        distances = ((part[:, None] - colours[None]) ** 2).sum(axis=2)
        near = np.exp((distances.min(axis=1, keepdims=True) - distances) / np.float32(2 * (NEAR / 2) ** 2))
        found[begin : begin + SAMPLES] = part + (near / near.sum(axis=1, keepdims=True)) @ ways
    return found


def match_bands(plane: Plane, content: Plane, style: Plane, hold: float) -> Plane:
    """`plane` with each of its bands spread as those of `content` and `style` are, mixed by `hold`.

    A band in which the carried colours left nothing is the content's own: shapes that were told apart by colours of
    which the style has only one are not lost.
    """
    bands, rest = _bands_of(plane)
    own, far = _bands_of(content)[0], _bands_of(style)[0]
    for number, band in enumerate(bands):
        mine, given = float(band.std()), float(own[number].std())
        theirs = float(far[number].std()) if number < len(far) else given
        if mine < LEAST_SPREAD:
            band, mine = own[number], given
        target = hold * given + (1 - hold) * theirs
        if mine >= LEAST_SPREAD:
            band = band * np.float32(min(target / mine, MOST_GAIN))
        bands[number] = band
    for band in reversed(bands):
        rest = _grown(rest, band) + band
    return rest


def _bands_of(plane: Plane) -> tuple[list[Plane], Plane]:
    """Details from fine to coarse, and what is left; as many as a small picture has."""
    bands: list[Plane] = []
    for _ in range(BANDS):
        if min(plane.shape) < 4:
            break
        smaller = np.asarray(cv2.pyrDown(plane), np.float32)
        bands.append(plane - _grown(smaller, plane))
        plane = smaller
    return bands, plane


def _grown(plane: Plane, like: Plane) -> Plane:
    return np.asarray(cv2.pyrUp(plane, dstsize=(like.shape[1], like.shape[0])), np.float32)


def _to_lab(picture: Pixels) -> NDArray[np.float32]:
    """L of 0 to 100, a and b of about -127 to 127 (CIE 1976, D65)."""
    return np.asarray(cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def _from_lab(planes: NDArray[np.float32]) -> Pixels:
    colours = cv2.cvtColor(planes, cv2.COLOR_LAB2RGB)
    return np.asarray(np.clip(np.rint(colours * 255), 0, 255), np.uint8)
