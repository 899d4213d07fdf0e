"""Tiny random models of the families whose text is read by T5 or a language model, as diffusers folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.factories import parts
from tests.factories.models import LATENT, T5_TOKENIZER, flow_vae, save
from tests.factories.words import save_gemma_tokenizer, save_qwen_tokenizer, save_t5_tokenizer


def tiny_chroma(folder: Path) -> Path:
    """Chroma: T5 alone, a network in place of Flux's modulations."""
    pieces = save_t5_tokenizer(folder / "tokenizer")
    with parts.seeded(8):
        components = {
            "text_encoder": parts.t5_encoder(pieces, 32),
            "tokenizer": T5_TOKENIZER,
            "transformer": chroma_transformer(),
            "vae": flow_vae(16, scale=0.3611, shift=0.1159),
            "scheduler": parts.flow_scheduler(1.0),
        }
    return save(folder, "ChromaPipeline", components, fp16=False, shard=None)


def chroma_transformer() -> Any:
    """Chroma's transformer with one block of each kind."""
    from diffusers.models.transformers.transformer_chroma import ChromaTransformer2DModel

    return ChromaTransformer2DModel(
        patch_size=1,
        in_channels=64,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        axes_dims_rope=(2, 6, 8),
        approximator_num_channels=16,
        approximator_hidden_dim=32,
        approximator_layers=2,
    ).eval()


def tiny_pixart(folder: Path) -> Path:
    """PixArt Σ: T5, cross attention, four latent channels and as many of a learned variance."""
    from diffusers.models.transformers.pixart_transformer_2d import PixArtTransformer2DModel
    from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

    pieces = save_t5_tokenizer(folder / "tokenizer")
    with parts.seeded(9):
        components = {
            "text_encoder": parts.t5_encoder(pieces, 32),
            "tokenizer": T5_TOKENIZER,
            "transformer": PixArtTransformer2DModel(
                num_attention_heads=16,
                attention_head_dim=2,
                in_channels=4,
                out_channels=8,
                num_layers=2,
                cross_attention_dim=32,
                sample_size=8,
                patch_size=2,
                caption_channels=32,
                use_additional_conditions=False,
            ).eval(),
            "vae": parts.vae(scale=0.13025),
            "scheduler": DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.02, beta_schedule="linear"),
        }
    return save(folder, "PixArtSigmaPipeline", components, fp16=False, shard=None)


def tiny_z_image(folder: Path) -> Path:
    """Z-Image: a language model for the words, refiners for words and picture, one block over both."""
    from diffusers.models.transformers.transformer_z_image import ZImageTransformer2DModel
    from transformers import Qwen3Config, Qwen3Model

    pieces = save_qwen_tokenizer(folder / "tokenizer")
    with parts.seeded(6):
        config = Qwen3Config(
            vocab_size=pieces,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=3,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=16,
            max_position_embeddings=1024,
        )
        denoiser = ZImageTransformer2DModel(
            in_channels=16,
            dim=32,
            n_layers=2,
            n_refiner_layers=1,
            n_heads=2,
            n_kv_heads=2,
            cap_feat_dim=32,
            axes_dims=[4, 6, 6],
            axes_lens=[1024, 64, 64],
        ).eval()
        for token in (denoiser.x_pad_token, denoiser.cap_pad_token):
            token.data.normal_(std=0.02)
        components = {
            "text_encoder": Qwen3Model(config).eval(),
            "tokenizer": ("transformers", "Qwen2Tokenizer"),
            "transformer": denoiser,
            "vae": flow_vae(16, scale=0.3611, shift=0.1159),
            "scheduler": parts.flow_scheduler(3.0),
        }
    return save(folder, "ZImagePipeline", components, fp16=False, shard=None)


def tiny_lumina2(folder: Path) -> Path:
    """Lumina 2: a language model for the words, refiners, and attention in which two queries share a key."""
    from diffusers.models.transformers.transformer_lumina2 import Lumina2Transformer2DModel
    from transformers import Gemma2Config, Gemma2Model

    pieces = save_gemma_tokenizer(folder / "tokenizer")
    with parts.seeded(7):
        config = Gemma2Config(
            vocab_size=pieces,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=3,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=16,
            max_position_embeddings=512,
        )
        components = {
            "text_encoder": Gemma2Model(config).eval(),
            "tokenizer": ("transformers", "GemmaTokenizer"),
            "transformer": Lumina2Transformer2DModel(
                sample_size=LATENT,
                in_channels=16,
                hidden_size=36,
                num_layers=2,
                num_refiner_layers=1,
                num_attention_heads=2,
                num_kv_heads=1,
                multiple_of=16,
                axes_dim_rope=(6, 6, 6),
                axes_lens=(300, 64, 64),
                cap_feat_dim=32,
            ).eval(),
            "vae": flow_vae(16, scale=0.3611, shift=0.1159),
            "scheduler": parts.flow_scheduler(6.0),
        }
    return save(folder, "Lumina2Pipeline", components, fp16=False, shard=None)
