"""What a request says of films: how many frames, how fast they follow, and the file they are kept in."""

from __future__ import annotations

from dataclasses import dataclass

from modules.contracts.parameters import param

FILM_FORMATS = ("webp", "png", "avif", "mp4")
"""File formats that hold several pictures."""
MOST_FRAMES = 257
SLOWEST, FASTEST = 1, 120


@dataclass(frozen=True, slots=True)
class FilmParams:
    """For models that draw films. As declared a film is as long and as fast as the model likes it."""

    frames: int | None = param(
        None,
        "Frames",
        help="How many pictures a film has; 1 is a still picture, None what the model likes best.",
        minimum=1,
        maximum=MOST_FRAMES,
        step=1,
        legacy="frames",
        infotext="Frames",
    )
    fps: int | None = param(
        None,
        "Frames per second",
        help="How fast they follow each other; None is the speed that the model was trained with.",
        minimum=SLOWEST,
        maximum=FASTEST,
        step=1,
        legacy="fps",
        infotext="FPS",
    )
    format: str = param(
        "webp",
        "Film format",
        help="The file of a film: WebP and MP4 are small, PNG keeps every pixel and is large; MP4 is an extra.",
        choices=FILM_FORMATS,
        legacy="film_format",
        override="film_format",
    )


MODELS_LIKING = FilmParams()
"""A film as the model likes it."""


@dataclass(frozen=True, slots=True)
class FilmPlan:
    """A film with nothing left open."""

    frames: int
    """As many as latent frames stand for."""
    fps: int
    latent_frames: int
    format: str = "webp"

    @property
    def moves(self) -> bool:
        """There is more than one frame."""
        return self.frames > 1
