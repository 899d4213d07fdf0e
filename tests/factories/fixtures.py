"""The tiny models as fixtures: each is built at most once a run. Tests must not change the files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.factories import (
    cascade,
    flow_models,
    flux2,
    hunyuan,
    kandinsky,
    kolors,
    ltx,
    models,
    qwen,
    transformers,
    video,
)
from tests.factories.single_files import single_file


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory) -> Path:
    """The folder in which the tiny models of this run stand."""
    return tmp_path_factory.mktemp("tiny-models")


@pytest.fixture(scope="session")
def tiny_sd15_folder(tiny_models) -> Path:
    """SD 1.5 as a diffusers folder."""
    return models.tiny_sd15(tiny_models / "tiny-sd15")


@pytest.fixture(scope="session")
def tiny_sd15_inpaint_folder(tiny_models) -> Path:
    """SD 1.5 inpainting as a diffusers folder."""
    return models.tiny_sd15_inpaint(tiny_models / "tiny-sd15-inpaint")


@pytest.fixture(scope="session")
def tiny_sd2_folder(tiny_models) -> Path:
    """SD 2.1 with v-prediction as a diffusers folder."""
    return models.tiny_sd2(tiny_models / "tiny-sd2")


@pytest.fixture(scope="session")
def tiny_sdxl_folder(tiny_models) -> Path:
    """SDXL as a diffusers folder."""
    return models.tiny_sdxl(tiny_models / "tiny-sdxl")


@pytest.fixture(scope="session")
def tiny_sd3_folder(tiny_models) -> Path:
    """SD 3 with its three text encoders as a diffusers folder."""
    return models.tiny_sd3(tiny_models / "tiny-sd3")


@pytest.fixture(scope="session")
def tiny_flux_folder(tiny_models) -> Path:
    """Flux.1 dev as a diffusers folder."""
    return models.tiny_flux(tiny_models / "tiny-flux")


@pytest.fixture(scope="session")
def tiny_sd15_file(tiny_models, tiny_sd15_folder) -> Path:
    """The SD 1.5 model as a single file in LDM layout, with its sidecar folder."""
    return single_file(tiny_sd15_folder, tiny_models / "tiny-sd15-file.safetensors", "sd15")


@pytest.fixture(scope="session")
def tiny_sd15_inpaint_file(tiny_models, tiny_sd15_inpaint_folder) -> Path:
    """The SD 1.5 inpainting model as a single file in LDM layout, with its sidecar folder."""
    return single_file(tiny_sd15_inpaint_folder, tiny_models / "tiny-sd15-inpaint-file.safetensors", "sd15")


@pytest.fixture(scope="session")
def tiny_sdxl_file(tiny_models, tiny_sdxl_folder) -> Path:
    """The SDXL model as a single file in LDM layout, with its sidecar folder."""
    return single_file(tiny_sdxl_folder, tiny_models / "tiny-sdxl-file.safetensors", "sdxl")


@pytest.fixture(scope="session")
def tiny_sd2_file(tiny_models, tiny_sd2_folder) -> Path:
    """The SD 2.1 model as a single file in LDM layout, with its sidecar folder."""
    return single_file(tiny_sd2_folder, tiny_models / "tiny-sd2-file.safetensors", "sd2")


@pytest.fixture(scope="session")
def tiny_sd3_file(tiny_models, tiny_sd3_folder) -> Path:
    """The SD 3 model with its text encoders as a single file, with its sidecar folder."""
    return single_file(tiny_sd3_folder, tiny_models / "tiny-sd3-file.safetensors", "sd3")


@pytest.fixture(scope="session")
def tiny_flux_file(tiny_models, tiny_flux_folder) -> Path:
    """Flux's transformer as a single file; its sidecar folder holds VAE and text encoders."""
    return single_file(tiny_flux_folder, tiny_models / "tiny-flux-file.safetensors", "flux")


@pytest.fixture(scope="session")
def tiny_chroma_folder(tiny_models) -> Path:
    """Chroma as a diffusers folder."""
    return transformers.tiny_chroma(tiny_models / "tiny-chroma")


@pytest.fixture(scope="session")
def tiny_chroma_file(tiny_models, tiny_chroma_folder) -> Path:
    """Chroma's transformer as a single file; its sidecar folder holds VAE and text encoder."""
    return single_file(tiny_chroma_folder, tiny_models / "tiny-chroma-file.safetensors", "chroma")


@pytest.fixture(scope="session")
def tiny_pixart_folder(tiny_models) -> Path:
    """PixArt Σ as a diffusers folder."""
    return transformers.tiny_pixart(tiny_models / "tiny-pixart")


@pytest.fixture(scope="session")
def tiny_pixart_file(tiny_models, tiny_pixart_folder) -> Path:
    """PixArt's transformer as a single file; its sidecar folder holds VAE and text encoder."""
    return single_file(tiny_pixart_folder, tiny_models / "tiny-pixart-file.safetensors", "pixart")


@pytest.fixture(scope="session")
def tiny_zimage_folder(tiny_models) -> Path:
    """Z-Image as a diffusers folder."""
    return transformers.tiny_z_image(tiny_models / "tiny-zimage")


@pytest.fixture(scope="session")
def tiny_zimage_file(tiny_models, tiny_zimage_folder) -> Path:
    """Z-Image's transformer as a single file; its sidecar folder holds VAE and text encoder."""
    return single_file(tiny_zimage_folder, tiny_models / "tiny-zimage-file.safetensors", "z-image")


@pytest.fixture(scope="session")
def tiny_lumina2_folder(tiny_models) -> Path:
    """Lumina 2 as a diffusers folder."""
    return transformers.tiny_lumina2(tiny_models / "tiny-lumina2")


@pytest.fixture(scope="session")
def tiny_lumina2_file(tiny_models, tiny_lumina2_folder) -> Path:
    """Lumina 2's transformer as a single file; its sidecar folder holds VAE and text encoder."""
    return single_file(tiny_lumina2_folder, tiny_models / "tiny-lumina2-file.safetensors", "lumina2")


@pytest.fixture(scope="session")
def tiny_qwenimage_folder(tiny_models) -> Path:
    """Qwen-Image as a diffusers folder."""
    return qwen.tiny_qwen_image(tiny_models / "tiny-qwen-image")


@pytest.fixture(scope="session")
def tiny_qwenimage_file(tiny_models, tiny_qwenimage_folder) -> Path:
    """Qwen-Image's transformer as a single file; its sidecar folder holds VAE and text encoder."""
    return single_file(tiny_qwenimage_folder, tiny_models / "tiny-qwen-image-file.safetensors", "qwen-image")


@pytest.fixture(scope="session")
def tiny_auraflow_folder(tiny_models) -> Path:
    """AuraFlow as a diffusers folder."""
    return flow_models.tiny_auraflow(tiny_models / "tiny-auraflow")


@pytest.fixture(scope="session")
def tiny_auraflow_file(tiny_models, tiny_auraflow_folder) -> Path:
    """AuraFlow's transformer as a single file; its sidecar folder holds VAE and text encoder."""
    return single_file(tiny_auraflow_folder, tiny_models / "tiny-auraflow-file.safetensors", "auraflow")


@pytest.fixture(scope="session")
def tiny_wan_folder(tiny_models) -> Path:
    """Wan as a diffusers folder."""
    return video.tiny_wan(tiny_models / "tiny-wan")


@pytest.fixture(scope="session")
def tiny_wan_file(tiny_models, tiny_wan_folder) -> Path:
    """Wan's transformer as a single file; its sidecar folder holds VAE and text encoder."""
    return single_file(tiny_wan_folder, tiny_models / "tiny-wan-file.safetensors", "wan")


@pytest.fixture(scope="session")
def tiny_wan_i2v_folder(tiny_models) -> Path:
    """Wan 2.1 I2V as a diffusers folder."""
    return video.tiny_wan_i2v(tiny_models / "tiny-wan-i2v")


@pytest.fixture(scope="session")
def tiny_wan_i2v_file(tiny_models, tiny_wan_i2v_folder) -> Path:
    """Its transformer as a single file; the sidecar folder holds VAE, text encoder and what sees the picture."""
    return single_file(tiny_wan_i2v_folder, tiny_models / "tiny-wan-i2v-file.safetensors", "wan-i2v")


@pytest.fixture(scope="session")
def tiny_ltx_folder(tiny_models) -> Path:
    """LTX-Video as a diffusers folder."""
    return ltx.tiny_ltx(tiny_models / "tiny-ltx")


@pytest.fixture(scope="session")
def tiny_ltx_file(tiny_models, tiny_ltx_folder) -> Path:
    """LTX-Video as a single file with its VAE and without configs; the sidecar folder holds the text encoder."""
    return single_file(tiny_ltx_folder, tiny_models / "tiny-ltx-file.safetensors", "ltx", configs=False)


@pytest.fixture(scope="session")
def tiny_sana_folder(tiny_models) -> Path:
    """Sana as a diffusers folder."""
    return flow_models.tiny_sana(tiny_models / "tiny-sana")


@pytest.fixture(scope="session")
def tiny_sana_file(tiny_models, tiny_sana_folder) -> Path:
    """Sana's transformer as a single file; its sidecar folder holds VAE and text encoder."""
    return single_file(tiny_sana_folder, tiny_models / "tiny-sana-file.safetensors", "sana")


@pytest.fixture(scope="session")
def tiny_flux2_folder(tiny_models) -> Path:
    """Flux.2 dev as a diffusers folder."""
    return flux2.tiny_flux2(tiny_models / "tiny-flux2")


@pytest.fixture(scope="session")
def tiny_flux2_file(tiny_models, tiny_flux2_folder) -> Path:
    """Flux.2 dev's transformer as a single file; its sidecar folder holds VAE and text encoder."""
    return single_file(tiny_flux2_folder, tiny_models / "tiny-flux2-file.safetensors", "flux2")


@pytest.fixture(scope="session")
def tiny_flux2klein_folder(tiny_models) -> Path:
    """Flux.2 Klein as a diffusers folder."""
    return flux2.tiny_flux2_klein(tiny_models / "tiny-flux2-klein")


@pytest.fixture(scope="session")
def tiny_flux2klein_file(tiny_models, tiny_flux2klein_folder) -> Path:
    """Flux.2's transformer as a single file; its sidecar folder holds VAE and text encoder."""
    return single_file(tiny_flux2klein_folder, tiny_models / "tiny-flux2-klein-file.safetensors", "flux2-klein")


@pytest.fixture(scope="session")
def tiny_kolors_folder(tiny_models) -> Path:
    """Kolors as a diffusers folder."""
    return kolors.tiny_kolors(tiny_models / "tiny-kolors")


@pytest.fixture(scope="session")
def tiny_kolors_file(tiny_models, tiny_kolors_folder) -> Path:
    """Kolors' UNet as a single file; its sidecar folder holds VAE and text encoder."""
    return single_file(tiny_kolors_folder, tiny_models / "tiny-kolors-file.safetensors", "kolors")


@pytest.fixture(scope="session")
def tiny_kandinsky5_folder(tiny_models) -> Path:
    """Kandinsky 5 as a diffusers folder."""
    return kandinsky.tiny_kandinsky5(tiny_models / "tiny-kandinsky5")


@pytest.fixture(scope="session")
def tiny_kandinsky5_file(tiny_models, tiny_kandinsky5_folder) -> Path:
    """Kandinsky 5's transformer as a single file; its sidecar folder holds VAE and text encoders."""
    return single_file(tiny_kandinsky5_folder, tiny_models / "tiny-kandinsky5-file.safetensors", "kandinsky5")


@pytest.fixture(scope="session")
def tiny_hunyuandit_folder(tiny_models) -> Path:
    """HunyuanDiT as a diffusers folder."""
    return hunyuan.tiny_hunyuan_dit(tiny_models / "tiny-hunyuan-dit")


@pytest.fixture(scope="session")
def tiny_hunyuandit_file(tiny_models, tiny_hunyuandit_folder) -> Path:
    """HunyuanDiT's transformer as a single file; its sidecar folder holds VAE and text encoders."""
    return single_file(tiny_hunyuandit_folder, tiny_models / "tiny-hunyuan-dit-file.safetensors", "hunyuan-dit")


@pytest.fixture(scope="session")
def tiny_cascade_folder(tiny_models) -> Path:
    """Stable Cascade as one diffusers folder of both stages."""
    return cascade.tiny_cascade(tiny_models / "tiny-cascade")


@pytest.fixture(scope="session")
def tiny_cascade_file(tiny_models, tiny_cascade_folder) -> Path:
    """Stable Cascade as the file of stage C, with those of B and A beside it; its sidecar folder holds the reader."""
    return cascade.as_files(tiny_cascade_folder, tiny_models / "tiny-cascade-files")
