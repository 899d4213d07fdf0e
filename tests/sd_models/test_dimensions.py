"""The published models: configs derived from their real shapes equal the configs they were published with."""

from __future__ import annotations

import pytest
import torch

from modules.contracts.errors import BrokenModel
from modules.sd_models import (
    cascade_dimensions,
    dimensions,
    ltx_parts,
    original_names,
    part_dimensions,
    transformer_dimensions,
)
from modules.sd_models.detect import inspect_header
from modules.sd_models.families import load_rules
from modules.sd_models.header import Header, TensorInfo
from modules.sd_models.places import naming_of
from modules.support.latent_shape import factor_of
from modules.support.paths import ROOT
from tests.factories import flow_models, flux2, hunyuan, ldm_keys, ltx, qwen, transformer_keys, video
from tests.factories.single_files import cascade_keys

RULES = load_rules(ROOT / "configs" / "families.json")
CROSS, PLAIN = "CrossAttnDownBlock2D", "DownBlock2D"
SD = {"block_out_channels": (320, 640, 1280, 1280), "layers_per_block": 2, "in_channels": 4, "out_channels": 4}
UNETS = {
    "sd15": {**SD, "cross_attention_dim": 768, "attention_head_dim": 8},
    "sd15-inpaint": {**SD, "in_channels": 9, "cross_attention_dim": 768, "attention_head_dim": 8},
    "sd2": {
        **SD,
        "cross_attention_dim": 1024,
        "attention_head_dim": (5, 10, 20, 20),
        "use_linear_projection": True,
    },
    "sdxl": {
        **SD,
        "block_out_channels": (320, 640, 1280),
        "cross_attention_dim": 2048,
        "attention_head_dim": (5, 10, 20),
        "use_linear_projection": True,
        "transformer_layers_per_block": (1, 2, 10),
        "down_block_types": (PLAIN, CROSS, CROSS),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
    "sdxl-refiner": {
        **SD,
        "block_out_channels": (384, 768, 1536, 1536),
        "cross_attention_dim": 1280,
        "attention_head_dim": (6, 12, 24, 24),
        "use_linear_projection": True,
        "transformer_layers_per_block": 4,
        "down_block_types": (PLAIN, CROSS, CROSS, PLAIN),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2560,
    },
}


def empty(kind, config):
    with torch.device("meta"):
        return kind(**config)


def shapes_of(weights):
    return {name: tuple(value.shape) for name, value in weights.items()}


@pytest.mark.parametrize("family", UNETS)
def test_unets(family):
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    model = empty(UNet2DConditionModel, UNETS[family])
    weights = model.state_dict()
    original = shapes_of(ldm_keys.unet(weights, model.config))
    derived = dimensions.unet(original)
    assert derived == dimensions.unet_diffusers(shapes_of(weights))
    rebuilt = empty(UNet2DConditionModel, derived)
    assert shapes_of(rebuilt.state_dict()) == shapes_of(weights)
    for key in ("attention_head_dim", "addition_time_embed_dim", "down_block_types", "up_block_types"):
        assert rebuilt.config[key] == model.config[key], key
    prefixed = {f"model.diffusion_model.{name}": TensorInfo("F16", shape, 0, 0) for name, shape in original.items()}
    assert inspect_header(Header(prefixed), RULES, "x").family == family


def test_autoencoders():
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    for changes in ({}, {"latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False}):
        config = {
            "block_out_channels": (128, 256, 512, 512),
            "down_block_types": ("DownEncoderBlock2D",) * 4,
            "up_block_types": ("UpDecoderBlock2D",) * 4,
            "layers_per_block": 2,
            **changes,
        }
        model = empty(AutoencoderKL, config)
        weights = model.state_dict()
        derived = dimensions.vae(shapes_of(ldm_keys.vae(weights, 4)))
        assert derived == dimensions.vae(shapes_of(weights))
        assert shapes_of(empty(AutoencoderKL, derived).state_dict()) == shapes_of(weights)


@pytest.mark.parametrize(
    "config",
    [
        {"num_layers": 2, "num_attention_heads": 24, "caption_projection_dim": 1536, "pos_embed_max_size": 192},
        {
            "num_layers": 2,
            "num_attention_heads": 24,
            "caption_projection_dim": 1536,
            "pos_embed_max_size": 384,
            "dual_attention_layers": (0,),
            "qk_norm": "rms_norm",
        },
    ],
)
def test_sd3(config):
    from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel

    with torch.device("meta"):
        weights = SD3Transformer2DModel(**config, sample_size=128, out_channels=16).state_dict()
    derived = dimensions.sd3(shapes_of(transformer_keys.sd3(weights)))
    with torch.device("meta"):
        assert shapes_of(SD3Transformer2DModel(**derived, sample_size=128).state_dict()) == shapes_of(weights)
    assert {key: derived[key] for key in config} == config
    assert derived["joint_attention_dim"] == 4096


def test_flux():
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

    with torch.device("meta"):
        model = FluxTransformer2DModel(num_layers=1, num_single_layers=2, guidance_embeds=True)
    derived = dimensions.flux(shapes_of(transformer_keys.flux(model.state_dict())))
    assert derived["axes_dims_rope"] == (16, 56, 56)
    for key in ("attention_head_dim", "num_attention_heads", "joint_attention_dim", "pooled_projection_dim"):
        assert derived[key] == model.config[key]
    with torch.device("meta"):
        assert shapes_of(FluxTransformer2DModel(**derived).state_dict()) == shapes_of(model.state_dict())


def test_chroma():
    from diffusers.models.transformers.transformer_chroma import ChromaTransformer2DModel

    with torch.device("meta"):
        model = ChromaTransformer2DModel(num_layers=1, num_single_layers=2)
    derived = dimensions.chroma(shapes_of(transformer_keys.chroma(model.state_dict())))
    assert derived == {key: model.config[key] or derived[key] for key in derived}
    with torch.device("meta"):
        assert shapes_of(ChromaTransformer2DModel(**derived).state_dict()) == shapes_of(model.state_dict())


def test_pixart():
    from diffusers.models.transformers.pixart_transformer_2d import PixArtTransformer2DModel

    with torch.device("meta"):
        model = PixArtTransformer2DModel(num_layers=2, caption_channels=4096, use_additional_conditions=False)
        shapes = shapes_of(transformer_keys.pixart(model.state_dict()))
    derived = dimensions.pixart({**shapes, "pos_embed": (1, 64 * 64, 1152)})
    assert derived == {key: model.config[key] for key in derived}
    assert derived["sample_size"] == 128


def test_z_image():
    from diffusers.models.transformers.transformer_z_image import ZImageTransformer2DModel

    with torch.device("meta"):
        model = ZImageTransformer2DModel(n_layers=2)
        shapes = shapes_of(model.state_dict())
        original = shapes_of(transformer_keys.z_image(model.state_dict()))
    for given in (shapes, original):
        derived = dimensions.z_image(given)
        assert derived == {key: model.config[key] for key in derived}


def test_lumina2():
    from diffusers.models.transformers.transformer_lumina2 import Lumina2Transformer2DModel

    with torch.device("meta"):
        model = Lumina2Transformer2DModel(num_layers=2, cap_feat_dim=2304)
        derived = dimensions.lumina2(shapes_of(transformer_keys.lumina2(model.state_dict())))
        assert derived == {key: model.config[key] for key in derived}
        assert shapes_of(Lumina2Transformer2DModel(**derived).state_dict()) == shapes_of(model.state_dict())


def test_qwen_image():
    from diffusers.models.transformers.transformer_qwenimage import QwenImageTransformer2DModel

    with torch.device("meta"):
        model = QwenImageTransformer2DModel(num_layers=2)
    derived = transformer_dimensions.qwen_image(shapes_of(model.state_dict()))
    assert derived == {key: model.config[key] for key in derived}


@pytest.mark.parametrize("seen", [{}, {"in_channels": 36, "image_dim": 1280, "added_kv_proj_dim": 1536}])
def test_wan(seen):
    from diffusers.models.transformers.transformer_wan import WanTransformer3DModel

    with torch.device("meta"):
        model = WanTransformer3DModel(num_attention_heads=12, ffn_dim=8960, num_layers=2, **seen)
    original = video.wan(model.state_dict())
    derived = transformer_dimensions.wan(shapes_of(original))
    assert derived == {key: model.config[key] for key in derived}
    assert shapes_of(original_names.wan(original)) == shapes_of(model.state_dict())


LATER = {
    "down_block_types": ("LTXVideo095DownBlock3D",) * 4,
    "block_out_channels": (8, 16, 32, 64, 128),
    "decoder_block_out_channels": (16, 32, 64),
    "layers_per_block": (2, 3, 3, 1, 2),
    "decoder_layers_per_block": (1, 2, 3, 2),
    "spatio_temporal_scaling": (True,) * 4,
    "decoder_spatio_temporal_scaling": (True,) * 3,
    "decoder_inject_noise": (False,) * 4,
    "downsample_type": ("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
    "upsample_residual": (True,) * 3,
    "upsample_factor": (2, 2, 2),
    "timestep_conditioning": True,
    "spatial_compression_ratio": 32,
    "temporal_compression_ratio": 8,
}
"""The autoencoder of LTX-Video since 0.9.5, only narrower."""


@pytest.mark.parametrize("kind", ["first", "told", "later"])
def test_the_autoencoders_of_ltx_video(kind):
    from diffusers.models.autoencoders.autoencoder_kl_ltx import AutoencoderKLLTXVideo

    model = AutoencoderKLLTXVideo(**LATER) if kind == "later" else ltx.ltx_vae(told=kind == "told")
    weights = model.state_dict()
    original = ltx.vae_original(weights)
    assert naming_of(original) == "ltx"
    assert naming_of(weights) == "diffusers"
    back = ltx_parts.vae_names(original)
    assert shapes_of(back) == shapes_of(weights)
    assert all(torch.equal(value, weights[name]) for name, value in back.items())
    for shapes in (shapes_of(original), shapes_of(weights)):
        derived = ltx_parts.vae(shapes)
        assert derived == {key: model.config[key] for key in derived}
        rebuilt = AutoencoderKLLTXVideo(**derived)
        assert shapes_of(rebuilt.state_dict()) == shapes_of(weights)
        assert rebuilt.spatial_compression_ratio == factor_of(rebuilt.config) == 32
        assert rebuilt.temporal_compression_ratio == 8


def test_ltx_video():
    from diffusers.models.transformers.transformer_ltx import LTXVideoTransformer3DModel

    with torch.device("meta"):
        model = LTXVideoTransformer3DModel(num_layers=2)
    weights = model.state_dict()
    written = ltx.original(weights, {"latents_mean": torch.zeros(1)})
    below = {
        name.removeprefix("model.diffusion_model."): value for name, value in written.items() if "vae." not in name
    }
    derived = ltx_parts.transformer(shapes_of(below))
    assert derived == {key: model.config[key] for key in derived}
    assert shapes_of(ltx_parts.transformer_names(below)) == shapes_of(weights)


def test_the_two_kinds_of_t5_are_told_apart():
    from transformers import T5Config, T5EncoderModel, UMT5Config, UMT5EncoderModel

    for kind, config, naming in ((T5EncoderModel, T5Config, "t5"), (UMT5EncoderModel, UMT5Config, "umt5")):
        with torch.device("meta"):
            model = kind(config(num_layers=2, d_model=32, d_ff=48))
        assert naming_of(model.state_dict()) == naming


def test_auraflow():
    from diffusers.models.transformers.auraflow_transformer_2d import AuraFlowTransformer2DModel

    with torch.device("meta"):
        model = AuraFlowTransformer2DModel(num_mmdit_layers=1, num_single_dit_layers=2, pos_embed_max_size=9216)
    original = flow_models.auraflow(model.state_dict())
    derived = transformer_dimensions.auraflow(shapes_of(original))
    assert derived == {key: model.config[key] for key in derived}
    assert shapes_of(original_names.auraflow(original)) == shapes_of(model.state_dict())


@pytest.mark.parametrize("normed", [None, "rms_norm_across_heads"])
def test_sana(normed):
    from diffusers.models.transformers.sana_transformer import SanaTransformer2DModel

    with torch.device("meta"):
        model = SanaTransformer2DModel(num_layers=2, qk_norm=normed)
        original = flow_models.sana(model.state_dict())
        derived = transformer_dimensions.sana(shapes_of(original))
        assert derived == {key: model.config[key] for key in derived}
        assert shapes_of(original_names.sana(original)) == shapes_of(model.state_dict())


def test_flux2():
    from diffusers.models.transformers.transformer_flux2 import Flux2Transformer2DModel

    with torch.device("meta"):
        model = Flux2Transformer2DModel(num_layers=1, num_single_layers=2)
        original = flux2.flux2(model.state_dict())
        derived = transformer_dimensions.flux2(shapes_of(original))
        assert derived == {key: model.config[key] for key in derived}
        assert shapes_of(original_names.flux2(original)) == shapes_of(model.state_dict())


STAGES = {
    "c": {
        "clip_text_in_channels": 1280,
        "clip_image_in_channels": 768,
        "down_num_layers_per_block": (2, 3),
        "up_num_layers_per_block": (3, 2),
        "switch_level": (False,),
    },
    "c lite": {
        "clip_text_in_channels": 1280,
        "clip_image_in_channels": 768,
        "block_out_channels": (1536, 1536),
        "conditioning_dim": 1536,
        "num_attention_heads": (24, 24),
        "down_num_layers_per_block": (1, 2),
        "up_num_layers_per_block": (2, 1),
        "switch_level": (False,),
    },
    "b": {
        "in_channels": 4,
        "out_channels": 4,
        "patch_size": 2,
        "conditioning_dim": 1280,
        "block_out_channels": (320, 640, 1280, 1280),
        "num_attention_heads": (-1, -1, 20, 20),
        "down_num_layers_per_block": (2, 1, 2, 1),
        "up_num_layers_per_block": (1, 2, 1, 2),
        "down_blocks_repeat_mappers": (1, 1, 1, 1),
        "up_blocks_repeat_mappers": (3, 3, 2, 2),
        "block_types_per_layer": (
            ("SDCascadeResBlock", "SDCascadeTimestepBlock"),
            ("SDCascadeResBlock", "SDCascadeTimestepBlock"),
            ("SDCascadeResBlock", "SDCascadeTimestepBlock", "SDCascadeAttnBlock"),
            ("SDCascadeResBlock", "SDCascadeTimestepBlock", "SDCascadeAttnBlock"),
        ),
        "effnet_in_channels": 16,
        "pixel_mapper_in_channels": 3,
        "dropout": (0, 0, 0.1, 0.1),
        "timestep_conditioning_type": ("sca",),
    },
}
"""As published, with fewer layers."""


@pytest.mark.parametrize("stage", STAGES)
def test_stable_cascade(stage):
    from diffusers.models.unets.unet_stable_cascade import StableCascadeUNet

    with torch.device("meta"):
        model = StableCascadeUNet(**STAGES[stage])
        original = cascade_keys(model.state_dict())
        derived = cascade_dimensions.unet(shapes_of(original))
        assert derived == cascade_dimensions.unet(shapes_of(model.state_dict()))
        assert {**derived, "dropout": None} == {**{key: model.config[key] for key in derived}, "dropout": None}
        assert shapes_of(original_names.cascade(original)) == shapes_of(model.state_dict())


def test_paella():
    from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import PaellaVQModel

    with torch.device("meta"):
        model = PaellaVQModel()
    derived = cascade_dimensions.paella(shapes_of(model.state_dict()))
    assert derived == {key: model.config[key] for key in derived}


def test_kandinsky5():
    from diffusers.models.transformers.transformer_kandinsky import Kandinsky5Transformer3DModel

    published = {"in_visual_dim": 16, "out_visual_dim": 16, "model_dim": 2560, "ff_dim": 10240, "num_visual_blocks": 2}
    with torch.device("meta"):
        for wide in (False, True):
            model = Kandinsky5Transformer3DModel(**published, visual_cond=wide, axes_dims=(32, 48, 48))
            derived = transformer_dimensions.kandinsky5(shapes_of(model.state_dict()))
            assert derived == {key: model.config[key] for key in derived}


@pytest.mark.parametrize("styled", [True, False])
def test_hunyuan_dit(styled):
    from diffusers.models.transformers.hunyuan_transformer_2d import HunyuanDiT2DModel

    published = {"in_channels": 4, "patch_size": 2, "hidden_size": 1408, "mlp_ratio": 4.3637, "sample_size": 128}
    with torch.device("meta"):
        model = HunyuanDiT2DModel(num_layers=4, use_style_cond_and_image_meta_size=styled, **published)
        original = hunyuan.hunyuan_dit(model.state_dict())
        derived = transformer_dimensions.hunyuan_dit(shapes_of(original))
        assert {**derived, "mlp_ratio": 4.3637} == {key: model.config[key] for key in derived}
        assert shapes_of(HunyuanDiT2DModel(**derived).state_dict()) == shapes_of(model.state_dict())
        assert shapes_of(original_names.hunyuan_dit(original)) == shapes_of(model.state_dict())


def test_bert():
    from transformers import BertConfig, BertModel

    config = BertConfig(vocab_size=47020, hidden_size=1024, num_hidden_layers=2, num_attention_heads=16)
    with torch.device("meta"):
        shapes = shapes_of(BertModel(config).state_dict())
    assert naming_of(shapes) == "bert"
    derived = part_dimensions.bert(shapes)
    assert derived == {key: getattr(config, key) for key in derived}


def test_mistral():
    from transformers import MistralConfig, MistralModel

    config = MistralConfig(
        vocab_size=1310,
        hidden_size=5120,
        intermediate_size=3276,
        num_hidden_layers=2,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
    )
    with torch.device("meta"):
        shapes = shapes_of(MistralModel(config).state_dict())
    assert naming_of(shapes) == "mistral"
    assert naming_of({*shapes, "layers.0.self_attn.q_proj.bias"}) is None  # Qwen2
    derived = part_dimensions.mistral(shapes)
    assert derived == {key: getattr(config, key) for key in derived}


def test_kolors():
    """Its UNet is shared in the naming of diffusers, its reader in that of its authors, a level deeper."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig, ChatGLMModel

    wide = {"encoder_hid_dim_type": "text_proj", "encoder_hid_dim": 4096}
    config = {**UNETS["sdxl"], **wide, "projection_class_embeddings_input_dim": 5632}
    shapes = shapes_of(empty(UNet2DConditionModel, config).state_dict())
    derived = dimensions.unet_diffusers(shapes)
    assert {key: derived[key] for key in wide} == wide
    assert shapes_of(empty(UNet2DConditionModel, derived).state_dict()) == shapes
    grouped = {"multi_query_attention": True, "multi_query_group_num": 2, "add_qkv_bias": True}
    words = ChatGLMConfig(num_layers=2, original_rope=True, **grouped)
    with torch.device("meta"):
        shapes = shapes_of(ChatGLMModel(words, empty_init=False).state_dict())
    assert naming_of(shapes) == "chatglm"
    derived = part_dimensions.chatglm(shapes)
    assert derived == {key: getattr(words, key) for key in derived}


def test_autoencoders_for_films():
    from diffusers.models.autoencoders.autoencoder_kl_qwenimage import AutoencoderKLQwenImage

    with torch.device("meta"):
        model = AutoencoderKLQwenImage()
    weights = model.state_dict()
    original = qwen.wan_names(weights)
    for shapes in (shapes_of(weights), shapes_of(original)):
        derived = part_dimensions.film_vae(shapes)
        assert derived == {key: model.config[key] for key in derived}
    assert shapes_of(original_names.film_vae(original)) == shapes_of(weights)
    assert naming_of(original) == "wan"


def test_an_autoencoder_whose_statistics_nobody_knows_wants_its_config():
    weights = video.wan_vae_2().state_dict()
    with pytest.raises(BrokenModel, match="48 channels"):
        part_dimensions.film_vae(shapes_of(weights))


def test_qwen2_vl():
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    text = {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 2, "num_attention_heads": 28}
    config = Qwen2_5_VLConfig(
        text_config={**text, "num_key_value_heads": 4},
        vision_config={"depth": 8, "hidden_size": 1280, "fullatt_block_indexes": [7]},
    )
    with torch.device("meta"):
        shapes = shapes_of(Qwen2_5_VLForConditionalGeneration(config).state_dict())
    assert naming_of(shapes) == "qwen2_vl"
    derived = part_dimensions.qwen2_vl(shapes)
    for key, value in derived["vision_config"].items():
        assert getattr(config.vision_config, key) == value, key
    assert {key: derived["text_config"][key] for key in text} == text
    assert derived["text_config"]["num_key_value_heads"] == 4


def test_gemma2():
    from transformers import Gemma2Config, Gemma2Model

    with torch.device("meta"):
        model = Gemma2Model(Gemma2Config(num_hidden_layers=2))
    derived = dimensions.gemma2(shapes_of(model.state_dict()))
    assert derived == {key: getattr(model.config, key) for key in derived}


def test_qwen3():
    from transformers import Qwen3Config, Qwen3Model

    config = Qwen3Config(hidden_size=2560, intermediate_size=9728, num_hidden_layers=2, num_key_value_heads=8)
    with torch.device("meta"):
        shapes = shapes_of(Qwen3Model(config).state_dict())
    derived = dimensions.qwen3(shapes)
    assert derived == {key: getattr(config, key) for key in derived}


def test_text_encoders():
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection, T5Config, T5EncoderModel

    large = CLIPTextConfig(
        hidden_size=1280,
        intermediate_size=5120,
        num_hidden_layers=2,
        num_attention_heads=20,
        projection_dim=1280,
        hidden_act="gelu",
    )
    with torch.device("meta"):
        weights = CLIPTextModelWithProjection(large).state_dict()
    for derived in (dimensions.clip(shapes_of(weights)), dimensions.open_clip(shapes_of(ldm_keys.open_clip(weights)))):
        for key, value in derived.items():
            assert getattr(large, key) == value, key
    xxl = T5Config(d_model=4096, d_kv=64, d_ff=10240, num_layers=2, num_heads=64, feed_forward_proj="gated-gelu")
    with torch.device("meta"):
        weights = T5EncoderModel(xxl).state_dict()
    for key, value in dimensions.t5(shapes_of(weights)).items():
        assert getattr(xxl, key) == value, key


def test_the_vocabulary_of_clip_is_clips():
    """Token numbers that every CLIP has."""
    from modules.sd_models.sources import CONFIGS, read_recipe
    from modules.sd_models.vocabulary import make_tokenizer

    parts = read_recipe("sdxl")["parts"]
    first = make_tokenizer(parts["tokenizer"], CONFIGS, (), "")
    assert first("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert first("hello", padding="max_length").input_ids[-1] == 49407
    second = make_tokenizer(parts["tokenizer_2"], CONFIGS, (), "")
    assert second("hello", padding="max_length").input_ids[-1] == 0
    assert (len(first), first.model_max_length) == (49408, 77)
