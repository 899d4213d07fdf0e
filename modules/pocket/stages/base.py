"""The model that the other stages build on: any folder in the layout of Stable Diffusion 1.5, frozen, and its loss.

Nothing here knows the pocket world or its sizes, so the stages that stand on it also tune a user's model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modules.training.precision import Precision

SNR_LIMIT = 5.0
"""Where the picture rules, the loss is cut as in min-SNR (arXiv:2303.09556)."""

MIDDLE = (0.1, 0.65)
"""The part of the schedule in which outlines are decided: with less noise only texture is open, with more all is."""

Guess = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From noisy latents (n, c, h, w) and timesteps (n,) to what the network takes the target to be."""


@dataclass(frozen=True, slots=True)
class Base:
    """The frozen parts of a model, and what its denoiser was trained to say."""

    folder: Path
    device: str
    tokenizer: Any
    text_encoder: Any
    vae: Any
    unet: Any
    levels: torch.Tensor
    """Cumulative products of the noise schedule, float32, one for each timestep."""
    velocity: bool
    """Whether the denoiser says v (arXiv:2202.00512); otherwise it says the noise."""

    @property
    def factor(self) -> int:
        """Pixels along one side of a latent cell."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def side(self) -> int:
        """Native width and height in pixels."""
        return int(self.unet.config.sample_size) * self.factor

    @torch.no_grad()
    def encode(self, pictures: NDArray[np.uint8] | torch.Tensor) -> torch.Tensor:
        """Latents as the denoiser sees them, float32 (n, c, h/8, w/8).

        `pictures` are uint8 (n, h, w, 3), or float (n, 3, h, w) in -1..1 already.
        """
        wanted = to_tensor(pictures) if isinstance(pictures, np.ndarray) else pictures
        with Precision(self.device).autocast():
            mean = self.vae.encode(wanted.to(self.device)).latent_dist.mean.float()
        latents: torch.Tensor = (mean - (self.vae.config.shift_factor or 0.0)) * self.vae.config.scaling_factor
        return latents

    def tokens(self, texts: list[str]) -> torch.Tensor:
        """Token numbers (n, length), padded and cut as the pipeline does it."""
        length = int(self.tokenizer.model_max_length)
        ids: torch.Tensor = self.tokenizer(
            texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).input_ids
        return ids.to(self.device)

    @torch.no_grad()
    def embed(self, texts: list[str]) -> torch.Tensor:
        """Hidden states as the pipeline uses them, float32 (n, length, width)."""
        hidden: torch.Tensor = self.text_encoder(input_ids=self.tokens(texts)).last_hidden_state
        return hidden.float()


def to_tensor(pictures: NDArray[np.uint8]) -> torch.Tensor:
    """uint8 (n, h, w, 3) to float32 (n, 3, h, w) in -1..1."""
    return torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))).float() / 127.5 - 1


def open_base(folder: Path, device: str = "cpu") -> Base:
    """The model in `folder` in float32, frozen. From disk only.

    Raises FileNotFoundError where there is none, and ValueError where its denoiser says neither noise nor v.
    """
    from diffusers import StableDiffusionPipeline

    if not (folder / "model_index.json").exists():
        raise FileNotFoundError(folder / "model_index.json")
    pipeline = StableDiffusionPipeline.from_pretrained(str(folder), local_files_only=True)
    said = pipeline.scheduler.config.prediction_type
    if said not in ("epsilon", "v_prediction"):
        raise ValueError(f"The model in {folder.name} says {said!r}; epsilon or v_prediction is needed.")
    for part in (pipeline.text_encoder, pipeline.vae, pipeline.unet):
        part.to(device).eval().requires_grad_(False)
    plain_attention(pipeline.unet, device)
    levels = pipeline.scheduler.alphas_cumprod.float().to(device)
    return Base(
        folder,
        device,
        pipeline.tokenizer,
        pipeline.text_encoder,
        pipeline.vae,
        pipeline.unet,
        levels,
        said == "v_prediction",
    )


def plain_attention(module: Any, device: str) -> None:
    """Takes the fused attention out on a CPU, where its backward pass is several times slower than the plain one's."""
    from diffusers.models.attention_processor import AttnProcessor

    if torch.device(device).type == "cpu":
        module.set_attn_processor(AttnProcessor())


def denoising_loss(
    base: Base,
    clean: torch.Tensor,
    guess: Guess,
    lot: np.random.Generator,
    focus: torch.Tensor | None = None,
    middle: float = 0.0,
) -> torch.Tensor:
    """How far `guess` is off on `clean` latents at timesteps spread evenly over the schedule; a scalar.

    Noise comes from torch's generator, timesteps from `lot`. `focus` (n, 1, h, w) weighs places; None: all alike. A
    share `middle` of the samples is spread over the MIDDLE of the schedule alone.
    """
    inner = round(len(clean) * middle)
    first, last = MIDDLE
    places = np.concatenate([first + (last - first) * _spread(lot, inner), _spread(lot, len(clean) - inner)])
    times = torch.from_numpy((places * len(base.levels)).astype(np.int64)).to(base.device)
    level = base.levels[times]
    kept, lost = level.sqrt()[:, None, None, None], (1 - level).sqrt()[:, None, None, None]
    noise = torch.randn_like(clean)
    noisy = kept * clean + lost * noise
    wanted = kept * noise - lost * clean if base.velocity else noise
    with Precision(base.device).autocast():
        guessed = guess(noisy, times)
    errors = (guessed.float() - wanted).square()
    if focus is not None:
        errors = errors * focus
    ratio = level / (1 - level).clamp_min(1e-6)
    weight = (SNR_LIMIT / (ratio + 1 if base.velocity else ratio.clamp_min(1e-6))).clamp(max=1.0)
    return (errors.mean(dim=(1, 2, 3)) * weight).mean()


def _spread(lot: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Numbers in 0..1, one in each of `count` equal parts, in random order."""
    return (lot.permutation(count) + lot.random(count)) / max(1, count)
