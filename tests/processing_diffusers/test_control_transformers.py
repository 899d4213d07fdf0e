"""ControlNets beside transformers: SD 3, Flux.1 and Qwen-Image. What they change, when and where, and whom they fit."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from modules.contracts.cache import FIRST_BLOCK, FORECAST, CacheParams
from modules.contracts.control import CONTROL, HIGH_ONLY, LOW_ONLY, PROMPT, ControlParams, ControlUnit
from modules.contracts.errors import UnsupportedFeature
from modules.contracts.request import CanvasParams, HiresParams, ImageParams, InpaintParams
from modules.contracts.tiles import EVEN, TileParams
from modules.processing_diffusers.steering import Steering
from modules.processing_diffusers.steering_tokens import BLOCKS, SD3_BLOCKS, SINGLES, runs_of
from tests.factories import controls
from tests.factories.families import BUILDERS
from tests.factories.token_controls import SINGLE_HEAD, build_beside
from tests.processing_diffusers.conftest import CLOSE, apart, ask, encode, held_back, in_threads, make_engine, speckled

KINDS = ("sd3", "flux", "qwen-image")
KEYS = {"sd3": SD3_BLOCKS, "flux": BLOCKS, "qwen-image": BLOCKS}
AXES = {"axes_dims_rope": (4, 14, 14)}


@pytest.fixture(scope="module")
def studio(tmp_path_factory, tiny_sd3_folder, tiny_flux_folder, tiny_sd15_folder):
    """An engine with ControlNets of three families of transformers, in every layout that is drawn with here."""
    models = tmp_path_factory.mktemp("token-models")
    checkpoints, nets = models / "checkpoints", models / "controlnet"
    checkpoints.mkdir()
    nets.mkdir()
    for name, made in (("sd3", tiny_sd3_folder), ("flux", tiny_flux_folder), ("sd15", tiny_sd15_folder)):
        (checkpoints / name).symlink_to(made)
    for name in ("qwen-image", "flux-fill", "flux-schnell"):
        BUILDERS[name](checkpoints / name)
    for kind in KINDS:
        folder = checkpoints / kind
        build_beside(folder, seed=1).save_pretrained(nets / f"{kind}-one")
        build_beside(folder, seed=2, num_layers=1).save_pretrained(nets / f"{kind}-other")
        changes = {**SINGLE_HEAD, **({"qk_norm": "rms_norm"} if kind == "sd3" else AXES)}
        single = build_beside(folder, seed=3, **changes)
        single.save_pretrained(nets / f"{kind}-folder")
        save_file(single.state_dict(), nets / f"{kind}-file.safetensors")
    build_beside(checkpoints / "flux", seed=4, num_mode=4).save_pretrained(nets / "flux-union")
    seeing = {"conditioning_embedding_channels": 16, "patch_size": 2, "num_single_layers": 0}
    build_beside(checkpoints / "flux", seed=5, **seeing).save_pretrained(nets / "flux-pixels")
    bare = {"use_pos_embed": False, "pos_embed_type": None, "joint_attention_dim": None, "qk_norm": None}
    bare |= {"force_zeros_for_pooled_projection": False}
    for name in ("depth", "canny"):
        build_beside(checkpoints / "sd3", seed=6, **bare).save_pretrained(nets / f"sd35-{name}")
    build_beside(checkpoints / "sd3", seed=7, extra_conditioning_channels=1).save_pretrained(nets / "sd3-inpaint")
    build_beside(checkpoints / "qwen-image", seed=8, extra_condition_channels=4).save_pretrained(nets / "qwen-inpaint")
    build_beside(checkpoints / "flux", seed=9, num_attention_heads=3).save_pretrained(nets / "flux-wide")
    controls.build_control(tiny_sd15_folder, seed=1).save_pretrained(nets / "unet-control")
    controls.build_adapter(tiny_sd15_folder, seed=1).save_pretrained(nets / "unet-adapter")
    bench = make_engine(tmp_path_factory.mktemp("token-engine"), models)
    yield bench
    bench.engine.close()


def unit(model, **values):
    """A unit that is on, with a speckled picture unless told otherwise."""
    values.setdefault("image", encode(speckled(seed=5)))
    return ControlUnit(enabled=True, model=model, **values)


def steered(kind, *units, **groups):
    """A request for that model with these units."""
    return ask(model=kind, control=ControlParams(tuple(units)), **{"steps": 2, **groups})


@pytest.fixture
def draw(studio, exact):
    """Gives the decoder's own numbers of the request's first picture."""
    return lambda request: exact(studio.draw(request))


@pytest.fixture
def heard(monkeypatch):
    """Arguments of every steered call, with what was added to it."""
    seen, plain = [], Steering.residuals

    def listen(self, given, rows, total):
        seen.append((given, plain(self, given, rows, total)))
        return seen[-1][1]

    monkeypatch.setattr(Steering, "residuals", listen)
    return seen


def shown(studio, result):
    """The first picture as pixels."""
    return np.asarray(result.pictures[0].image)


@pytest.mark.parametrize("kind", KINDS)
def test_weight_0_changes_no_bit_and_more_weight_more(studio, draw, kind):
    plain = studio.draw(ask(model=kind, steps=2))
    idle = studio.draw(steered(kind, unit(f"{kind}-one", weight=0.0)))
    off = studio.draw(steered(kind, replace(unit(f"{kind}-one"), enabled=False)))
    assert np.array_equal(shown(studio, idle), shown(studio, plain))
    assert np.array_equal(shown(studio, off), shown(studio, plain))
    base = draw(ask(model=kind, steps=2))
    shifts = [apart(base, draw(steered(kind, unit(f"{kind}-one", weight=weight)))) for weight in (0.01, 1.0)]
    assert 0 < shifts[0] < shifts[1]
    assert shifts[1] > 1e-3
    elsewhere = draw(steered(kind, unit(f"{kind}-one", image=encode(speckled(seed=6)))))
    assert apart(elsewhere, draw(steered(kind, unit(f"{kind}-one")))) > 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_acts_in_its_steps_only(draw, heard, kind):
    draw(steered(kind, unit(f"{kind}-one", guidance_start=0.25, guidance_end=0.75), steps=4))
    assert [bool(extra) for _, extra in heard] == [False, True, True, False]
    whole = draw(steered(kind, unit(f"{kind}-one"), steps=4))
    halves = [unit(f"{kind}-one", guidance_end=0.5), unit(f"{kind}-one", guidance_start=0.5)]
    assert apart(whole, draw(steered(kind, *halves, steps=4))) < CLOSE


@pytest.mark.parametrize("kind", KINDS)
def test_units_add_up_whatever_their_depths(draw, heard, kind):
    one = draw(steered(kind, unit(f"{kind}-one")))
    assert apart(one, draw(steered(kind, unit(f"{kind}-one", weight=0.5), unit(f"{kind}-one", weight=0.5)))) < CLOSE
    both = draw(steered(kind, unit(f"{kind}-one"), unit(f"{kind}-other")))
    assert apart(both, one) > 1e-4
    assert apart(both, draw(steered(kind, unit(f"{kind}-other"), unit(f"{kind}-one")))) < CLOSE
    heard.clear()
    for asked in ([f"{kind}-one", f"{kind}-other"], [f"{kind}-one"], [f"{kind}-other"]):
        draw(steered(kind, *map(unit, asked), steps=1))
    together, first, second = (extra[KEYS[kind]] for _, extra in heard)
    torch.testing.assert_close(together[0], first[0] + second[0])


def test_runs_of_blocks_are_those_of_diffusers():
    assert runs_of(6, 24, even=True) == [place // 4 for place in range(24)]
    assert runs_of(5, 24, even=True)[:6] == [0, 0, 0, 0, 0, 1]
    assert runs_of(5, 19) == [place // 4 for place in range(19)]
    assert runs_of(2, 5, in_turn=True) == [0, 1, 0, 1, 0]
    assert runs_of(6, 6) == list(range(6))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *((kind, f"{kind}-one") for kind in KINDS),
        ("flux", "flux-union"),
        ("flux", "flux-pixels"),
        ("flux-fill", "flux-one"),
        ("sd3", "sd35-depth"),
    ],
)
def test_what_is_added_is_what_diffusers_own_models_say(studio, heard, kind, name):
    """The network is asked by hand for the very call that the transformer gets."""
    import diffusers

    picture = speckled(seed=5)
    studio.draw(steered(kind, unit(name, weight=0.7), steps=1))
    given, extra = heard[0]
    base = studio.paths.models
    config = json.loads((base / "controlnet" / name / "config.json").read_text())
    control = getattr(diffusers, config["_class_name"]).from_pretrained(base / "controlnet" / name).double()
    look = torch.from_numpy(np.asarray(picture, np.float64) / 127.5 - 1).permute(2, 0, 1)[None]
    with torch.no_grad():
        said = _ask_by_hand(diffusers, base / "checkpoints" / kind, control, config, given, look)
    assert set(said) == set(extra)
    for key, blocks in said.items():
        for one, other in zip(extra[key], blocks, strict=False):  # those that see pixels speak in turn
            torch.testing.assert_close(one, 0.7 * other, rtol=1e-6, atol=1e-6)


def _ask_by_hand(diffusers, model, control, config, given, look):
    rows = len(given["hidden_states"])
    films = config["_class_name"] == "QwenImageControlNetModel"
    kind = diffusers.AutoencoderKLQwenImage if films else diffusers.AutoencoderKL
    vae = kind.from_pretrained(model / "vae").double()
    latents = vae.encode(look[:, :, None] if films else look).latent_dist.mode()
    if films:
        measures = (vae.config.latents_mean, vae.config.latents_std)
        mean, spread = (torch.tensor(values).view(1, -1, 1, 1) for values in measures)
        latents = (latents[:, :, 0] - mean) / spread
    else:
        zero = config.get("force_zeros_for_pooled_projection")
        latents = (latents - (0 if zero else vae.config.shift_factor)) * vae.config.scaling_factor
    hint = latents.expand(rows, -1, -1, -1)
    named = {"timestep": given["timestep"].double(), "return_dict": False, "hidden_states": given["hidden_states"]}
    if config["_class_name"] == "SD3ControlNetModel":
        if not config["use_pos_embed"]:
            transformer = diffusers.SD3Transformer2DModel.from_pretrained(model / "transformer")
            control.pos_embed = control._get_pos_embed_from_transformer(transformer).double()
        else:
            named["encoder_hidden_states"] = given["encoder_hidden_states"]
        pooled = given["pooled_projections"]
        named["pooled_projections"] = torch.zeros_like(pooled) if zero else pooled
        return {SD3_BLOCKS: control(controlnet_cond=hint, **named)[0]}
    squares = diffusers.FluxPipeline._pack_latents(hint, rows, 16, *hint.shape[-2:])
    named["encoder_hidden_states"] = given["encoder_hidden_states"]
    if films:
        mask = given["encoder_hidden_states_mask"] > 0
        named |= {"encoder_hidden_states_mask": mask, "img_shapes": [list(given["img_shapes"])] * rows}
        return {BLOCKS: control(controlnet_cond=squares, **named)}
    named |= {name: given[name] for name in ("pooled_projections", "img_ids", "txt_ids", "guidance")}
    named["hidden_states"] = named["hidden_states"][..., :64]
    if config["num_mode"]:
        named["controlnet_mode"] = torch.zeros(rows, 1, dtype=torch.long)
    if config["conditioning_embedding_channels"]:
        squares = look.expand(rows, -1, -1, -1)
    double, single = control(controlnet_cond=squares, **named)
    return {BLOCKS: double, SINGLES: single} if single else {BLOCKS: double}


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_file_is_the_folder(draw, kind):
    folder = draw(steered(kind, unit(f"{kind}-folder")))
    assert apart(folder, draw(ask(model=kind, steps=2))) > 1e-4
    assert apart(folder, draw(steered(kind, unit(f"{kind}-file")))) == 0


def test_the_conditions_of_a_union_for_flux(studio, draw):
    lines, blurred = (draw(steered("flux", unit("flux-union", module=module))) for module in ("none", "blur_gaussian"))
    assert apart(lines, draw(ask(model="flux", steps=2))) > 1e-4
    assert apart(lines, blurred) > 1e-4
    with pytest.raises(UnsupportedFeature, match="no condition for the preprocessor shuffle"):
        studio.draw(steered("flux", unit("flux-union", module="shuffle")))


def test_lines_glare_for_the_network_that_was_trained_so(studio, draw, heard):
    calm, glaring = (draw(steered("sd3", unit(name), steps=1)) for name in ("sd35-depth", "sd35-canny"))
    assert apart(calm, glaring) > 1e-4


def test_a_guidance_is_said_beside_a_model_that_has_none(draw):
    base = draw(ask(model="flux-schnell", steps=2))
    assert apart(base, draw(steered("flux-schnell", unit("flux-one")))) > 1e-4


@pytest.mark.parametrize("kind", ["sd3", "qwen-image"])
def test_only_the_rows_of_the_prompt_are_steered_where_the_control_matters_more(studio, heard, kind):
    studio.draw(steered(kind, unit(f"{kind}-one", control_mode=CONTROL), batch=2, steps=1))
    studio.draw(steered(kind, unit(f"{kind}-one"), batch=2, steps=1))
    acting = [(extra[KEYS[kind]][0].flatten(1).abs().amax(1) > 0).tolist() for _, extra in heard]
    assert acting == [[False, False, True, True], [True] * 4]


@pytest.mark.parametrize(
    ("kind", "mode", "words"),
    [("sd3", PROMPT, "weighs the blocks of a UNet"), ("flux", PROMPT, "weighs"), ("flux", CONTROL, "negative prompt")],
)
def test_a_mode_without_meaning_is_noted_and_left_out(studio, kind, mode, words):
    balanced = studio.draw(steered(kind, unit(f"{kind}-one")))
    other = studio.draw(steered(kind, unit(f"{kind}-one", control_mode=mode)))
    assert any(words in note for note in other.notes)
    assert not any("ControlNet unit" in note for note in balanced.notes)
    assert np.array_equal(shown(studio, other), shown(studio, balanced))


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_keeps_the_effect_where_it_is_white(studio, heard, kind):
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (32, 0, 64, 64))
    studio.draw(steered(kind, unit(f"{kind}-one", mask=encode(mask)), steps=1))
    tokens = heard[0][1][KEYS[kind]][0].unflatten(1, (4, 4))
    assert tokens[:, :, :2].abs().max() == 0
    assert tokens[:, :, 2:].abs().max() > 0


@pytest.mark.parametrize(("kind", "name"), [("sd3", "sd3-inpaint"), ("qwen-image", "qwen-inpaint")])
def test_networks_for_inpainting_see_the_mask(studio, draw, kind, name):
    here, there = (Image.new("L", (64, 64), 0) for _ in range(2))
    here.paste(255, (0, 0, 32, 32))
    there.paste(255, (32, 32, 64, 64))
    first, second = (draw(steered(kind, unit(name, module="inpaint", mask=encode(mask)))) for mask in (here, there))
    assert apart(first, second) > 1e-4
    start = ImageParams(images=(encode(speckled(seed=5)),), denoising_strength=1.0)
    groups = {"image": start, "inpaint": InpaintParams(mask=encode(here), blur=0), "model": kind, "steps": 2}
    base = shown(studio, studio.draw(ask(**groups))).astype(np.int16)
    asked = steered(kind, unit(name, module="inpaint", image=b""), **{key: groups[key] for key in ("image", "inpaint")})
    moved = np.abs(shown(studio, studio.draw(asked)).astype(np.int16) - base).max(axis=2)
    assert moved[:32, :32].max() > 0
    assert moved[32:].max() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_both_passes_and_tiles_are_steered(draw, kind):
    hires = HiresParams(enabled=True, scale=1.5, upscaler="Latent", steps=2, denoising_strength=0.5)
    groups = {"hires": hires, "size": 64}
    base = draw(ask(model=kind, steps=2, **groups))
    low, high = (
        draw(steered(kind, unit(f"{kind}-one", hr_option=option), **groups)) for option in (LOW_ONLY, HIGH_ONLY)
    )
    assert apart(base, low) > 1e-5
    assert apart(base, high) > 1e-5
    assert apart(low, high) > 1e-5
    tiled = {"canvas": CanvasParams(128, 64), "tiles": TileParams(EVEN, 64, 64, 16)}
    bare = draw(ask(model=kind, steps=2, **tiled))
    assert apart(bare, draw(steered(kind, unit(f"{kind}-one"), **tiled))) > 1e-4
    whole = {"canvas": CanvasParams(64, 64), "tiles": TileParams(EVEN, 128, 128, 16)}
    assert apart(draw(steered(kind, unit(f"{kind}-one"), **whole)), draw(steered(kind, unit(f"{kind}-one")))) < CLOSE


def test_networks_that_see_pixels_are_cut_to_tiles_too(draw):
    tiled = {"canvas": CanvasParams(128, 64), "tiles": TileParams(EVEN, 64, 64, 16)}
    halves = [speckled(128, 64, seed=7), speckled(128, 64, seed=7)]
    halves[1].paste(Image.new("RGB", (64, 64)), (64, 0))
    first, second = (draw(steered("flux", unit("flux-pixels", image=encode(half)), **tiled)) for half in halves)
    assert apart(first[..., :40], second[..., :40]) < apart(first[..., 64:], second[..., 64:])


@pytest.mark.parametrize("kind", KINDS)
def test_jobs_with_other_units_draw_together_what_they_draw_alone(studio, exact, kind):
    requests = [
        steered(kind, unit(f"{kind}-one"), seed=1),
        steered(kind, unit(f"{kind}-one", weight=0.4, image=encode(speckled(seed=3))), seed=2),
        steered(kind, unit(f"{kind}-other"), seed=3),
        ask(model=kind, steps=2, seed=4),
    ]
    alone = [exact(studio.draw(request)) for request in requests]
    with held_back(studio.engine.multiplexer, {"control"}, 2):
        together = in_threads([lambda request=request: exact(studio.draw(request)) for request in requests])
    for one, other in zip(alone, together, strict=True):
        assert apart(one, other) < CLOSE


@pytest.mark.parametrize("kind", KINDS)
def test_jobs_with_one_network_share_its_calls(studio, kind):
    def count():
        return studio.engine.multiplexer.stats()["targets"]["control"]

    studio.draw(steered(kind, unit(f"{kind}-one")))
    before = count()
    with held_back(studio.engine.multiplexer, {"control"}, 2):
        in_threads(
            [
                lambda seed=seed: studio.draw(steered(kind, unit(f"{kind}-one", weight=seed / 4), seed=seed))
                for seed in (1, 2)
            ]
        )
    after = count()
    assert after["calls"] - before["calls"] == 4
    assert after["forwards"] - before["forwards"] < 4


@pytest.mark.parametrize("method", [FIRST_BLOCK, FORECAST])
@pytest.mark.parametrize("kind", ["sd3", "flux"])
def test_a_step_cache_bears_a_network_beside_it(draw, kind, method):
    cache = CacheParams(method=method, threshold=1.0, interval=2)
    asked = steered(kind, unit(f"{kind}-one", guidance_start=0.3, guidance_end=0.7), steps=6, cache=cache)
    assert torch.isfinite(draw(asked)).all()
    assert apart(draw(asked), draw(replace(asked, control=ControlParams()))) > 1e-5


@pytest.mark.parametrize(
    ("kind", "asked", "words"),
    [
        ("flux", unit("unet-control"), "made for Stable Diffusion 1.5; the model is of Flux.1 dev"),
        ("sd3", unit("flux-one"), "made for Flux.1; the model is of Stable Diffusion 3"),
        ("qwen-image", unit("sd3-one"), "made for Stable Diffusion 3; the model is of Qwen-Image"),
        ("sd15", unit("qwen-image-one"), "made for Qwen-Image; the model is of Stable Diffusion 1.x"),
        ("flux", unit("flux-wide"), "does not fit flux: it has width 48 instead of 32"),
        ("flux", unit("unet-adapter"), "T2I-Adapter unet-adapter cannot steer Flux.1 dev"),
        ("sd3", unit("None", module="reference_only"), "cannot look at references"),
    ],
)
def test_what_cannot_be_is_said(studio, kind, asked, words):
    with pytest.raises(UnsupportedFeature, match=words) as raised:
        studio.draw(steered(kind, asked))
    assert raised.value.status == 422
