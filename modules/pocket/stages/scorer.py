"""Stage "scorer": how well words fit a picture of the pocket world, by a small CLIP (arXiv:2103.00020) of its own.

A vision tower and a text tower learn to agree on which picture of a batch belongs to which caption. On the way linear
heads have to read the scene's attributes off the picture; they teach a network this small far faster than captions
alone, and are thrown away. The scorer serves captioning, search and ranking; it judges no generator.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from modules.pocket.scenes.captions import attributes, caption
from modules.pocket.scenes.lot import draw_scene
from modules.pocket.scenes.render import render
from modules.pocket.stages.folders import replace_folder, save_part, write_card
from modules.pocket.stages.pictures import SEED, open_pictures
from modules.pocket.stages.text import LABELS, WIDTH, make_tokenizer
from modules.pocket.tokens import LENGTH, encode
from modules.training.journal import Average, Budget, load_checkpoint
from modules.training.loop import Loop
from modules.training.muon import Optimiser
from modules.training.precision import Precision

SIDE, PATCH = 96, 12
"""Pixels of the picture that the vision tower sees, and of one of its patches."""
MEAN, SPREAD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""CLIP's, which every loader of such a model assumes."""
GROUP = 32
"""Scenes among which the right one has to be found."""
HELD_OUT = SEED + 1
"""The series of scenes that the figures are of."""
SIZE_LIMIT = 4_000_000
ABOUT = (
    "A small CLIP of the pocket world: says how well words fit a picture. Layout of transformers' CLIPModel; its "
    "vision tower opens as CLIPVisionModelWithProjection."
)


def build_scorer(vocab: dict[str, int]) -> Any:
    """A fresh CLIPModel: four layers for pictures, three for words, 128 wide, 1.2 M parameters."""
    from transformers import CLIPConfig, CLIPModel

    shared = {"hidden_size": WIDTH, "num_attention_heads": 4, "projection_dim": WIDTH, "hidden_act": "gelu"}
    end = vocab["<|endoftext|>"]
    words = {
        **shared,
        "vocab_size": len(vocab),
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": 3,
        "max_position_embeddings": LENGTH,
        "bos_token_id": vocab["<|startoftext|>"],
        "eos_token_id": end,
        "pad_token_id": end,
    }
    sight = {**shared, "intermediate_size": 3 * WIDTH, "num_hidden_layers": 4, "image_size": SIDE, "patch_size": PATCH}
    return CLIPModel(CLIPConfig(text_config=words, vision_config=sight, projection_dim=WIDTH))


class Student(torch.nn.Module):
    """The scorer with the heads that only its training needs."""

    def __init__(self, scorer: Any) -> None:
        """`scorer` is a CLIPModel."""
        super().__init__()
        self.scorer = scorer
        self.heads = torch.nn.ModuleDict({name: torch.nn.Linear(WIDTH, len(LABELS[name])) for name in LABELS})


def train_scorer(
    folder: Path,
    budget: Budget,
    total_seconds: float,
    batch: int = 64,
    max_steps: int | None = None,
    device: str = "cpu",
) -> dict[str, float]:
    """Trains until the budget or `max_steps` end, resuming from `folder`/scorer.pt; returns the last figures.

    Learns from the pictures of the "scenes" stage; the text tower begins as the family's text encoder where that has
    been trained. `matched` in the figures is the share of a batch whose caption was found before it was trained on.
    Raises FileNotFoundError where there are no pictures.
    """
    pictures, tokenizer = open_pictures(folder), make_tokenizer(folder)
    torch.manual_seed(0)
    student = Student(_begin(folder, tokenizer.get_vocab())).to(device)
    loop = Loop("scorer", folder, student, Optimiser(student, muon_lr=0.02, adam_lr=2e-3), Average(student, 0.995))
    loop.resume()
    precision = Precision(device)

    def loss_of(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        lot = np.random.default_rng([41, step])
        rows = np.sort(lot.choice(len(pictures), size=min(batch, len(pictures)), replace=False))
        scenes = [draw_scene(SEED, int(row)) for row in rows]
        texts = encode(tokenizer, [caption(scene, lot).text for scene in scenes]).to(device)
        labels = torch.tensor([_labels(attributes(scene)) for scene in scenes]).to(device)
        with precision.autocast():
            out = student.scorer(input_ids=texts, pixel_values=prepare(pictures[rows]).to(device))
        seen, said = out.image_embeds.float(), out.text_embeds.float()
        likeness = seen @ said.T * student.scorer.logit_scale.exp().clamp(max=100)
        right = torch.arange(len(rows), device=device)
        both = (functional.cross_entropy(likeness, right) + functional.cross_entropy(likeness.T, right)) / 2
        pooled = out.vision_model_output.pooler_output.float()
        read = [functional.cross_entropy(head(pooled), labels[:, place]) for place, head in enumerate(_heads(student))]
        matched = float((likeness.detach().argmax(1) == right).float().mean())
        return both + 0.5 * torch.stack(read).nan_to_num().mean(), {"contrast": both.item(), "matched": matched}

    return loop.run(loss_of, budget, total_seconds, max_steps)


def _heads(student: Student) -> list[Any]:
    return [student.heads[name] for name in LABELS]


def _labels(values: dict[str, Any]) -> list[int]:
    """Numbers in the order of LABELS, -100 for what the scene does not have."""
    return [LABELS[name].index(values[name]) if values[name] is not None else -100 for name in LABELS]


def _begin(folder: Path, vocab: dict[str, int]) -> Any:
    scorer = build_scorer(vocab)
    if state := load_checkpoint(folder / "text.pt"):
        known = {name.removeprefix("encoder."): value for name, value in state["model"].items() if "encoder." in name}
        scorer.text_model.load_state_dict(known, strict=False)
    return scorer


def prepare(pictures: NDArray[np.uint8] | Sequence[Image.Image]) -> torch.Tensor:
    """What the vision tower is given: float32 (n, 3, SIDE, SIDE), from arrays (n, h, w, 3) or images of any size."""
    if not isinstance(pictures, np.ndarray):
        pictures = np.stack([np.asarray(each.convert("RGB").resize((256, 256))) for each in pictures])
    wanted = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))).float() / 255
    small = functional.interpolate(wanted, size=(SIDE, SIDE), mode="bilinear", antialias=True)
    return (small - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(SPREAD).view(3, 1, 1)


def load_scorer(folder: Path) -> tuple[Any, Any]:
    """(model, tokenizer) of this training, averaged weights. Raises FileNotFoundError before the first checkpoint."""
    state = load_checkpoint(folder / "scorer.pt")
    if state is None:
        raise FileNotFoundError(folder / "scorer.pt")
    tokenizer = make_tokenizer(folder)
    student = Student(build_scorer(tokenizer.get_vocab()))
    student.load_state_dict(state["average"])
    return student.scorer.eval().requires_grad_(False), tokenizer


def open_scorer(folder: Path) -> tuple[Any, Any]:
    """(model, tokenizer) of an exported scorer, float32 on the CPU. Raises FileNotFoundError where nothing is there."""
    if not (folder / "config.json").exists():
        raise FileNotFoundError(folder / "config.json")
    from transformers import CLIPModel, CLIPTokenizer

    model = CLIPModel.from_pretrained(str(folder), dtype=torch.float32, local_files_only=True)
    tokenizer = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    return model.eval().requires_grad_(False), tokenizer


@torch.no_grad()
def score(
    model: Any, tokenizer: Any, pictures: NDArray[np.uint8] | Sequence[Image.Image], texts: Sequence[str]
) -> NDArray[np.float32]:
    """Cosine between each picture and each text, float32 of shape (pictures, texts); more fits better."""
    out = model(input_ids=encode(tokenizer, list(texts)), pixel_values=prepare(pictures))
    likeness: NDArray[np.float32] = (out.image_embeds @ out.text_embeds.T).numpy()
    return likeness


def judge_scorer(model: Any, tokenizer: Any, groups: int = 8) -> dict[str, float]:
    """Shares of held-out scenes that are found among GROUP by their caption, and of captions found by their picture.

    Captions are by lot, so some leave out what would tell two scenes apart: 1 is out of reach.
    """
    by_text, by_picture = [], []
    for start in range(0, groups * GROUP, GROUP):
        scenes = [draw_scene(HELD_OUT, index) for index in range(start, start + GROUP)]
        lot = np.random.default_rng([HELD_OUT, start])
        texts = [caption(scene, lot).text for scene in scenes]
        likeness = score(model, tokenizer, np.stack([render(scene, 128) for scene in scenes]), texts)
        by_text.append((likeness.argmax(0) == np.arange(GROUP)).mean())
        by_picture.append((likeness.argmax(1) == np.arange(GROUP)).mean())
    return {
        "scene_by_caption": round(float(np.mean(by_text)), 3),
        "caption_by_scene": round(float(np.mean(by_picture)), 3),
        "scenes": groups * GROUP,
        "chance": round(1 / GROUP, 3),
    }


def export_scorer(folder: Path, target: Path) -> int:
    """Writes the scorer as a transformers folder with tokenizer and preparation of pictures; returns its bytes.

    Raises ValueError where its weights are larger than SIZE_LIMIT.
    """
    model, _ = load_scorer(folder)
    if (size := sum(2 * value.numel() for value in model.state_dict().values())) > SIZE_LIMIT:
        raise ValueError(f"{size} bytes are more than {SIZE_LIMIT}.")
    steps = {
        "image_processor_type": "CLIPImageProcessor",
        "crop_size": {"height": SIDE, "width": SIDE},
        "size": {"shortest_edge": SIDE},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": list(MEAN),
        "image_std": list(SPREAD),
        "resample": 3,
        "rescale_factor": 1 / 255,
    }

    def write(place: Path) -> None:
        for file in (folder / "tokenizer").iterdir():
            shutil.copyfile(file, place / file.name)
        (place / "preprocessor_config.json").write_text(json.dumps(steps, indent=2) + "\n", encoding="utf-8")
        save_part(model, place)

    written = replace_folder(target, write)
    if state := load_checkpoint(folder / "scorer.pt"):
        write_card(target / "README.md", "pocket-scorer", ABOUT, state)
    return written
