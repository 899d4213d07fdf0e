"""The contract of a family adapter: argument names and tensor layouts of its diffusers pipeline, and nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from PIL import Image

from modules.contracts.catalog import Family
from modules.contracts.errors import UnsupportedFeature
from modules.contracts.film import FilmPlan
from modules.prompts.encoding import EncoderSpec, Reading, repeat_to

Embedding = Mapping[str, torch.Tensor]
"""What the text encoders made of one text: tensors without a batch axis, by name; `embeds` is (tokens, width)."""
Blank = Callable[[int], Reading]
"""What the encoder at that place says of an empty text."""


class FamilyAdapter(ABC):
    """Knows how a family's pipeline wants to be spoken to. Has no state; one object serves all lanes."""

    encoders: ClassVar[tuple[EncoderSpec, ...]] = ()
    """Text encoders that read weighted text piece by piece, of any length; `assemble` makes one embedding of what they
    say. Empty where the pipeline reads whole texts itself: then `embed` asks it, and weights mean nothing."""
    repeats: ClassVar[bool] = False
    """The denoiser sees the text through attention that is the same when all of it is there twice."""
    masked: ClassVar[bool] = False
    """Embeddings have a `mask` of their tokens, so a text may be filled up to the length of another."""
    paired: ClassVar[bool] = False
    """The pipeline asks for what is wanted and what is not by two calls, or mixes them in its own way. So it is left
    unguided; the stand-in of its denoiser asks for both in one call and guides."""

    scale_inside: ClassVar[bool] = False
    """The denoiser takes the CFG scale as an input and was trained to answer as guidance at that scale would."""
    sees: ClassVar[bool] = False
    """What reads the text sees the picture that it is about, too."""

    def pipeline_name(self, family: Family) -> str:
        """The diffusers class that denoises: the plain one, or for nine-channel models the inpainting one."""
        return family.pipeline

    def embed(self, pipeline: Any, texts: Sequence[str], clip_skip: int) -> list[Embedding]:
        """Encode each text, for families without `encoders`. `clip_skip` 1 is the layer that they ordinarily take."""
        raise UnsupportedFeature(f"{type(self).__name__} reads its texts piece by piece.")

    def embed_seeing(self, pipeline: Any, text: str, picture: Image.Image) -> Embedding:
        """Encode a text beside the picture that it is about, for families whose reader `sees`."""
        raise UnsupportedFeature(f"{type(self).__name__} reads its texts without pictures.")

    def assemble(self, pipeline: Any, readings: Sequence[Reading | None], blank: Blank) -> Embedding:
        """One embedding of what each of `encoders` said; None is for one that the model lacks."""
        raise UnsupportedFeature(f"{type(self).__name__} reads whole texts.")

    def words(self, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """What the denoiser is called with for a batch of texts of equal length, by the names of its arguments."""
        return {"encoder_hidden_states": stack(embeddings, "embeds")}

    @abstractmethod
    def condition(self, positive: Sequence[Embedding], negative: Sequence[Embedding] | None) -> dict[str, Any]:
        """Arguments of the pipeline's call for a batch; `negative` is None without guidance."""

    def empty(self, embedding: Embedding) -> Embedding:
        """What stands for an empty negative prompt."""
        return embedding

    def guide(self, scale: float) -> dict[str, Any]:
        """Arguments that set the guidance."""
        return {"guidance_scale": 1.0 if self.paired else scale}

    def prepare(self, denoiser: Any) -> None:
        """Change once, when the model is opened, how its denoiser computes what it computes for everybody."""
        return

    def take(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The pipeline's arguments of its denoiser as tensors with a row a sample, where it gives other things."""
        return arguments

    def mix(self, free: torch.Tensor, bound: torch.Tensor, scale: float) -> torch.Tensor:
        """What guidance makes of the answers to what is not wanted and to what is, for `paired` families."""
        return free + scale * (bound - free)

    def give(self, answer: torch.Tensor) -> torch.Tensor:
        """The denoiser's answer as the pipeline takes it, where that is not what the sampler gets from the pipeline."""
        return answer

    def run(self, denoiser: Any, **arguments: Any) -> Any:
        """The denoiser's forward for a batch that may be of several jobs; arguments are as `take` and `words` gave
        them. Gives a tensor, or a tuple that begins with it, a row a sample."""
        return denoiser(**arguments)

    def unfold(self, decoder: Any, **arguments: Any) -> Any:
        """The forward of the second denoiser of a family with two, for a batch that may be of several jobs."""
        raise UnsupportedFeature(f"{type(self).__name__} draws in one stage.")

    def beside(self, white: torch.Tensor, latents: torch.Tensor) -> torch.Tensor | None:
        """What an inpainting model is shown beside the latents it draws: of a mask (B or 1, 1, height, width), 1 where
        to draw, and of the latents of the picture around it; None where its pipeline is told in its own way."""
        return None

    def show(self, arguments: dict[str, Any], seen: torch.Tensor) -> dict[str, Any]:
        """The denoiser's arguments with what it sees beside what it draws, (rows, C, height, width) in cells."""
        raise UnsupportedFeature(f"{type(self).__name__} shows its denoiser nothing.")

    def narrow(self, arguments: dict[str, Any], canvas: tuple[int, int], part: tuple[int, int]) -> dict[str, Any]:
        """The denoiser's arguments for a canvas as for a part of it, where they say how large it is and where its
        tokens stand; sizes are (height, width) in latent cells. What lies on the canvas is not cut here."""
        return arguments

    def hear(self, encoder: Any, **arguments: Any) -> Any:
        """A text encoder's forward for a batch that may be of several jobs."""
        return encoder(**arguments)

    def glance(self, eyes: Any, **arguments: Any) -> Any:
        """What sees a film's first picture, for a batch of `pixels` (B, 3, side, side) that may be of several jobs."""
        raise UnsupportedFeature(f"{type(self).__name__} has no eyes.")

    def lengthen(self, embedding: Embedding, length: int) -> Embedding | None:
        """The embedding with that many tokens, saying what it said; None where that cannot be."""
        own = int(embedding["embeds"].shape[0])
        if own == length:
            return embedding
        if self.repeats and length % own == 0:
            return {**embedding, "embeds": repeat_to(embedding["embeds"], length)}
        if self.masked and length > own:
            more = {"embeds": (0, 0, 0, length - own), "mask": (0, length - own)}
            return {**embedding, **{key: torch.nn.functional.pad(embedding[key], pad) for key, pad in more.items()}}
        return None

    def dress(self, pipeline: Any) -> dict[str, Any]:
        """Adapt a lane's pipeline to its model where its class does not; gives further arguments of its call."""
        return {}

    def time(self, film: FilmPlan) -> dict[str, Any]:
        """Arguments of the pipeline's call for a film, where its latents do not say how long and how fast it is."""
        return {}

    def is_guided(self, scale: float) -> bool:
        """Whether negative prompts take part at this scale."""
        return scale > 1 and not self.scale_inside

    def pack(self, latents: torch.Tensor) -> torch.Tensor:
        """From (B, C, H, W), or (B, C, T, H, W) of films, to the layout that the denoiser works on."""
        return latents

    def unpack(self, latents: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """Back to (B, C, `height`, `width`) in latent cells, or (B, C, T, `height`, `width`)."""
        return latents

    def schedule_arguments(self, config: Mapping[str, Any], cells: int, steps: int) -> dict[str, Any]:
        """Arguments for the scheduler that depend on the size; `cells` is the number of latent cells,
        `steps` that of the whole schedule."""
        return {}


def pooled_of(reading: Reading) -> torch.Tensor:
    """The one vector for the whole text. Raises `ValueError` where the encoder was not asked for it."""
    if reading.pooled is None:
        raise ValueError("This encoder gives no vector for the whole text.")
    return reading.pooled


def stack(embeddings: Sequence[Embedding], name: str) -> torch.Tensor:
    """One tensor of all texts."""
    return torch.stack([embedding[name] for embedding in embeddings])
