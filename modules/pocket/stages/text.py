"""Stage "text": a small CLIP text model (arXiv:2103.00020), trained to say what a caption says, then frozen.

There is no image tower: the labels are the attributes of the scene. Linear heads read them from the end mark and from
every padding position after it, so that the whole sentence is at hand wherever the image network looks; the heads
are thrown away. A few hundred steps are plenty, and diffusion then trains the image network only.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from modules.pocket.scenes.captions import Caption, attributes, caption
from modules.pocket.scenes.lot import draw_scene
from modules.pocket.scenes.scene import Scene
from modules.pocket.scenes.vocabulary import COLOURS, COUNTS, GROUNDS, KINDS, PLACES, RELATIONS, SIZES, STYLES
from modules.pocket.stages.pictures import SEED
from modules.pocket.tokens import LENGTH, encode, learn_merges, write_tokenizer
from modules.training.journal import Budget, Log, load_checkpoint, save_checkpoint, warm_cosine

WIDTH = 128
STEPS = 800
LABELS: dict[str, tuple[Any, ...]] = {
    "kind": KINDS,
    "colour": tuple(COLOURS),
    "size": SIZES,
    "place": PLACES,
    "count": COUNTS,
    "ground": (*COLOURS, *GROUNDS[1:]),
    "style": STYLES,
    "kind2": KINDS,
    "colour2": tuple(COLOURS),
    "relation": RELATIONS,
}
"""What a caption can say of a scene, and the values it can have."""


def build_text_encoder(vocab: dict[str, int]) -> Any:
    """A fresh CLIPTextModel: three layers, 128 wide, LENGTH positions, 0.6 M parameters."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=len(vocab),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=LENGTH,
        projection_dim=WIDTH,
        bos_token_id=vocab["<|startoftext|>"],
        eos_token_id=vocab["<|endoftext|>"],
        pad_token_id=vocab["<|endoftext|>"],
        hidden_act="gelu",
    )
    return CLIPTextModel(config)


def make_tokenizer(folder: Path) -> Any:
    """The tokenizer of this training, learned from 20,000 captions on first use and kept in `folder`/tokenizer."""
    from transformers import CLIPTokenizer

    target = folder / "tokenizer"
    if (target / "merges.txt").exists():
        return CLIPTokenizer.from_pretrained(str(target), local_files_only=True)
    lot = np.random.default_rng([SEED, 1])
    return write_tokenizer(target, learn_merges(caption(draw_scene(SEED, index), lot).text for index in range(20_000)))


def labels_of(scene: Scene, words: Caption) -> list[int]:
    """The label numbers in the order of LABELS, -100 for what the caption does not say."""
    values = attributes(scene)
    return [LABELS[name].index(values[name]) if name in words.said else -100 for name in LABELS]


def _batch(tokenizer: Any, step: int, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    lot = np.random.default_rng([13, step])
    scenes = [draw_scene(SEED, int(index)) for index in lot.integers(0, 1_000_000, size=batch)]
    words = [caption(scene, lot) for scene in scenes]
    labels = torch.tensor([labels_of(scene, said) for scene, said in zip(scenes, words, strict=True)])
    return encode(tokenizer, [said.text for said in words]), labels


def _build(folder: Path) -> tuple[Any, torch.nn.ModuleDict]:
    torch.manual_seed(0)
    encoder = build_text_encoder(make_tokenizer(folder).get_vocab())
    heads = {name: torch.nn.Linear(WIDTH, len(values)) for name, values in LABELS.items()}
    return encoder, torch.nn.ModuleDict(heads)


def train_text(
    folder: Path, budget: Budget, total_steps: int = STEPS, batch: int = 128, max_steps: int | None = None
) -> dict[str, float]:
    """Trains until `total_steps` or the end of the budget, resuming from `folder`/text.pt; returns the last figures.

    `accuracy` in the figures is the share of attributes read rightly from a batch before it was trained on.
    """
    tokenizer = make_tokenizer(folder)
    encoder, heads = _build(folder)
    both = torch.nn.ModuleDict({"encoder": encoder, "heads": heads})
    optimiser = torch.optim.AdamW(both.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01)
    log, step = Log(folder / "text.jsonl"), 0
    if state := load_checkpoint(folder / "text.pt"):
        both.load_state_dict(state["model"])
        if "optimiser" in state:
            optimiser.load_state_dict(state["optimiser"])
        step = state["step"]
    figures: dict[str, float] = {"step": step}
    first, end = tokenizer.eos_token_id, min(total_steps, step + max_steps if max_steps else total_steps)
    while step < end and not budget.over:
        tokens, labels = _batch(tokenizer, step, batch)
        hidden = encoder(input_ids=tokens).last_hidden_state
        loss, accuracy = _read(
            heads, hidden[tokens == first], labels.repeat_interleave((tokens == first).sum(1), dim=0)
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(both.parameters(), 1.0)
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * warm_cosine(step, total_steps, 50)
        optimiser.step()
        optimiser.zero_grad()
        step += 1
        if step % 50 == 0 or step == end:
            figures = {"step": step, "loss": loss.item(), "accuracy": accuracy}
            log.write(**figures)
    save_checkpoint(folder / "text.pt", {"model": both.state_dict(), "optimiser": optimiser.state_dict(), "step": step})
    return figures


def _read(heads: torch.nn.ModuleDict, hidden: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, float]:
    losses, hits, asked = [], 0, 0
    for place, name in enumerate(LABELS):
        guesses, wanted = heads[name](hidden), labels[:, place]
        if (wanted >= 0).any():
            losses.append(functional.cross_entropy(guesses, wanted, ignore_index=-100))
        hits += int((guesses.argmax(1) == wanted).sum())
        asked += int((wanted >= 0).sum())
    return torch.stack(losses).sum(), hits / max(1, asked)


def seed_text(folder: Path, encoder: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state of this stage with the weights of a trained encoder; heads, which are not exported, are fresh ones.

    Raises RuntimeError where the weights are another network's.
    """
    fresh, heads = _build(folder)
    own = {name.removeprefix("text_model."): name for name in fresh.state_dict()}
    fresh.load_state_dict({own.get(name.removeprefix("text_model."), name): value for name, value in encoder.items()})
    state: dict[str, torch.Tensor] = torch.nn.ModuleDict({"encoder": fresh, "heads": heads}).state_dict()
    return state


def load_text(folder: Path) -> tuple[Any, Any]:
    """(tokenizer, frozen text encoder) of this training. Raises FileNotFoundError before the first checkpoint."""
    state = load_checkpoint(folder / "text.pt")
    if state is None:
        raise FileNotFoundError(folder / "text.pt")
    encoder, heads = _build(folder)
    torch.nn.ModuleDict({"encoder": encoder, "heads": heads}).load_state_dict(state["model"])
    return make_tokenizer(folder), encoder.eval().requires_grad_(False)


@torch.no_grad()
def embed(tokenizer: Any, encoder: Any, texts: list[str]) -> torch.Tensor:
    """Hidden states as the pipeline uses them, float32 of shape (texts, LENGTH, WIDTH)."""
    hidden: torch.Tensor = encoder(input_ids=encode(tokenizer, texts)).last_hidden_state
    return hidden.float()
