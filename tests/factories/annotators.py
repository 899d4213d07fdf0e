"""Tiny networks that make maps: depth of three kinds, and segments."""

from __future__ import annotations

import json

SEEN = {"size": {"height": 32, "width": 32}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}


def write(folder, network, **looks):
    network.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(SEEN | looks))
    return folder


TRUNK = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2}
NECK = {"neck_hidden_sizes": [8, 8, 8, 8], "fusion_hidden_size": 8}
TAPPED = {"out_features": ["stage1", "stage2", "stage3", "stage4"], "reshape_hidden_states": False}


def build_dpt():
    from transformers import DPTConfig, DPTForDepthEstimation

    config = DPTConfig(
        **TRUNK,
        intermediate_size=16,
        image_size=32,
        patch_size=8,
        backbone_out_indices=[0, 1, 2, 3],
        **NECK,
        reassemble_factors=[4, 2, 1, 0.5],
    )
    return DPTForDepthEstimation(config)


def build_anything():
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    backbone = Dinov2Config(
        **TRUNK,
        mlp_ratio=1,
        image_size=56,
        patch_size=14,
        **TAPPED,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=16,
        **NECK,
        head_hidden_size=8,
    )
    return DepthAnythingForDepthEstimation(config)


def build_zoe():
    from transformers import BeitConfig, ZoeDepthConfig, ZoeDepthForDepthEstimation

    backbone = BeitConfig(
        **TRUNK,
        intermediate_size=16,
        image_size=32,
        patch_size=8,
        **TAPPED,
        use_relative_position_bias=True,
    )
    config = ZoeDepthConfig(
        backbone_config=backbone,
        backbone_hidden_size=16,
        reassemble_factors=[4, 2, 1, 0.5],
        **NECK,
        bottleneck_features=8,
        num_relative_features=8,
        bin_embedding_dim=8,
        num_attractors=[4, 2, 2, 1],
        bin_configurations=[{"name": "nyu", "n_bins": 8, "min_depth": 0.001, "max_depth": 10.0}],
    )
    return ZoeDepthForDepthEstimation(config)


def build_segformer(labels=150):
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    config = SegformerConfig(
        num_labels=labels,
        hidden_sizes=[8, 8, 8, 8],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 1, 1],
        decoder_hidden_size=8,
    )
    return SegformerForSemanticSegmentation(config)
