"""Qwen-Image: Qwen2.5-VL reads the prompt behind a sentence that asks it to describe a picture.

Wu et al., Qwen-Image Technical Report (arXiv:2508.02324), section 2. Latents are laid out as Flux's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from modules.processing_diffusers.families.base import Embedding, FamilyAdapter, stack
from modules.processing_diffusers.families.flux import PATCH, FluxAdapter

DESCRIBE = (
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, spatial "
    "relationships of the objects and background:<|im_end|>\n<|im_start|>user\n"
)
"""What stands before every prompt in training; the denoiser does not see it."""
ANSWER = "<|im_end|>\n<|im_start|>assistant\n"


class QwenImageAdapter(FluxAdapter):
    """Talks to `QwenImagePipeline`."""

    encoders = ()
    masked: ClassVar[bool] = True
    paired: ClassVar[bool] = True
    longest: ClassVar[int] = 1024
    """Tokens of the prompt and what follows it that are read; what comes after them is not."""
    even: ClassVar[int] = 64
    """Texts are filled up to a multiple of this many tokens, so that jobs with other prompts are merged."""
    before: ClassVar[str] = DESCRIBE

    def embed(self, pipeline: Any, texts: Sequence[str], clip_skip: int) -> list[Embedding]:
        """What the language model makes of the prompt. It looks back only, so nothing is filled up for it."""
        return [self._read(pipeline, text) for text in texts]

    def _read(self, pipeline: Any, text: str) -> Embedding:
        tokenizer, encoder = pipeline.tokenizer, pipeline.text_encoder
        unseen = len(tokenizer(self.before).input_ids)
        question = self.before + (text or " ") + ANSWER
        ids = tokenizer(question, truncation=True, max_length=self.longest + unseen, return_tensors="pt").input_ids.to(
            encoder.device
        )
        return self.fill_up(encoder(input_ids=ids)[0][0, unseen:])

    def fill_up(self, hidden: torch.Tensor) -> Embedding:
        """The tokens (tokens, width) with a mask, and with more that it hides to an even number of them."""
        short = {"embeds": hidden, "mask": torch.ones(len(hidden), device=hidden.device)}
        return self.lengthen(short, -(-len(hidden) // self.even) * self.even) or short

    def hear(self, encoder: Any, **arguments: Any) -> Any:
        """The last layer alone, of all that the language model says."""
        return (encoder(**arguments, use_cache=False).last_hidden_state,)

    def words(self, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Embeddings and their mask."""
        return {
            "encoder_hidden_states": stack(embeddings, "embeds"),
            "encoder_hidden_states_mask": stack(embeddings, "mask"),
        }

    def condition(self, positive: Sequence[Embedding], negative: Sequence[Embedding] | None) -> dict[str, Any]:
        """Embeddings and mask of what is wanted; what is not goes by `words`."""
        return {"prompt_embeds": stack(positive, "embeds"), "prompt_embeds_mask": stack(positive, "mask")}

    def guide(self, scale: float) -> dict[str, Any]:
        """The pipeline is left unguided."""
        return {"true_cfg_scale": 1.0}

    def is_guided(self, scale: float) -> bool:
        """It was not distilled, so there is a negative prompt."""
        return scale > 1

    def mix(self, free: torch.Tensor, bound: torch.Tensor, scale: float) -> torch.Tensor:
        """Guided as ever, and then every token brought to the length that it had in the answer to the prompt."""
        guided = FamilyAdapter.mix(self, free, bound, scale)
        lengths = torch.linalg.vector_norm(torch.stack([bound, guided]), dim=-1, keepdim=True)
        return guided * (lengths[0] / lengths[1])

    def take(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Sizes of the pictures of one sample in place of a list of them for all, who are alike."""
        return {**arguments, "img_shapes": tuple(arguments["img_shapes"][0])}

    def narrow(self, arguments: dict[str, Any], canvas: tuple[int, int], part: tuple[int, int]) -> dict[str, Any]:
        """Sizes of the part."""
        height, width = part
        return {**arguments, "img_shapes": ((1, height // PATCH, width // PATCH),)}

    def run(self, denoiser: Any, **arguments: Any) -> Any:
        """The forward with a mask of truth values, and sizes for every sample."""
        arguments["encoder_hidden_states_mask"] = arguments["encoder_hidden_states_mask"] > 0
        arguments["img_shapes"] = [list(arguments["img_shapes"])] * len(arguments["hidden_states"])
        return denoiser(**arguments)
