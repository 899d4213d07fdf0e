"""What a request says of the faces in pictures that are drawn."""

from __future__ import annotations

from dataclasses import dataclass

from modules.contracts.enlarging import NOTHING
from modules.contracts.parameters import param


@dataclass(frozen=True, slots=True)
class FaceParams:
    """Faces of decoded pictures are drawn anew by a network. As declared they stay as they were drawn."""

    restore: bool = param(False, "Restore faces", help="Draws faces of finished pictures anew.", legacy="restore_faces")
    restorer: str = param(
        "",
        "Face restorer of drawn pictures",
        help="Empty is the one that the settings name, or the first that is there.",
        choices="restorers",
        legacy="face_restoration_model",
        override="face_restoration_model",
        infotext="Face restoration",
    )
    share: float = param(
        1.0,
        "Visibility of faces restored",
        help="How much of a restored face shows; 0 is not at all.",
        minimum=0,
        maximum=1,
        step=0.05,
        legacy="face_restoration_visibility",
        infotext="Face restoration visibility",
    )
    weight: float = param(
        0.5,
        "CodeFormer weight",
        help="0 draws the most beautiful face, 1 the one most like the given.",
        minimum=0,
        maximum=1,
        step=0.05,
        legacy="code_former_weight",
        override="code_former_weight",
        infotext="CodeFormer weight",
    )

    @property
    def acts(self) -> bool:
        """Whether faces are restored."""
        return self.restore and self.share > 0 and self.restorer.casefold() != NOTHING.casefold()


AS_DRAWN = FaceParams()
"""Faces stay as they are."""
