"""How long and how fast a film is, and what of a request has no meaning for one."""

from __future__ import annotations

from modules.contracts.catalog import Family
from modules.contracts.errors import UnsupportedFeature
from modules.contracts.film import FilmPlan
from modules.contracts.request import GenerationRequest
from modules.support.film_files import check_film_format


def check_first_frame(request: GenerationRequest, family: Family) -> None:
    """Raise `UnsupportedFeature` for what cannot be together with a picture that a film begins with."""
    if request.image is None or not family.first_frame:
        return
    wishes = {
        "a film of one frame would be the picture alone; ask for more": request.film.frames == 1,
        "they are drawn whole; leave tiles out": request.tiles.covers(hires=False) or request.upscale.acts,
        "margins cannot be drawn round it": request.outpaint.acts,
    }
    for sentence, wished in wishes.items():
        if wished:
            raise UnsupportedFeature(f"{family.label} begins films with the given picture: {sentence}.")


def plan_film(request: GenerationRequest, family: Family, notes: list[str]) -> FilmPlan | None:
    """The film that a family of films is to draw; None for families of pictures, with a note where one was asked for.

    The number of frames is brought to the nearest one that whole latent frames stand for. Raises `UnsupportedFeature`
    for a film's file that cannot be written here.
    """
    wanted = request.film
    if not family.frame_factor:
        if (wanted.frames or 1) > 1 or wanted.fps is not None:
            notes.append(f"{family.label} draws still pictures; frames and their speed were left out.")
        return None
    check_film_format(wanted.format)
    asked = int(family.defaults["frames"]) if wanted.frames is None else wanted.frames
    further = round((asked - 1) / family.frame_factor)
    frames = further * family.frame_factor + 1
    if frames != asked:
        notes.append(
            f"{asked} frames were brought to {frames}, as {family.label} draws one and then {family.frame_factor} "
            "at a time."
        )
    fps = int(family.defaults["fps"]) if wanted.fps is None else wanted.fps
    if request.tone.acts or request.reach.acts:
        notes.append(f"{family.label} draws films; corrections of brightness and colour were left out.")
    return FilmPlan(frames, fps, 1 + further, wanted.format)
