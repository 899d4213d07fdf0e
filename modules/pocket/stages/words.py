"""The pocket text encoder as Stable Diffusion 3 wants it: twice, with a projection, read one layer before its end.

SD 3 takes the hidden states before the last layer. So a further layer that changes nothing is put behind the trained
ones: what lies before it is what the trained layers made. Both of SD 3's CLIP encoders are this one network; the third
encoder, T5, says nothing but zeros (`silent`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

PADDING = 256
"""Zero vectors behind the words, where the third encoder would speak."""


@dataclass(frozen=True, slots=True)
class Words:
    """What a network in SD 3's layout is told about a batch of texts."""

    tokens: torch.Tensor
    """(n, length + 1, 2 * width): both encoders side by side; the last token is zero and stands for PADDING."""
    pooled: torch.Tensor
    """(n, 2 * width)."""

    def __len__(self) -> int:
        return len(self.tokens)

    def part(self, rows: slice | torch.Tensor) -> Words:
        """Those of some of the texts."""
        return Words(self.tokens[rows], self.pooled[rows])

    def beside(self, other: Words) -> Words:
        """These and then the others."""
        return Words(torch.cat([self.tokens, other.tokens]), torch.cat([self.pooled, other.pooled]))

    def repeated(self, count: int) -> Words:
        """One text, `count` times."""
        return Words(self.tokens.expand(count, -1, -1), self.pooled.expand(count, -1))


def with_projection(encoder: Any) -> Any:
    """A CLIPTextModelWithProjection of a trained CLIPTextModel: one idle layer more, the projection leaves as it is.

    Frozen, in eval mode, on the CPU; `encoder` stays as it was.
    """
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    settings = {**encoder.config.to_dict(), "projection_dim": encoder.config.hidden_size}
    settings["num_hidden_layers"] += 1
    for name in ("architectures", "torch_dtype", "dtype", "model_type", "transformers_version"):
        settings.pop(name, None)
    made = CLIPTextModelWithProjection(CLIPTextConfig(**settings))
    trained = {f"text_model.{name.removeprefix('text_model.')}": value for name, value in encoder.state_dict().items()}
    missing, unknown = made.load_state_dict(trained, strict=False)
    idle = f"layers.{settings['num_hidden_layers'] - 1}."
    wrong = [name for name in missing if idle not in name and name != "text_projection.weight"] + list(unknown)
    if wrong:
        raise ValueError(f"The text encoder does not fit: {wrong[0]} has no counterpart.")
    with torch.no_grad():
        for name, value in made.named_parameters():
            if idle in name and "layer_norm" not in name:
                value.zero_()
        made.text_projection.weight.copy_(torch.eye(encoder.config.hidden_size))
    return made.eval().requires_grad_(False)


@torch.no_grad()
def say(encoder: Any, ids: torch.Tensor) -> Words:
    """What the pipeline makes of token numbers (n, length), in float32, with the zeros behind it as one token."""
    answer = encoder(input_ids=ids, output_hidden_states=True)
    hidden, pooled = answer.hidden_states[-2].float(), answer.text_embeds.float()
    tokens = torch.nn.functional.pad(torch.cat([hidden, hidden], dim=-1), (0, 0, 0, 1))
    return Words(tokens, torch.cat([pooled, pooled], dim=-1))
