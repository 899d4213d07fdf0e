"""The pocket model as the tutor of a network that learns by flow matching: it says velocities without noise in them.

The velocity that flow matching regresses on is that of one picture and one noise, of which a network can learn no more
than the mean. A trained denoiser knows that mean already (its expectation of the picture, by Tweedie's formula), so a
student that is told it gets the same gradient without its noise, and with guidance folded in (arXiv:2210.03142).
Both see the same latents: those of flow matching at time t, (1 - t) picture + t noise, are those of a diffusion whose
ratio of picture to noise is the same, times sqrt((1 - t)^2 + t^2).
"""

from __future__ import annotations

import torch

from modules.pocket.stages.base import Base
from modules.training.precision import Precision


class Tutor:
    """Speaks for a frozen base whose tokens and latents are the student's."""

    def __init__(self, base: Base, guidance: float = 1.0) -> None:
        """`guidance` is the scale of classifier-free guidance (arXiv:2207.12598) that is folded in; 1 is none."""
        self._base, self._guidance = base, guidance
        self._empty = base.embed([""])
        self._ratios = ((1 - base.levels) / base.levels).log()

    def moments(self, times: torch.Tensor) -> torch.Tensor:
        """The base's timesteps, with fractions, at which pictures are as noisy as at `times` (n,) of the flow; where
        these are noisier than all of its own, the last."""
        wanted = 2 * (times / (1 - times).clamp_min(1e-6)).clamp_min(1e-6).log()
        above = torch.searchsorted(self._ratios, wanted.contiguous()).clamp(1, len(self._ratios) - 1)
        low, high = self._ratios[above - 1], self._ratios[above]
        return (above - 1 + ((wanted - low) / (high - low))).clamp(0, len(self._ratios) - 1)

    @torch.no_grad()
    def velocity(self, latents: torch.Tensor, times: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """The mean velocity, noise - picture, at latents (n, c, h, w) of `times` (n,) for token numbers (n, length)."""
        words = self._base.text_encoder(input_ids=ids).last_hidden_state.float()
        share = times[:, None, None, None]
        seen = latents / (share.square() + (1 - share).square()).sqrt()
        moments = self.moments(times)
        said = self._say(seen, moments, words)
        if self._guidance != 1:
            plain = self._say(seen, moments, self._empty.expand_as(words))
            said = plain + self._guidance * (said - plain)
        ratio = self._ratio(moments)[:, None, None, None].exp()
        kept, lost = (1 / (1 + ratio)).sqrt(), (ratio / (1 + ratio)).sqrt()
        if self._base.velocity:
            return (lost * seen + kept * said) - (kept * seen - lost * said)
        return said - (seen - lost * said) / kept

    def _ratio(self, moments: torch.Tensor) -> torch.Tensor:
        """Logarithms of noise to picture at timesteps with fractions."""
        low = moments.floor().long().clamp(0, len(self._ratios) - 2)
        return torch.lerp(self._ratios[low], self._ratios[low + 1], moments - low)

    def _say(self, latents: torch.Tensor, moments: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        with Precision(self._base.device).autocast():
            said = self._base.unet(latents, moments, encoder_hidden_states=words, return_dict=False)[0]
        answer: torch.Tensor = said.float()
        return answer
