"""What a file is, told by names and shapes; near misses are told apart, unknown and broken are two answers."""

from __future__ import annotations

import pytest

from modules.sd_models.detect import Broken, Recognised, Unknown, inspect_file, is_vae
from modules.sd_models.families import load_families, load_rules
from modules.support.paths import ROOT
from tests.factories import headers as h

TABLE = ROOT / "configs" / "families.json"
RULES = load_rules(TABLE)
ADD = {"unet.add_embedding.linear_1.weight": (1280, 2816)}
KNOWN = {
    "sd15": [h.ldm_unet(768), h.diffusers_unet(768), h.diffusers_unet(768, prefix="")],
    "sd15-inpaint": [h.ldm_unet(768, 9), h.diffusers_unet(768, 9)],
    "sd15-edit": [h.ldm_unet(768, 8), h.diffusers_unet(768, 8)],
    "sd2": [h.ldm_unet(1024), h.diffusers_unet(1024)],
    "sd2-inpaint": [h.ldm_unet(1024, 9), h.diffusers_unet(1024, 9)],
    "sdxl": [h.ldm_xl(2048, 2816), h.diffusers_unet(2048) | ADD],
    "sdxl-inpaint": [h.ldm_xl(2048, 2816, 9), h.diffusers_unet(2048, 9) | ADD],
    "sdxl-refiner": [
        h.ldm_xl(1280, 2560),
        h.diffusers_unet(1280) | {"unet.add_embedding.linear_1.weight": (1536, 2560)},
    ],
    "sd3": [h.SD3, h.SD3_DIFFUSERS, {f"transformer.{name}": shape for name, shape in h.SD3_DIFFUSERS.items()}],
    "flux": [
        h.FLUX | h.FLUX_GUIDANCE,
        {f"model.diffusion_model.{name}": shape for name, shape in (h.FLUX | h.FLUX_GUIDANCE).items()},
        h.FLUX_DIFFUSERS | {"time_text_embed.guidance_embedder.linear_1.weight": (3072, 256)},
    ],
    "flux-schnell": [h.FLUX, h.FLUX_DIFFUSERS],
    "flux-kontext": [
        (h.FLUX | h.FLUX_GUIDANCE, {"modelspec.architecture": "Flux.1-kontext-dev"}),
        (
            h.FLUX_DIFFUSERS | {"time_text_embed.guidance_embedder.linear_1.weight": (3072, 256)},
            {"modelspec.title": "FLUX.1 Kontext"},
        ),
    ],
    "flux-fill": [
        h.FLUX | h.FLUX_GUIDANCE | {"img_in.weight": (3072, 384)},
        h.FLUX_DIFFUSERS
        | {"time_text_embed.guidance_embedder.linear_1.weight": (3072, 256), "x_embedder.weight": (3072, 384)},
    ],
    "chroma": [h.CHROMA, h.CHROMA_DIFFUSERS],
    "pixart": [h.PIXART, h.PIXART_DIFFUSERS],
    "lumina2": [h.LUMINA2, {f"model.diffusion_model.{k}": v for k, v in h.LUMINA2.items()}, h.LUMINA2_DIFFUSERS],
    "hunyuan-dit": [h.HUNYUAN_DIT, h.HUNYUAN_DIT_DIFFUSERS],
    "kandinsky5": [h.KANDINSKY5, {f"model.diffusion_model.{k}": v for k, v in h.KANDINSKY5.items()}],
    "wan": [h.WAN, {f"model.diffusion_model.{k}": v for k, v in h.WAN.items()}],
    "wan-i2v": [
        h.WAN
        | {
            "patch_embedding.weight": (5120, 36, 1, 2, 2),
            "img_emb.proj.1.weight": (1280, 1280),
            "blocks.0.cross_attn.norm_k_img.weight": (5120,),
        }
    ],
    "wan-ti2v": [h.WAN | {"patch_embedding.weight": (3072, 48, 1, 2, 2), "head.head.weight": (192, 3072)}],
    "ltx": [{f"model.diffusion_model.{k}": v for k, v in h.LTX.items()}, h.LTX_DIFFUSERS],
    "stable-cascade": [
        h.CASCADE,
        {f"model.diffusion_model.{k}": v for k, v in h.CASCADE.items()},
        h.CASCADE_DIFFUSERS,
    ],
    "kolors": [h.KOLORS_DIFFUSERS, {f"unet.{k}": v for k, v in h.KOLORS_DIFFUSERS.items()}],
    "flux2": [h.FLUX2, {f"model.diffusion_model.{k}": v for k, v in h.FLUX2.items()}, h.FLUX2_DIFFUSERS],
    "flux2-klein": [h.FLUX2_KLEIN, h.FLUX2_KLEIN_DIFFUSERS],
    "auraflow": [h.AURAFLOW, {f"model.diffusion_model.{k}": v for k, v in h.AURAFLOW.items()}, h.AURAFLOW_DIFFUSERS],
    "sana": [h.SANA, h.SANA_DIFFUSERS],
    "qwen-image": [h.QWEN_IMAGE, {f"model.diffusion_model.{k}": v for k, v in h.QWEN_IMAGE.items()}],
    "qwen-image-edit": [(h.QWEN_IMAGE, {"modelspec.title": "Qwen-Image-Edit"})],
    "qwen-image-edit-plus": [(h.QWEN_IMAGE, {"modelspec.title": "Qwen-Image-Edit-2509"})],
    "z-image": [h.Z_IMAGE, {f"model.diffusion_model.{k}": v for k, v in h.Z_IMAGE.items()}, h.Z_IMAGE_DIFFUSERS],
}


def look(tmp_path, shapes, **options):
    return inspect_file(h.write_weightless(tmp_path / "misleading-sdxl-name.safetensors", shapes, **options), RULES)


def test_every_family_of_the_table_is_tried_here():
    assert set(KNOWN) == {family.id for family in load_families(TABLE)}


@pytest.mark.parametrize(("family", "shapes"), [(family, one) for family, ways in KNOWN.items() for one in ways])
def test_families_are_told_apart(tmp_path, family, shapes):
    shapes, metadata = shapes if isinstance(shapes, tuple) else (shapes, None)
    outcome = look(tmp_path, shapes, metadata=metadata)
    assert isinstance(outcome, Recognised), outcome
    assert outcome.family == family


def test_models_that_differ_by_training_alone_are_told_by_the_folder_beside(tmp_path):
    path = h.write_weightless(tmp_path / "mine.safetensors", h.FLUX | h.FLUX_GUIDANCE)
    assert inspect_file(path, RULES).family == "flux"
    index = tmp_path / "mine.config" / "model_index.json"
    index.parent.mkdir()
    index.write_text('{"_class_name": "FluxKontextPipeline"}')
    assert inspect_file(path, RULES).family == "flux-kontext"


@pytest.mark.parametrize(
    ("shapes", "word"),
    [
        (h.ldm_unet(768, 5), "axis 1 should be 4"),  # a model that sees depth
        (h.ldm_unet(512), "should be"),
        (h.ldm_xl(2048, 1024), "label_emb"),
        ({k: v for k, v in h.ldm_unet(768).items() if "middle" not in k}, "middle_block"),
        (h.FLUX | {"distilled_guidance_layer.in_proj.bias": (5,)}, "distilled_guidance_layer"),
        (h.FLUX | {"img_in.weight": (3072, 384)}, "img_in.weight"),
        ({"layers.0.weight": (3, 3)}, "is missing"),
        (h.ldm_unet(768) | {"model.diffusion_model.input_hint_block.0.weight": (16, 3)}, "ControlNet"),
        ({"lora_unet_mid_block_attentions_0_proj_in.lora_down.weight": (4, 4)}, "LoRA"),
        ({"decoder.conv_in.weight": (512, 4, 3, 3), "encoder.conv_in.weight": (128, 3, 3, 3)}, "VAE"),
        ({"emb_params": (4, 768)}, "textual inversion"),
    ],
)
def test_near_misses_are_unknown_with_a_reason(tmp_path, shapes, word):
    outcome = look(tmp_path, shapes)
    assert isinstance(outcome, Unknown), outcome
    assert word in outcome.reason


def test_unknown_and_broken_are_different_answers(tmp_path):
    path = h.write_weightless(tmp_path / "x.safetensors", h.ldm_unet(768))
    path.write_bytes(path.read_bytes()[:2000])
    assert isinstance(inspect_file(path, RULES), Broken)
    assert isinstance(inspect_file(tmp_path / "absent.safetensors", RULES), Broken)
    assert isinstance(look(tmp_path, {}), Broken)


@pytest.mark.parametrize(
    "extra", [{"scaled_fp8": (0,)}, {"model.diffusion_model.input_blocks.1.1.proj_in.scale_weight": (1,)}]
)
def test_weights_that_need_scales_are_refused(tmp_path, extra):
    outcome = look(tmp_path, h.ldm_unet(768) | extra)
    assert isinstance(outcome, Broken)
    assert "quantised" in outcome.reason


def test_facts_come_from_the_header(tmp_path):
    shapes = h.ldm_unet(768, 9) | h.LDM_VAE | h.LDM_CLIP
    outcome = look(tmp_path, shapes, metadata={"modelspec.title": "A title", "other": "x"})
    assert isinstance(outcome, Recognised)
    assert outcome.facts["parts"] == ["denoiser", "vae", "text_encoder"]
    assert outcome.facts["dtype"] == "F16"
    assert (outcome.facts["in_channels"], outcome.facts["context_width"]) == (9, 768)
    assert outcome.facts["metadata_title"] == "A title"


def test_the_prediction_type_comes_from_a_marker_or_the_metadata(tmp_path):
    assert "prediction_type" not in look(tmp_path, h.ldm_unet(768)).facts
    assert look(tmp_path, h.ldm_xl(2048, 2816) | {"v_pred": ()}).facts["prediction_type"] == "v_prediction"
    said = look(tmp_path, h.ldm_unet(1024), metadata={"modelspec.prediction_type": "epsilon"})
    assert said.facts["prediction_type"] == "epsilon"


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16", "F8_E4M3"])
def test_the_precision_is_told(tmp_path, dtype):
    assert look(tmp_path, h.ldm_unet(768), dtype=dtype).facts["dtype"] == dtype


def test_autoencoders_are_told_from_other_files():
    assert is_vae({"decoder.conv_in.weight": (), "decoder.conv_out.weight": ()})
    assert is_vae({"first_stage_model.decoder.conv_in.weight": (), "first_stage_model.decoder.conv_out.weight": ()})
    assert is_vae({"decoder.layers.0.weight": (), "encoder.layers.0.weight": ()})
    assert not is_vae(h.ldm_unet(768))


def test_tiny_single_files_are_recognised(tiny_sd15_file, tiny_sd15_inpaint_file, tiny_sdxl_file):
    files = {"sd15": tiny_sd15_file, "sd15-inpaint": tiny_sd15_inpaint_file, "sdxl": tiny_sdxl_file}
    for family, file in files.items():
        outcome = inspect_file(file, RULES)
        assert isinstance(outcome, Recognised)
        assert outcome.family == family
        assert "vae" in outcome.facts["parts"]
