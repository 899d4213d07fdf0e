"""Stage "begin": turns the family that is there into checkpoints, from which training goes on in a new work folder.

The autoencoder's latents and the words stay as they are, because the networks were trained on them; what goes on is
`decoder`, `unet` and `transformer`. Weights come back as they were shipped, in float16; the optimisers begin anew, so
learning rates rise once more.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch

from modules.pocket.stages.text import STEPS, make_tokenizer, seed_text
from modules.training.journal import save_checkpoint


def begin(folder: Path, models: Path, transformer: Path) -> dict[str, int]:
    """Fills `folder` from the base in `models` and, if it is there, the folder `transformer`; tensors by checkpoint.

    Raises FileExistsError where `folder` holds one of the checkpoints already, FileNotFoundError without a base.
    """
    parts = {"vae": models / "vae", "text": models / "text_encoder", "unet": models / "unet"}
    if (transformer / "model_index.json").exists():
        parts["transformer"] = transformer / "transformer"
    if there := [f"{name}.pt" for name in parts if (folder / f"{name}.pt").exists()]:
        raise FileExistsError(f"{', '.join(there)} in {folder} would be overwritten; name an empty folder with --work")
    weights = {name: read_weights(place) for name, place in parts.items()}
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(models / "tokenizer", folder / "tokenizer", dirs_exist_ok=True)
    make_tokenizer(folder)
    save_checkpoint(folder / "vae-white.pt", weights["vae"])
    for name, tensors in weights.items():
        state = {"model": tensors, "average": tensors, "step": 0, "seconds": 0.0}
        if name == "text":
            state = {"model": seed_text(folder, tensors), "step": STEPS}
        save_checkpoint(folder / f"{name}.pt", state)
    return {name: len(tensors) for name, tensors in weights.items()}


def read_weights(folder: Path) -> Mapping[str, torch.Tensor]:
    """All tensors of the one safetensors file in `folder`, float32. Raises FileNotFoundError where there is none."""
    from safetensors.torch import load_file

    found = sorted(folder.glob("*.safetensors"))
    if not found:
        raise FileNotFoundError(folder / "*.safetensors")
    return {name: value.float() for name, value in load_file(str(found[0])).items()}
