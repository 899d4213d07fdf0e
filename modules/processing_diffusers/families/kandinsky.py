"""Kandinsky 5 for pictures: Qwen2.5-VL reads the prompt behind a sentence that asks it to describe a picture, CLIP
says the whole, and latents have an axis for time and their channels last.

Arkhipkin et al., Kandinsky 5.0 (arXiv:2511.14993).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from modules.contracts.errors import UnsupportedFeature
from modules.processing_diffusers.families.base import Embedding, FamilyAdapter, stack
from modules.processing_diffusers.families.kandinsky_attention import hear_texts, words_hidden

DESCRIBE = (
    "<|im_start|>system\nYou are a prompt engineer. Describe the image by detailing the color, shape, size, texture, "
    "quantity, text, spatial relationships of the objects and background:<|im_end|>\n<|im_start|>user\n"
)
"""What stands before every prompt; the denoiser does not see it."""
END = "<|im_end|>"
LONGEST, CLIP_LENGTH = 512, 77
"""Tokens of the prompt that each reader reads."""
EVEN = 64
"""Texts are filled up to a multiple of this many tokens, so that jobs with other prompts are merged."""
PATCH, PLACES = 2, 128
"""Latent cells along one side of a token, and tokens along a side that the model has places for."""


def _in_its_precision(layer: Any, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(tensor.to(layer.weight.dtype) for tensor in given)


class EverySize:
    """Stands for the list of sizes that the pipeline would change all others to."""

    def __contains__(self, size: object) -> bool:
        return True


class KandinskyAdapter(FamilyAdapter):
    """Talks to `Kandinsky5T2IPipeline`, left unguided."""

    masked: ClassVar[bool] = True
    paired: ClassVar[bool] = True

    def prepare(self, denoiser: Any) -> None:
        """Let its attention pass over what fills texts up, and take time in the precision of the layer that takes it,
        which the model itself assumes to be that of 32 bits."""
        hear_texts(denoiser)
        denoiser.time_embeddings.in_layer.register_forward_pre_hook(_in_its_precision)

    def embed(self, pipeline: Any, texts: Sequence[str], clip_skip: int) -> list[Embedding]:
        """What the language model makes of the prompt, and CLIP's vector for the whole. The language model looks back
        only, so nothing is filled up for it."""
        return [self._read(pipeline, text) for text in texts]

    def _read(self, pipeline: Any, text: str) -> Embedding:
        reader, clip = pipeline.text_encoder, pipeline.text_encoder_2
        unseen = len(pipeline.tokenizer(DESCRIBE).input_ids)
        ids = pipeline.tokenizer(
            DESCRIBE + text + END, truncation=True, max_length=unseen + LONGEST, return_tensors="pt"
        ).input_ids
        hidden = reader(input_ids=ids.to(reader.device))[0][0, unseen:]
        said = pipeline.tokenizer_2(
            text, padding="max_length", truncation=True, max_length=CLIP_LENGTH, return_tensors="pt"
        )
        names = ("input_ids", "attention_mask")
        whole = clip(**{name: said[name].to(clip.device) for name in names})[0][0]
        short = {"embeds": hidden, "mask": torch.ones(len(hidden), device=hidden.device), "pooled": whole}
        return self.lengthen(short, -(-len(hidden) // EVEN) * EVEN) or short

    def hear(self, encoder: Any, **arguments: Any) -> Any:
        """The last layer of the language model, or CLIP's vector for the whole."""
        if hasattr(encoder.config, "vision_config"):
            return (encoder(**arguments, use_cache=False).last_hidden_state,)
        return (encoder(**arguments).pooler_output,)

    def words(self, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Embeddings, their mask, and the vector for the whole."""
        return {
            "encoder_hidden_states": stack(embeddings, "embeds"),
            "encoder_attention_mask": stack(embeddings, "mask"),
            "pooled_projections": stack(embeddings, "pooled"),
        }

    def condition(self, positive: Sequence[Embedding], negative: Sequence[Embedding] | None) -> dict[str, Any]:
        """Embeddings of what is wanted, and where each text ends in all of them; the words go by `words`."""
        embeds = stack(positive, "embeds")
        return {
            "prompt_embeds_qwen": embeds,
            "prompt_embeds_clip": stack(positive, "pooled"),
            "prompt_cu_seqlens": torch.arange(len(embeds) + 1) * embeds.shape[1],
        }

    def dress(self, pipeline: Any) -> dict[str, Any]:
        """The pipeline draws the size asked for."""
        pipeline.resolutions = EverySize()
        return {}

    def pack(self, latents: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to (B, 1, H, W, C)."""
        return latents.permute(0, 2, 3, 1).unsqueeze(1)

    def unpack(self, latents: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """The inverse of `pack`."""
        return latents.squeeze(1).permute(0, 3, 1, 2)

    def take(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Latents and time; where tokens stand follows from the size."""
        return {name: arguments[name] for name in ("hidden_states", "timestep")}

    def run(self, denoiser: Any, **arguments: Any) -> Any:
        """The forward, in which no token looks at what fills a text up."""
        latents, mask = arguments["hidden_states"], arguments["encoder_attention_mask"] > 0
        down, across = (side // PATCH for side in latents.shape[2:4])
        if max(down, across) > PLACES:
            raise UnsupportedFeature(
                f"Kandinsky 5 has places for {PLACES} tokens along a side, and this canvas has {across} × {down}; "
                "draw it by tiles, or smaller."
            )
        longest = int(mask.sum(1).max())
        device = latents.device
        with words_hidden(mask[:, :longest]):
            answer = denoiser(
                hidden_states=latents,
                encoder_hidden_states=arguments["encoder_hidden_states"][:, :longest],
                pooled_projections=arguments["pooled_projections"],
                timestep=arguments["timestep"],
                visual_rope_pos=[torch.arange(count, device=device) for count in (1, down, across)],
                text_rope_pos=torch.arange(longest, device=device),
                return_dict=False,
            )
        return (answer,)
