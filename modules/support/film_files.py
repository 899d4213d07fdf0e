"""Which files this installation can make of films: MP4 needs the package PyAV, which is the extra `video`."""

from __future__ import annotations

import importlib.util

from modules.contracts.errors import UnsupportedFeature

MP4 = "mp4"
PACKAGE = "av"
COMMAND = "python launch.py --extra video"


def check_film_format(fmt: str) -> None:
    """Raise `UnsupportedFeature` where films of that format can neither be written nor shown here. Imports nothing."""
    if fmt == MP4 and importlib.util.find_spec(PACKAGE) is None:
        raise UnsupportedFeature(
            "Films in MP4 are made by the package PyAV (av), which is not installed; get it with: "
            f"{COMMAND}; or ask for the film in webp, png or avif"
        )
