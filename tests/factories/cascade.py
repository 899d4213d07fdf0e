"""A tiny random Stable Cascade as a diffusers folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.factories import parts
from tests.factories.models import CLIP_TOKENIZER, save
from tests.factories.words import save_clip_tokenizer

WIDTH = 64


def tiny_cascade(folder: Path) -> Path:
    """Both stages as the combined pipeline is saved, the readers of the first stage once more beside it."""
    from diffusers.schedulers.scheduling_ddpm_wuerstchen import DDPMWuerstchenScheduler

    words = save_clip_tokenizer(folder / "tokenizer")
    save_clip_tokenizer(folder / "prior_tokenizer")
    with parts.seeded(23):
        quantised().save_pretrained(folder / "vqgan")
        reader = parts.clip_text(words, WIDTH, projection=WIDTH, activation="gelu")
        components = {
            "text_encoder": reader,
            "tokenizer": CLIP_TOKENIZER,
            "decoder": decoder(),
            "vqgan": ("wuerstchen", "PaellaVQModel"),
            "scheduler": DDPMWuerstchenScheduler(),
            "prior_prior": prior(),
            "prior_text_encoder": reader,
            "prior_tokenizer": CLIP_TOKENIZER,
            "prior_scheduler": DDPMWuerstchenScheduler(),
        }
    return save(folder, "StableCascadeCombinedPipeline", components, fp16=False, shard=None)


def apart(folder: Path) -> Path:
    """Take the combined pipeline in `folder` apart into two, as they are published; gives the first stage's folder."""
    first = folder.with_name(f"{folder.name}-prior")
    index = json.loads((folder / "model_index.json").read_text("utf-8"))
    stages: dict[Path, dict[str, Any]] = {
        folder: {"_class_name": "StableCascadeDecoderPipeline"},
        first: {"_class_name": "StableCascadePriorPipeline"},
    }
    for name, value in index.items():
        if name.startswith("_"):
            continue
        home = first if name.startswith("prior_") else folder
        stages[home][name.removeprefix("prior_")] = value
        if home is first:
            shutil.move(folder / name, first / name.removeprefix("prior_"))
    for home, said in stages.items():
        (home / "model_index.json").write_text(json.dumps(said), "utf-8")
    return first


def as_files(folder: Path, target: Path) -> Path:
    """Write the model in `folder` to `target` as files by their published names; gives that of the first stage."""
    from safetensors.torch import save_file

    from tests.factories.single_files import cascade_keys, single_file, weights_of

    first = single_file(folder, target / "stage_c.safetensors", "stable-cascade", configs=False)
    save_file(cascade_keys(weights_of(folder / "decoder")), target / "stage_b.safetensors")
    weights = weights_of(folder / "vqgan")
    weights["vquantizer.codebook.weight"] = weights.pop("vquantizer.embedding.weight")
    save_file(weights, target / "stage_a.safetensors")
    return first


def prior() -> Any:
    """The first stage: one level of blocks with attention, another below it of the same size."""
    from diffusers.models.unets.unet_stable_cascade import StableCascadeUNet

    blocks = ("SDCascadeResBlock", "SDCascadeTimestepBlock", "SDCascadeAttnBlock")
    return _awake(
        StableCascadeUNet(
            conditioning_dim=32,
            block_out_channels=(64, 64),
            num_attention_heads=(1, 1),
            down_num_layers_per_block=(1, 2),
            up_num_layers_per_block=(2, 1),
            block_types_per_layer=(blocks, blocks),
            clip_text_in_channels=WIDTH,
            clip_text_pooled_in_channels=WIDTH,
            clip_image_in_channels=48,
            switch_level=(False,),
            dropout=(0.1, 0.1),
        )
    )


def decoder() -> Any:
    """The second stage: attention in the lower of two levels, which is half as large."""
    from diffusers.models.unets.unet_stable_cascade import StableCascadeUNet

    plain = ("SDCascadeResBlock", "SDCascadeTimestepBlock")
    return _awake(
        StableCascadeUNet(
            in_channels=4,
            out_channels=4,
            patch_size=2,
            conditioning_dim=32,
            block_out_channels=(32, 64),
            num_attention_heads=(-1, 1),
            down_num_layers_per_block=(1, 2),
            up_num_layers_per_block=(2, 1),
            down_blocks_repeat_mappers=(1, 1),
            up_blocks_repeat_mappers=(2, 2),
            block_types_per_layer=(plain, (*plain, "SDCascadeAttnBlock")),
            clip_text_pooled_in_channels=WIDTH,
            effnet_in_channels=16,
            pixel_mapper_in_channels=3,
            timestep_conditioning_type=("sca",),
            dropout=(0.0, 0.1),
        )
    )


def quantised() -> Any:
    """Paella's autoencoder with one block, whose pictures are of few values that are cut off."""
    from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import PaellaVQModel

    model = PaellaVQModel(bottleneck_blocks=1, embed_dim=32, num_vq_embeddings=16)
    model.out_block[0].weight.data *= 0.03
    model.out_block[0].bias.data += 0.5
    return _awake(model, ("gammas",), 0.3)


def _awake(model: Any, words: tuple[str, ...] = ("gamma", "beta"), spread: float = 0.1) -> Any:
    """The model with chance in the weights that its class begins at 0 and that would hide what they weigh."""
    import torch

    for name, weight in model.named_parameters():
        if name.rpartition(".")[2] in words:
            torch.nn.init.normal_(weight, std=spread)
    return model.eval()
