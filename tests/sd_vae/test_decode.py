"""Decoding and encoding: scale, precision, batches, and what happens to values that are not finite."""

from __future__ import annotations

import pytest
import torch

from modules.contracts.errors import InvalidRequest, StudioError
from modules.sd_vae.codec import computing_device, run_directly
from modules.sd_vae.decode import decode, encode
from tests.factories import flux2, ltx, qwen
from tests.sd_vae.vaes import kind, overflowing, scene, solid

KINDS = ("sd15", "sdxl", "playground", "sd3", "tiny")


@pytest.fixture(scope="module")
def vaes():
    return {name: kind(name) for name in KINDS}


def noise_of(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.mark.parametrize("name", KINDS)
def test_shapes_range_and_place(vaes, name):
    vae = vaes[name]
    latents = encode(vae, scene(count=2), noise_of(1, 2))
    assert latents.shape == (2, vae.config.latent_channels, 8, 8)
    pictures = decode(vae, latents * 30)
    assert pictures.shape == (2, 3, 64, 64)
    assert (pictures.dtype, pictures.device.type) == (torch.float32, "cpu")
    assert 0 <= pictures.min() <= pictures.max() <= 1
    assert not pictures.requires_grad
    pictures += 0  # an ordinary tensor, which may be changed


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("sd15", lambda z: z / 0.18215),
        ("sd3", lambda z: z / 1.5305 + 0.0609),
        ("tiny", lambda z: z),
        (
            "playground",
            lambda z: (
                z * torch.tensor([1.0, 2.0, 0.5, 1.5]).view(1, 4, 1, 1) / 0.5
                + torch.tensor([0.1, -0.2, 0.3, 0.4]).view(1, 4, 1, 1)
            ),
        ),
    ],
)
def test_the_decoder_gets_latents_without_the_scale(vaes, name, wanted):
    vae, seen = vaes[name], []

    def run(module, method, tensor):
        seen.append((module, method, tensor))
        return torch.zeros(len(tensor), 3, 64, 64)

    latents = torch.randn(1, vae.config.latent_channels, 8, 8, generator=torch.Generator().manual_seed(3))
    assert torch.equal(decode(vae, latents, run=run), torch.full((1, 3, 64, 64), 0.5))
    module, method, tensor = seen[0]
    assert module is vae
    assert method == "decode"
    assert torch.allclose(tensor, wanted(latents), atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_encoding_puts_on_the_scale_that_decoding_takes_off(vaes, name):
    vae, seen = vaes[name], []

    def keep(module, method, tensor):
        seen.append(run_directly(module, method, tensor))
        return seen[-1]

    latents = encode(vae, scene(), run=keep, mode="argmax")

    def check(module, method, tensor):
        assert torch.allclose(tensor, seen[0][:, : vae.config.latent_channels], atol=1e-5)
        return torch.zeros(1, 3, 8, 8)

    decode(vae, latents, run=check)


def test_the_same_as_the_pipeline_of_diffusers(vaes):
    vae = vaes["sd15"]
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        wanted = (vae.decode(latents / 0.18215).sample / 2 + 0.5).clamp(0, 1)
    assert torch.allclose(decode(vae, latents), wanted, atol=1e-6)


def test_latents_of_a_picture_depend_on_its_own_generator_only(vaes):
    pictures = scene(count=3)
    together = encode(vaes["sd15"], pictures, noise_of(7, 8, 9))
    alone = encode(vaes["sd15"], pictures[1:2], noise_of(8))
    assert torch.allclose(together[1:2], alone, atol=1e-5)
    assert not torch.allclose(together[1:2], encode(vaes["sd15"], pictures[1:2], noise_of(9)), atol=1e-3)


def test_the_mean_needs_no_generator_and_a_sample_needs_one_each(vaes):
    one = encode(vaes["sd15"], scene(), mode="argmax")
    assert torch.equal(one, encode(vaes["sd15"], scene(), mode="argmax"))
    with pytest.raises(ValueError, match="2 pictures"):
        encode(vaes["sd15"], scene(count=2), noise_of(1))


def test_latents_of_another_family_are_refused_with_both_numbers(vaes):
    with pytest.raises(InvalidRequest, match=r"\(1, 16, 8, 8\).*\(pictures, 4, height, width\)"):
        decode(vaes["sd15"], torch.zeros(1, 16, 8, 8))


def test_half_precision_is_taken_as_it_is_when_it_holds(vaes):
    notes = []
    vae = kind("sd15").to(torch.bfloat16)
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    picture = decode(vae, latents, note=notes.append)
    assert notes == []
    assert (picture - decode(vaes["sd15"], latents)).abs().max() < 0.1


def test_only_the_pictures_that_failed_are_decoded_again_in_fp32():
    vae, notes = overflowing(), []
    weights = {name: tensor.clone() for name, tensor in vae.state_dict().items()}
    latents = torch.zeros(3, 4, 2, 2)
    latents[1] = torch.randn(4, 2, 2, generator=torch.Generator().manual_seed(3)) * 5
    calls = []

    def run(module, method, tensor):
        calls.append((module is vae, len(tensor), tensor.dtype))
        return run_directly(module, method, tensor)

    pictures = decode(vae, latents, run=run, note=notes.append)
    assert torch.isfinite(pictures).all()
    assert calls == [(True, 3, torch.float16), (False, 1, torch.float32)]
    assert notes == ["The VAE gave values that are not finite in float16; decoded again in float32."]
    exact = overflowing().float()
    assert torch.allclose(pictures[1:2], decode(exact, latents[1:2]), atol=1e-4)
    assert vae.dtype == torch.float16
    assert all(torch.equal(weights[name], tensor) for name, tensor in vae.state_dict().items())


def test_without_the_wish_for_fp32_the_failure_is_an_error():
    with pytest.raises(StudioError, match=r"1 of 1 pictures: it makes NaN or infinity in float16"):
        decode(overflowing(), torch.full((1, 4, 2, 2), 9.0), upcast=False)


def test_an_encoder_that_overflows_is_run_again_too():
    vae, notes = kind("sd15").half(), []
    with torch.no_grad():
        vae.encoder.conv_in.weight.fill_(60_000.0)
    latents = encode(vae, solid((1.0, 1.0, 1.0)), mode="argmax", note=notes.append)
    assert torch.isfinite(latents).all()
    assert notes == ["The VAE gave values that are not finite in float16; encoded again in float32."]


def test_latents_that_are_nan_already_cannot_be_saved(vaes):
    with pytest.raises(StudioError, match=r"1 of 2 pictures: the latents hold NaN or infinity in float32"):
        decode(vaes["sd15"], torch.stack([torch.zeros(4, 8, 8), torch.full((4, 8, 8), torch.nan)]))


def test_the_second_try_keeps_tiling_and_slicing_but_no_change_of_a_single_layer():
    from modules.sd_vae.twin import widened

    vae = overflowing()
    vae.enable_tiling()
    vae.use_slicing = True
    vae.decoder.conv_in.padding_mode = "circular"
    twin = widened(vae)
    assert twin.use_tiling
    assert twin.use_slicing
    assert twin.decoder.conv_in.padding_mode == "zeros"
    assert twin.dtype == torch.float32
    assert twin.decoder.conv_in.weight.data_ptr() != vae.decoder.conv_in.weight.data_ptr()


def test_the_second_try_works_while_the_weights_are_offloaded():
    from modules.memory.measures import applied
    from tests.memory.devices import RecordingHandler

    vae = overflowing()
    latents = torch.full((1, 4, 2, 2), 9.0)
    expected = decode(vae, latents)
    for measure in ("model_offload", "sequential_offload"):
        with applied([measure], {"vae": vae}, RecordingHandler()):
            assert computing_device(vae) == torch.device("cpu")
            assert torch.allclose(decode(vae, latents), expected, atol=1e-5)


def test_latents_of_flux2_are_those_of_its_pipeline():
    """Four cells put into one and evened out, as the library's pipeline does it by hand."""
    from diffusers import Flux2Pipeline

    vae, pictures = flux2.even_vae(), torch.rand(2, 3, 64, 96)
    ours = encode(vae, pictures, mode="argmax")
    mean = vae.bn.running_mean.view(1, -1, 1, 1)
    spread = (vae.bn.running_var.view(1, -1, 1, 1) + vae.config.batch_norm_eps).sqrt()
    with torch.no_grad():
        plain = vae.encode(pictures * 2 - 1).latent_dist.mode()
        torch.testing.assert_close(ours, (Flux2Pipeline._patchify_latents(plain) - mean) / spread)
        theirs = vae.decode(Flux2Pipeline._unpatchify_latents(ours * spread + mean)).sample
    torch.testing.assert_close(decode(vae, ours), (theirs / 2 + 0.5).clamp(0, 1))


def test_an_autoencoder_for_films_gives_one_frame():
    """Scaled by its own means and spreads, as Qwen-Image's pipeline does it by hand."""
    vae, pictures = qwen.film_vae(), torch.rand(1, 3, 32, 48)
    mean, spread = (
        torch.tensor(values).view(1, -1, 1, 1, 1) for values in (vae.config.latents_mean, vae.config.latents_std)
    )
    with torch.no_grad():
        plain = vae.encode(pictures[:, :, None] * 2 - 1).latent_dist.mode()
        ours = encode(vae, pictures, mode="argmax")
        torch.testing.assert_close(ours, ((plain - mean) / spread)[:, :, 0])
        theirs = vae.decode(plain).sample[:, :, 0]
    torch.testing.assert_close(decode(vae, ours), (theirs / 2 + 0.5).clamp(0, 1), rtol=0, atol=1e-4)


def test_what_a_decoder_adds_by_itself_is_the_same_each_time_and_in_company():
    vae, latents = ltx.ltx_vae(told=True), torch.randn(2, 128, 2, 2, 2, generator=torch.Generator().manual_seed(3))
    before = torch.get_rng_state()
    both, alone = decode(vae, latents), decode(vae, latents[1:])
    assert both.shape == (2, 3, 9, 64, 64)
    torch.testing.assert_close(both[1:], alone, rtol=0, atol=1e-5)
    assert torch.equal(torch.get_rng_state(), before)
    for name, value in vae.named_parameters():
        if "per_channel_scale" in name:
            torch.nn.init.zeros_(value)
    assert (decode(vae, latents[1:]) - alone).abs().max() > 1e-2  # there was noise


def test_a_film_of_ltx_video_comes_back_on_the_scale_of_its_own_statistics():
    vae = ltx.ltx_vae()
    (said,) = vae.encode(torch.zeros(1, 3, 9, 64, 64), return_dict=False)
    found = encode(vae, torch.full((1, 3, 9, 64, 64), 0.5), mode="argmax")
    mean, spread = (one.view(1, -1, 1, 1, 1) for one in (vae.latents_mean, vae.latents_std))
    torch.testing.assert_close(found, (said.mean - mean) / spread, rtol=0, atol=1e-5)
