"""A tiny random Kolors as a diffusers folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.factories import parts
from tests.factories.models import LATENT, NO_PART, save
from tests.factories.words import save_chatglm_tokenizer


def tiny_kolors(folder: Path) -> Path:
    """Kolors: a UNet in SDXL's layout, and ChatGLM3 of two layers, whose heads are as wide as published."""
    pieces = save_chatglm_tokenizer(folder / "tokenizer")
    with parts.seeded(19):
        scheduler = parts.sd_scheduler()
        components = {
            "text_encoder": chatglm(pieces),
            "tokenizer": ("kolors", "ChatGLMTokenizer"),
            "unet": parts.unet(
                (64, 64, 128),
                2048,
                sample_size=LATENT,
                attention_head_dim=(1, 1, 2),
                use_linear_projection=True,
                transformer_layers_per_block=(1, 1, 2),
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                addition_embed_type="text_time",
                addition_time_embed_dim=256,
                projection_class_embeddings_input_dim=WIDTH + 6 * 256,
                encoder_hid_dim_type="text_proj",
                encoder_hid_dim=WIDTH,
            ),
            "vae": parts.vae(scale=0.13025, force_upcast=True),
            "scheduler": type(scheduler).from_config(scheduler.config, num_train_timesteps=1100, beta_end=0.014),
            "image_encoder": NO_PART,
            "feature_extractor": NO_PART,
            "force_zeros_for_empty_prompt": False,
        }
    return save(folder, "KolorsPipeline", components, fp16=False, shard=None)


WIDTH = 32


def chatglm(pieces: int) -> Any:
    """A ChatGLM3 with a vocabulary of that many tokens; the class itself fills no weight."""
    import torch
    from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig, ChatGLMModel

    config = ChatGLMConfig(
        num_layers=2,
        padded_vocab_size=pieces,
        hidden_size=WIDTH,
        ffn_hidden_size=48,
        kv_channels=128,
        num_attention_heads=2,
        multi_query_attention=True,
        multi_query_group_num=1,
        add_qkv_bias=True,
        seq_length=512,
        original_rope=True,
    )
    model = ChatGLMModel(config, empty_init=False)
    for name, weight in model.named_parameters():
        torch.nn.init.ones_(weight) if "norm" in name else torch.nn.init.normal_(weight, std=0.1)
    return model.eval()
