"""Z-Image: a language model reads the prompt as a question to it, and one stream of blocks sees words and picture.

The CFG scale is the plain one: 1 is no guidance, which Turbo models want; the pipeline's own scale counts from 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from modules.processing_diffusers.families.base import Embedding, FamilyAdapter, stack
from modules.processing_diffusers.families.shift import even_levels, shift_for

QUESTION = "<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
"""How Qwen3 is asked something."""
LAYER = -2
"""Which of the language model's hidden states the denoiser was trained on."""
PATCH = 2
"""Latent cells along one side of a token."""


class ZImageAdapter(FamilyAdapter):
    """Talks to `ZImagePipeline`, which calls its denoiser with lists and takes its answers with the sign turned."""

    masked: ClassVar[bool] = True
    paired: ClassVar[bool] = True
    longest: ClassVar[int] = 512
    """Tokens of the question that are read; what comes after them is not."""
    even: ClassVar[int] = 64
    """Texts are filled up to a multiple of this many tokens, so that jobs with other prompts are merged."""

    def question(self, text: str) -> str:
        """What the language model reads of a prompt."""
        return QUESTION.format(text=text)

    def embed(self, pipeline: Any, texts: Sequence[str], clip_skip: int) -> list[Embedding]:
        """The hidden state of the language model, which looks back only, so nothing is filled up for it."""
        return [self._read(pipeline, text) for text in texts]

    def _read(self, pipeline: Any, text: str) -> Embedding:
        question = self.question(text)
        ids = pipeline.tokenizer(question, truncation=True, max_length=self.longest, return_tensors="pt").input_ids
        encoder = pipeline.text_encoder
        states = encoder(input_ids=ids.to(encoder.device), output_hidden_states=True, use_cache=False).hidden_states
        hidden = states[LAYER][0]
        short = {"embeds": hidden, "mask": torch.ones(len(hidden), device=hidden.device)}
        return self.lengthen(short, -(-len(hidden) // self.even) * self.even) or short

    def words(self, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Embeddings and their mask."""
        return {"cap_feats": stack(embeddings, "embeds"), "cap_mask": stack(embeddings, "mask")}

    def condition(self, positive: Sequence[Embedding], negative: Sequence[Embedding] | None) -> dict[str, Any]:
        """Embeddings of what is wanted, for their number alone; the words go by `words`."""
        return {"prompt_embeds": stack(positive, "embeds")}

    def guide(self, scale: float) -> dict[str, Any]:
        """The pipeline is left unguided, which it says by 0."""
        return {"guidance_scale": 0.0}

    def take(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The list of latents, each with an axis for time, as one tensor without it."""
        return {**arguments, "x": torch.stack(list(arguments["x"])).squeeze(2)}

    def give(self, answer: torch.Tensor) -> torch.Tensor:
        """The answer as the pipeline wants it, which turns its sign."""
        return -answer.unsqueeze(2)

    def run(self, denoiser: Any, **arguments: Any) -> Any:
        """The forward with every text as long as it is, its answers in one tensor and towards noise."""
        lengths = arguments.pop("cap_mask").sum(1).long().tolist()
        arguments["cap_feats"] = [row[:length] for row, length in zip(arguments["cap_feats"], lengths, strict=True)]
        arguments["x"] = list(arguments["x"].unsqueeze(2).unbind(0))
        answers = denoiser(**arguments)[0]
        return (-torch.stack(list(answers)).squeeze(2),)

    def schedule_arguments(self, config: Mapping[str, Any], cells: int, steps: int) -> dict[str, Any]:
        """Even levels, and `mu` for the size, of which a config without dynamic shifting takes no notice."""
        return {"mu": shift_for(cells // PATCH**2, config, largest=1.15), "sigmas": even_levels(steps)}
