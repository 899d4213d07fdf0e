"""Stage "inversion": textual inversion (arXiv:2208.01618), a new word for what the frozen model can draw already.

Only the word's vectors learn. They stand in the text encoder's table where the pipeline will put them later, so what
is trained is what is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from modules.pocket.stages.base import Base, denoising_loss, open_base
from modules.pocket.stages.folders import write_card
from modules.pocket.stages.lora_layers import save_tensors
from modules.pocket.stages.samples import Draw
from modules.pocket.stages.tuning import Arrays, Batches, Course, Tuning, run_course, texts_of, trained
from modules.pocket.unseen import MASCOT, mascot_sample
from modules.training.journal import Budget
from modules.training.muon import Optimiser

NAME = "inversion"
VECTORS = 4
RATE = 2e-2
"""Of Adam, relative to the spread of the table of embeddings."""
MIDDLE_SHARE = 0.7
"""Share of samples at the noise at which outlines are decided."""


class Word(nn.Module):
    """The vectors of a new word, and its place in a base's tokenizer and text encoder."""

    def __init__(self, base: Base, token: str, vectors: int = VECTORS) -> None:
        """Adds `token` and, for further vectors, `token`_1 and so on to the base's tokenizer, as diffusers does."""
        super().__init__()
        self.token = token
        self.names = [token, *(f"{token}_{number}" for number in range(1, vectors))]
        base.tokenizer.add_tokens(self.names)
        self.ids = [int(number) for number in base.tokenizer.convert_tokens_to_ids(self.names)]
        base.text_encoder.resize_token_embeddings(max(self.ids) + 1, mean_resizing=False)
        table = base.text_encoder.get_input_embeddings().weight[: min(self.ids)]
        start = table.mean(0) + torch.randn(vectors, table.shape[1], device=table.device) * table.std()
        self.embedding = nn.Parameter(start.detach().clone())
        self.spread = float(table.std())

    def spelled(self, text: str) -> str:
        """`text` with all the word's tokens where the first one stands."""
        return text.replace(self.token, " ".join(self.names))

    @contextmanager
    def standing_in(self, text_encoder: Any) -> Iterator[None]:
        """While inside, the encoder reads the word's vectors instead of its table's rows; gradients reach them."""

        def put(_module: nn.Module, given: tuple[Any, ...], answer: torch.Tensor) -> torch.Tensor:
            for place, number in enumerate(self.ids):
                answer = torch.where((given[0] == number)[..., None], self.embedding[place].to(answer), answer)
            return answer

        handle = text_encoder.get_input_embeddings().register_forward_hook(put)
        try:
            yield
        finally:
            handle.remove()


def train_inversion(
    folder: Path,
    budget: Budget,
    total_seconds: float,
    tuning: Tuning | None = None,
    token: str = MASCOT,
    draw: Draw = mascot_sample,
) -> dict[str, float]:
    """Trains the vectors of `token` until the budget ends, resuming from `folder`/inversion.pt; the last figures.

    The texts of `draw` have `token` in them. `total_seconds` is the whole training time over all resumptions.
    """
    how = tuning or Tuning()
    base = open_base(how.base, how.device)
    torch.manual_seed(0)
    word = Word(base, token).to(how.device)

    def loss(arrays: Arrays, lot: np.random.Generator) -> torch.Tensor:
        clean = base.encode(arrays[0].astype(np.uint8))
        with word.standing_in(base.text_encoder):
            tokens = base.tokens([word.spelled(text) for text in texts_of(arrays[1])])
            words = base.text_encoder(input_ids=tokens).last_hidden_state

        def guess(noisy: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
            said: torch.Tensor = base.unet(noisy, times, encoder_hidden_states=words, return_dict=False)[0]
            return said

        return denoising_loss(base, clean, guess, lot, middle=MIDDLE_SHARE)

    make = Batches(draw, *how.native_for(base.side), how.scenes, drop=0.0)
    optimiser = Optimiser(word, *how.paced((RATE * word.spread, RATE * word.spread)))
    course = Course(NAME, folder, word, optimiser, make, loss, decay=0.98)
    return run_course(course, budget, total_seconds, how)


def export_inversion(folder: Path, target: Path, token: str = MASCOT) -> int:
    """Writes the word in both layouts into `target`, named after `token` without its brackets; returns their bytes.

    NAME.safetensors is A1111's (`emb_params`, called by the file's name), NAME-diffusers.safetensors is diffusers'
    (under `token`). Raises FileNotFoundError before the first checkpoint.
    """
    state = trained(folder, NAME)
    vectors = state["average"]["embedding"].float().contiguous()
    name = token.strip("<>")
    size = save_tensors(target / f"{name}.safetensors", {"emb_params": vectors}, {"name": name})
    size += save_tensors(target / f"{name}-diffusers.safetensors", {token: vectors}, {})
    about = f"A textual inversion of {len(vectors)} vectors for the pocket model, called {token} in diffusers."
    write_card(target / f"{name}.md", f"pocket textual inversion: {name}", about, state)
    return size
