"""What a request says of style transfer: a picture whose look another one is to have, and two strengths."""

from __future__ import annotations

from dataclasses import dataclass, field

from modules.contracts.parameters import param

AUTOMATIC, PROMPTED, SHARED, STATISTICS = "automatic", "image prompt", "shared attention", "statistics"
STYLE_METHODS = (AUTOMATIC, PROMPTED, SHARED, STATISTICS)


@dataclass(frozen=True, slots=True)
class StyleParams:
    """The look of a picture. The job's own picture, where it starts from one, is the content. Without a style picture
    nothing is changed."""

    method: str = param(
        AUTOMATIC,
        "Style method",
        help="image prompt is by an IP-Adapter, shared attention needs none, statistics draws nothing at all; "
        "automatic takes the first that the model can have.",
        choices=STYLE_METHODS,
        legacy="style_method",
        infotext="Style method",
    )
    strength: float = param(
        1.0,
        "Style strength",
        help="How much of the look comes from the style picture; 0 is as without.",
        minimum=0,
        maximum=1,
        step=0.05,
        legacy="style_strength",
        infotext="Style strength",
    )
    content: float = param(
        0.5,
        "Content strength",
        help="How firmly the shapes of the picture that the job starts from are held; 1 halves the denoising strength.",
        minimum=0,
        maximum=1,
        step=0.05,
        legacy="style_content",
        infotext="Content strength",
    )
    adapter: str = param(
        "",
        "Style adapter",
        help="The IP-Adapter of an image prompt; empty is the first that fits the model.",
        legacy="style_adapter",
        infotext="Style adapter",
    )
    image: bytes = field(default=b"", repr=False)
    """The style picture, encoded."""

    def anew(self, denoising_strength: float) -> float:
        """How much of a picture is drawn anew where that was asked for: the firmer its shapes are held, the less."""
        return denoising_strength * (1 - self.content / 2) if self.acts else denoising_strength

    @property
    def acts(self) -> bool:
        """There is a style, and it counts for something."""
        return bool(self.image) and self.strength > 0


NO_STYLE = StyleParams()
"""No style picture."""
