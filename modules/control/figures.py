"""What of people each preprocessor draws that draws more than their bodies."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Parts:
    """What of people is drawn."""

    body: bool = True
    hands: bool = False
    face: bool = False


FIGURES = {
    "openpose_hand": Parts(hands=True),
    "openpose_face": Parts(face=True),
    "openpose_faceonly": Parts(body=False, face=True),
    "openpose_full": Parts(hands=True, face=True),
    "dw_openpose_full": Parts(hands=True, face=True),
}
"""By the names of the table."""
