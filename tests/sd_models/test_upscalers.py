"""Upscaler files appear in the catalogue under their names, with the factor that they tell and what is wrong."""

from __future__ import annotations

import pytest

from modules.sd_models.upscalers import list_upscalers, scale_in
from tests.factories.upscalers import write_compact


def test_files_of_all_known_folders_are_listed_by_name(tmp_path):
    models, embedded = tmp_path / "models", tmp_path / "pocket"
    write_compact(models / "upscalers" / "zeta.safetensors", 2)
    write_compact(models / "ESRGAN" / "Beta-4x.safetensors", 3)
    write_compact(models / "RealESRGAN" / "deep" / "alpha.safetensors", 4)
    write_compact(models / "upscale_models" / "zeta.safetensors", 1)
    write_compact(embedded / "pocket-x2.safetensors", 2)
    (models / "checkpoints").mkdir()
    write_compact(models / "checkpoints" / "not-this.safetensors", 2)
    found = list_upscalers(models, embedded)
    assert [entry.name for entry in found] == ["alpha", "Beta-4x", "pocket-x2", "zeta", "zeta.safetensors"]
    assert [entry.scale for entry in found] == [4, 3, 2, 2, 1]
    assert all(entry.problem is None and not entry.latent and entry.path.is_file() for entry in found)


def test_pickles_and_damaged_files_carry_their_problem(tmp_path):
    folder = tmp_path / "upscalers"
    folder.mkdir()
    (folder / "4x-old.pth").write_bytes(b"\x80\x02}q\x00." + b"\0" * 100)
    (folder / "cut.safetensors").write_bytes(b"\xff\0\0\0\0\0\0\0{")
    old, cut = list_upscalers(tmp_path, tmp_path / "none")
    assert old.scale == 4
    assert "models convert" in old.problem
    assert "cut.safetensors" in cut.problem


@pytest.mark.parametrize(
    ("stem", "scale"),
    [
        ("4x-UltraSharp", 4),
        ("RealESRGAN_x2plus", 2),
        ("1x_DeJPG", 1),
        ("pocket-x2", 2),
        ("SwinIR-M-x8", 8),
        ("ESRGAN", 4),
        ("model512x512", 4),
        ("realesr-animevideov3-x3", 3),
    ],
)
def test_the_factor_in_a_name(stem, scale):
    assert scale_in(stem) == scale
