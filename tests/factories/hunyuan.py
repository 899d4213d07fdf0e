"""A tiny random HunyuanDiT as a diffusers folder, and its transformer in the naming of the original code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.factories import parts
from tests.factories.models import NO_CHECKER, T5_TOKENIZER, save
from tests.factories.words import WORDS, save_t5_tokenizer


def tiny_hunyuan_dit(folder: Path) -> Path:
    """HunyuanDiT: BERT and T5 for the words, a block that another skips to."""
    from diffusers.models.transformers.hunyuan_transformer_2d import HunyuanDiT2DModel
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
    from transformers import BertConfig, BertModel

    words = save_bert_tokenizer(folder / "tokenizer")
    pieces = save_t5_tokenizer(folder / "tokenizer_2")
    reader = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    with parts.seeded(18):
        components = {
            "text_encoder": BertModel(BertConfig(vocab_size=words, max_position_embeddings=80, **reader)).eval(),
            "tokenizer": ("transformers", "BertTokenizer"),
            "text_encoder_2": parts.t5_encoder(pieces, 32),
            "tokenizer_2": T5_TOKENIZER,
            "transformer": HunyuanDiT2DModel(
                num_attention_heads=2,
                attention_head_dim=16,
                in_channels=4,
                patch_size=2,
                sample_size=8,
                hidden_size=32,
                num_layers=4,
                mlp_ratio=1.0,
                cross_attention_dim=32,
                cross_attention_dim_t5=32,
                pooled_projection_dim=32,
                use_style_cond_and_image_meta_size=True,
            ).eval(),
            "vae": parts.vae(scale=0.13025),
            "scheduler": DDPMScheduler(
                beta_start=0.00085, beta_end=0.018, beta_schedule="scaled_linear", prediction_type="v_prediction"
            ),
        }
    return save(folder, "HunyuanDiTPipeline", components | NO_CHECKER, fp16=False, shard=None)


def save_bert_tokenizer(folder: Path) -> int:
    """Write a tokenizer of letters and a few words in BERT's manner; returns the size of its vocabulary."""
    from transformers import BertTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    pieces += [*(word for word in WORDS if len(word) > 1), *".,:;!?'\"()-"]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    BertTokenizer(vocab=vocabulary, model_max_length=77).save_pretrained(folder)
    return len(vocabulary)


OUTER = {
    "pos_embed.proj": "x_embedder.proj",
    "text_embedder.linear_1": "mlp_t5.0",
    "text_embedder.linear_2": "mlp_t5.2",
    "time_extra_emb.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "time_extra_emb.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "time_extra_emb.extra_embedder.linear_1": "extra_embedder.0",
    "time_extra_emb.extra_embedder.linear_2": "extra_embedder.2",
    "time_extra_emb.": "",
    "proj_out": "final_layer.linear",
}
INNER = {
    "norm1.linear": "default_modulation.1",
    "norm1.norm": "norm1",
    "attn2.to_q": "attn2.q_proj",
    "norm_q": "q_norm",
    "norm_k": "k_norm",
    "to_out.0": "out_proj",
    "ff.net.0.proj": "mlp.fc1",
    "ff.net.2": "mlp.fc2",
}
JOINED = {"attn1.to_q": ("attn1.Wqkv", "to_q", "to_k", "to_v"), "attn2.to_k": ("attn2.kv_proj", "to_k", "to_v")}
OTHER = {"norm2": "norm3", "norm3": "norm2"}


def hunyuan_dit(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The transformer of HunyuanDiT."""
    import torch

    named: dict[str, Any] = {}
    for name, value in weights.items():
        if found := re.fullmatch(r"(blocks\.\d+)\.(attn1\.to_q|attn2\.to_k)\.(weight|bias)", name):
            theirs, *ours = JOINED[found[2]]
            three = [weights[name.replace(ours[0], layer)] for layer in ours]
            named[f"{found[1]}.{theirs}.{found[3]}"] = torch.cat(three)
        elif found := re.fullmatch(r"norm_out\.linear\.(weight|bias)", name):
            scale, shift = value.chunk(2)
            named[f"final_layer.adaLN_modulation.1.{found[1]}"] = torch.cat([shift, scale])
        elif not re.search(r"(attn1\.to_[kv]|attn2\.to_v)\.", name):
            for ours, theirs in (INNER if name.startswith("blocks.") else OUTER).items():
                name = name.replace(ours, theirs)
            named[re.sub(r"norm[23]", lambda found: OTHER[found[0]], name)] = value
    return named
