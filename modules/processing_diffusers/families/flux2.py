"""Flux.2: a language model reads the prompt, three of its layers side by side; pictures may be shown as further tokens.

Mistral Small 3 reads for dev, Qwen3 for Klein. Latents are the autoencoder's with two by two cells put into one, so a
cell is 16 pixels and a token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from modules.contracts.catalog import Family
from modules.processing_diffusers.families.base import Embedding, stack
from modules.processing_diffusers.families.flux_shown import FluxKontextAdapter
from modules.processing_diffusers.families.shift import even_levels, measured_shift_for

ASK_MISTRAL = (
    "[SYSTEM_PROMPT]You are an AI that reasons about image descriptions. You give structured responses focusing on "
    "object relationships, object\nattribution and actions without speculation.[/SYSTEM_PROMPT][INST]{text}[/INST]"
)
"""How Mistral is asked to read a description, in the words of training, behind the token that begins a text."""
ASK_QWEN = "<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
"""How Qwen3 is asked something that it is not to think about."""
PICTURE = "[IMG]"
"""Stands for a picture where Mistral is asked; prompts have none."""
LONGEST = 512
"""Tokens of the question with what fills it up, which the denoiser sees, too."""
LAYERS = 4
"""The denoiser was trained on the states after one, two and three of this many parts of the language model."""


class Flux2Adapter(FluxKontextAdapter):
    """Talks to `Flux2Pipeline`, which gives its latents as it draws them. The CFG scale is the distilled guidance."""

    encoders = ()
    plane: ClassVar[int] = 10

    def pipeline_name(self, family: Family) -> str:
        """That of dev for Klein, too, whose own gives what its decoder wants in place of latents."""
        return "Flux2Pipeline"

    def embed(self, pipeline: Any, texts: Sequence[str], clip_skip: int) -> list[Embedding]:
        """Three layers of the language model, which looks away from what fills a text up."""
        return [self._read(pipeline, text) for text in texts]

    def _read(self, pipeline: Any, text: str) -> Embedding:
        encoder = pipeline.text_encoder
        read = self.ask(pipeline.tokenizer, text, padding="max_length", truncation=True, max_length=LONGEST)
        ids, mask = (read[name].to(encoder.device) for name in ("input_ids", "attention_mask"))
        return {"embeds": encoder(input_ids=ids, attention_mask=mask)[0][0]}

    def ask(self, tokenizer: Any, text: str, **wishes: Any) -> Any:
        """Tokens of what the language model is asked about the text, and the mask of what fills them up."""
        question = tokenizer.bos_token + ASK_MISTRAL.format(text=text.replace(PICTURE, ""))
        return tokenizer(question, add_special_tokens=False, return_tensors="pt", **wishes)

    def hear(self, encoder: Any, **arguments: Any) -> Any:
        """Those of the layers that the denoiser sees, side by side.

        Of a language model without its last norm there is not more than they need, so the last one is the third.
        """
        states = encoder(**arguments, output_hidden_states=True, use_cache=False).hidden_states
        count, parts = len(states) - 1, LAYERS - isinstance(encoder.norm, torch.nn.Identity)
        return (torch.cat([states[count * part // parts] for part in range(1, LAYERS)], dim=-1),)

    def words(self, embeddings: Sequence[Embedding]) -> dict[str, Any]:
        """Embeddings, and the words' places: the last of four numbers counts them."""
        hidden = stack(embeddings, "embeds")
        places = torch.zeros(hidden.shape[1], 4)
        places[:, 3] = torch.arange(hidden.shape[1])
        return {"encoder_hidden_states": hidden, "txt_ids": places}

    def condition(self, positive: Sequence[Embedding], negative: Sequence[Embedding] | None) -> dict[str, Any]:
        """Embeddings of what is wanted."""
        return {"prompt_embeds": stack(positive, "embeds")}

    def dress(self, pipeline: Any) -> dict[str, Any]:
        """The pipeline takes latents as they are laid out here, and says where each token stands."""

        def prepare(
            *, height: int, width: int, latents: torch.Tensor, **named: Any
        ) -> tuple[torch.Tensor, torch.Tensor]:
            cell = pipeline.vae_scale_factor * 2
            places = torch.cartesian_prod(
                torch.arange(1), torch.arange(height // cell), torch.arange(width // cell), torch.arange(1)
            )
            return latents, places.to(latents).expand(len(latents), -1, -1)

        pipeline.prepare_latents = prepare
        return {}

    def take(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Places of the tokens of one sample, which are those of all."""
        return {**arguments, **{name: arguments[name][0] for name in ("img_ids", "txt_ids")}}

    def pack(self, latents: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to (B, H * W, C): each token is a cell."""
        return latents.flatten(2).transpose(1, 2)

    def unpack(self, latents: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """The inverse of `pack`."""
        return latents.transpose(1, 2).unflatten(2, (height, width))

    def schedule_arguments(self, config: Mapping[str, Any], cells: int, steps: int) -> dict[str, Any]:
        """Even levels, and `mu` for the size and the number of steps."""
        return {"mu": measured_shift_for(cells, steps), "sigmas": even_levels(steps)}


class Flux2KleinAdapter(Flux2Adapter):
    """Talks to the same pipeline, left unguided; distilled models want a CFG scale of 1."""

    paired: ClassVar[bool] = True

    def ask(self, tokenizer: Any, text: str, **wishes: Any) -> Any:
        """Tokens of what Qwen3 is asked, and the mask of what fills them up."""
        return tokenizer(ASK_QWEN.format(text=text), return_tensors="pt", **wishes)

    def is_guided(self, scale: float) -> bool:
        """Where the model is not distilled there is a negative prompt."""
        return scale > 1
