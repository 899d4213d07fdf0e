"""Previews show the right colours, cheaply, for known and unknown latent formats."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from modules.contracts.catalog import Family
from modules.sd_vae import linear
from modules.sd_vae.decode import encode
from modules.sd_vae.preview import Previewer
from modules.sd_vae.taesd import MARK, latent_mark
from tests.factories import parts
from tests.sd_vae.vaes import faithful, solid, tiny

RED, GREEN, BLUE = (0.9, 0.1, 0.1), (0.1, 0.8, 0.1), (0.1, 0.1, 0.9)


class ColourBlocks:
    """An autoencoder that keeps cell averages, turned into channels by a fixed matrix: what a fit should find."""

    dtype, device = torch.float32, torch.device("cpu")

    def __init__(self, channels=4):
        from diffusers.configuration_utils import FrozenDict

        self.config = FrozenDict(latent_channels=channels, block_out_channels=(8, 8, 8, 8), scaling_factor=0.5)
        generator = torch.Generator().manual_seed(2)
        self.matrix = torch.randn(channels, 3, generator=generator)

    def encode(self, x, return_dict=True):
        return (torch.einsum("cr,nrhw->nchw", self.matrix, torch.nn.functional.avg_pool2d(x, 8)),)

    def named_modules(self):
        return []

    def state_dict(self):
        return {"encoder.conv_out.weight": self.matrix}


def average(image):
    small = image.convert("RGB").resize((1, 1), Image.Resampling.BOX)
    return small.getpixel((0, 0))


@pytest.mark.parametrize("colour", [RED, GREEN, BLUE])
def test_a_fitted_preview_shows_the_colour_that_was_encoded(tmp_path, colour):
    vae = faithful()
    latents = encode(vae, solid(colour))
    found = average(Previewer({"vae": vae}, cache=tmp_path).preview(latents))
    assert found.index(max(found)) == colour.index(max(colour))
    assert max(found) > 2 * sorted(found)[1]


def test_the_fit_is_exact_where_colours_are_linear_in_latents():
    vae = ColourBlocks()
    latents = encode(vae, solid(RED))
    assert linear.fit(vae).apply(latents)[0, :, 0, 0].tolist() == pytest.approx(RED, abs=0.01)


def test_neighbours_have_their_say_and_the_border_repeats_itself():
    # Nine rows for one channel: only the cell to the left counts.
    rows = [(0.0, 0.0, 0.0)] * 9
    rows[3] = (1.0, 0.5, 0.0)
    cells = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]).view(1, 1, 2, 3)
    found = linear.LinearMap(tuple(rows), (0.0, 0.0, 0.0), reach=1).apply(cells)
    left = torch.tensor([[0.1, 0.1, 0.2], [0.4, 0.4, 0.5]])
    assert torch.allclose(found[0, 0], left)
    assert torch.allclose(found[0, 1], left / 2)


def test_previews_can_be_prepared_before_the_first_step(monkeypatch):
    previewer = Previewer({"vae": ColourBlocks()})
    previewer.prepare()
    monkeypatch.setattr(linear, "fit", lambda vae: pytest.fail("fitted again"))
    assert previewer.preview(torch.zeros(1, 4, 2, 2)).size == (2, 2)


def test_a_fit_is_made_once_for_each_vae_and_kept_in_the_cache(tmp_path, monkeypatch):
    first = linear.fitted(ColourBlocks(), tmp_path)
    assert len(list((tmp_path / "previews").iterdir())) == 1
    monkeypatch.setattr(linear, "fit", lambda vae: pytest.fail("fitted again"))
    assert linear.fitted(ColourBlocks(), tmp_path) == first


def test_other_weights_get_another_fit(tmp_path):
    changed = ColourBlocks()
    changed.matrix = changed.matrix + 0.01
    linear.fitted(ColourBlocks(), tmp_path)
    linear.fitted(changed, tmp_path)
    assert len(list((tmp_path / "previews").iterdir())) == 2


def test_a_damaged_cache_file_is_fitted_again(tmp_path):
    vae = ColourBlocks()
    first = linear.fitted(vae, tmp_path)
    (tmp_path / "previews" / f"{linear.fingerprint(vae)}.json").write_text("{")
    assert linear.fitted(vae, tmp_path) == first


def test_the_table_of_known_formats_is_well_formed():
    rows = json.loads(linear.TABLE.read_text("utf-8"))["formats"]
    assert {row["id"] for row in rows} == {"sd1", "sdxl", "sd3", "flux"}
    for row in rows:
        assert len(row["factors"]) == row["match"]["latent_channels"]
        assert {len(line) for line in row["factors"]} == {3} == {len(row["bias"])}
        assert row["source"]


@pytest.mark.parametrize("row", json.loads(linear.TABLE.read_text("utf-8"))["formats"], ids=lambda row: row["id"])
def test_a_known_format_is_known_by_its_config_and_needs_no_fit(row, monkeypatch):
    monkeypatch.setattr(linear, "fit", lambda vae: pytest.fail("fitted"))
    vae = SimpleNamespace(config=SimpleNamespace(**({"latents_mean": None, "shift_factor": None} | row["match"])))
    found = linear.known(vae)
    assert found.factors == tuple(tuple(line) for line in row["factors"])
    # Nothing but noise is grey on average: no format is far off in colour.
    grey = Previewer({"vae": vae}).preview(torch.zeros(1, row["match"]["latent_channels"], 8, 8))
    assert all(100 < value < 160 for value in average(grey))


def test_a_small_vae_in_a_known_family_is_not_taken_for_the_real_one():
    with parts.seeded(1):
        assert linear.known(parts.vae(scale=0.18215)) is None


def test_jpeg_has_the_size_of_the_picture_up_to_the_limit():
    previewer = Previewer({"vae": ColourBlocks()})
    latents = torch.zeros(1, 4, 6, 9)
    assert Image.open(io.BytesIO(previewer.jpeg(latents, 512))).size == (72, 48)
    limited = Image.open(io.BytesIO(previewer.jpeg(latents, 36)))
    assert limited.size == (36, 24)
    assert limited.format == "JPEG"


@pytest.mark.parametrize(("count", "size"), [(1, (8, 8)), (3, (24, 8)), (4, (16, 16)), (5, (24, 16)), (9, (24, 24))])
def test_a_batch_is_shown_as_a_grid(count, size):
    assert Previewer({"vae": ColourBlocks()}).preview(torch.zeros(count, 4, 8, 8)).size == size


def test_latents_that_are_nan_make_a_grey_preview_and_no_error():
    image = Previewer({"vae": ColourBlocks()}).preview(torch.full((1, 4, 8, 8), torch.nan))
    assert average(image) == (128, 128, 128)


def sd15_family(channels=4):
    return Family(
        id="sd15",
        label="SD 1.x",
        adapter="sd",
        pipelines={},
        denoiser="unet",
        text_encoders=("text_encoder",),
        latent_channels=channels,
        latent_factor=8,
        size_multiple=8,
        native_size=512,
        defaults={},
        prediction="epsilon",
    )


def known_vae():
    match = next(row for row in json.loads(linear.TABLE.read_text("utf-8"))["formats"] if row["id"] == "sd1")["match"]
    return SimpleNamespace(config=SimpleNamespace(**match), device=torch.device("cpu"))


def published_names(decoder):
    """The decoder's tensors under the names under which TAESD is published."""
    return {
        f"{int(name.split('.')[1]) + 1}.{name.split('.', 2)[2]}": tensor
        for name, tensor in decoder.state_dict().items()
    }


@pytest.mark.parametrize("form", ["published", "diffusers"])
def test_taesd_decodes_previews_where_its_file_is(tmp_path, form):
    from safetensors.torch import save_file

    source = tiny()
    if form == "published":
        save_file(published_names(source.decoder), tmp_path / "taesd_decoder.safetensors")
    else:
        source.save_pretrained(tmp_path / "taesd")
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    image = Previewer({"vae": known_vae()}, sd15_family(), None, tmp_path).preview(latents)
    with torch.no_grad():
        wanted = (source.decode(latents).sample / 2 + 0.5).clamp(0, 1)[0]
    assert image.size == (64, 64)
    found = torch.tensor(list(image.convert("RGB").tobytes())).view(64, 64, 3) / 255
    assert torch.allclose(found.permute(2, 0, 1), wanted, atol=0.01)


def test_a_broken_taesd_file_is_reported_and_colours_are_shown_instead(tmp_path, caplog):
    (tmp_path / "taesd_decoder.safetensors").write_bytes(b"nonsense")
    previewer = Previewer({"vae": known_vae()}, sd15_family(), None, tmp_path)
    assert previewer.preview(torch.zeros(1, 4, 8, 8)).size == (8, 8)
    assert "taesd_decoder.safetensors cannot be read" in caplog.text


def test_taesd_of_another_family_is_not_used(tmp_path):
    tiny(channels=16).save_pretrained(tmp_path / "taesd")
    previewer = Previewer({"vae": known_vae()}, sd15_family(), None, tmp_path)
    assert previewer.preview(torch.zeros(1, 4, 8, 8)).size == (8, 8)


def test_a_vae_of_our_own_gets_its_own_fit_even_beside_taesd(tmp_path):
    tiny().save_pretrained(tmp_path / "taesd")
    previewer = Previewer({"vae": ColourBlocks()}, sd15_family(), None, tmp_path)
    assert previewer.preview(torch.zeros(1, 4, 8, 8)).size == (8, 8)


def marked(folder, vae, colour=(1.0, 0.0, 0.0)):
    """A decoder marked for `vae` that shows one colour whatever it is given."""
    from safetensors.torch import save_file

    decoder = tiny().decoder.requires_grad_(False)
    for tensor in decoder.state_dict().values():
        tensor.zero_()
    decoder.layers[-1].bias.copy_(torch.tensor(colour))
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.clone() for name, tensor in published_names(decoder).items()}
    save_file(tensors, folder / "taesd_decoder.safetensors", {MARK: latent_mark(vae)})


@pytest.mark.parametrize("place", ["vae-approx", "shipped"])
def test_a_decoder_marked_for_a_vae_is_taken_for_it_and_for_no_other(tmp_path, place):
    with parts.seeded(3):
        vae, other = parts.vae(), parts.vae(scale=0.5)
    marked(tmp_path / place, vae)
    folders = {"approx_folder": tmp_path / "vae-approx", "shipped": [tmp_path / "shipped"]}
    latents = torch.randn(1, 4, 6, 6, generator=torch.Generator().manual_seed(3))
    image = Previewer({"vae": vae}, **folders).preview(latents)
    assert image.size == (48, 48)
    assert average(image) == (255, 0, 0)
    assert Previewer({"vae": other}, **folders).preview(latents).size == (6, 6)


def test_the_mark_is_the_same_in_every_type_and_follows_the_encoder():
    with parts.seeded(3):
        vae = parts.vae().half()
    mark = latent_mark(vae)
    assert [latent_mark(vae.to(kind)) for kind in (torch.float32, torch.bfloat16, torch.float64)] == [mark] * 3
    with torch.no_grad():
        vae.decoder.conv_in.weight.mul_(2)
        assert latent_mark(vae) == mark
        vae.quant_conv.weight.mul_(2)
        assert latent_mark(vae) != mark
