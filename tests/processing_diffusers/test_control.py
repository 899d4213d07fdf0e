"""ControlNets and adapters: what they change, when, for whom, and that nothing is left of them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from modules.contracts.control import CONTROL, HIGH_ONLY, LOW_ONLY, PROMPT, ControlParams, ControlUnit, HintParams
from modules.contracts.errors import BrokenModel, InvalidRequest, UnknownModel, UnsupportedFeature
from modules.contracts.infotext import parse, to_request
from modules.contracts.plan import ControlUse
from modules.contracts.request import GenerationRequest, HiresParams, ImageParams, InpaintParams
from modules.processing_diffusers.beside import count_beside
from modules.processing_diffusers.control_part import JobControls
from tests.factories import annotators, controls
from tests.processing_diffusers.conftest import CLOSE, apart, ask, encode, held_back, in_threads, make_engine, speckled


def circle(size=64, box=(16, 16, 48, 48)):
    """White paper with a black disc."""
    image = Image.new("RGB", (size, size), "white")
    ImageDraw.Draw(image).ellipse(box, fill="black")
    return image


def unit(model="tiny-control", **values):
    """A unit that is on, with a picture of its own unless told otherwise."""
    values.setdefault("image", encode(circle()))
    return ControlUnit(enabled=True, model=model, **values)


def steered(*units, **groups):
    """A request with these units."""
    return ask(control=ControlParams(tuple(units)), **groups)


@pytest.fixture(scope="module")
def studio(tmp_path_factory, tiny_sd15_folder, tiny_sd15_inpaint_folder, tiny_sdxl_folder, request):
    """An engine with ControlNets of several kinds and models that they fit and do not fit."""
    models = tmp_path_factory.mktemp("control-models")
    nets = models / "controlnet"
    for kind in ("checkpoints", "controlnet"):
        (models / kind).mkdir()
    for name, made in (
        ("sd15", tiny_sd15_folder),
        ("sd15-inpaint", tiny_sd15_inpaint_folder),
        ("sdxl", tiny_sdxl_folder),
        *((name, request.getfixturevalue(f"tiny_{name}_folder")) for name in ("flux", "chroma")),
    ):
        (models / "checkpoints" / f"tiny-{name}").symlink_to(made)
    from safetensors.torch import save_file

    control = controls.build_control(tiny_sd15_folder, seed=1)
    control.save_pretrained(nets / "tiny-control")
    annotators.write(models / "annotators" / "tiny-depth", annotators.build_dpt())
    save_file(control.state_dict(), nets / "tiny-file.safetensors")
    controls.save_ldm(control, nets / "tiny-ldm.safetensors")
    controls.build_control(tiny_sd15_folder, seed=2).save_pretrained(nets / "tiny-other")
    controls.build_control(tiny_sd15_folder, strength=0.0).save_pretrained(nets / "tiny-silent")
    controls.build_control(tiny_sdxl_folder, seed=3).save_pretrained(nets / "tiny-xl")
    controls.build_union(tiny_sdxl_folder, seed=4).save_pretrained(nets / "tiny-union")
    adapter = controls.build_adapter(tiny_sd15_folder, seed=5)
    adapter.save_pretrained(nets / "tiny-adapter")
    save_file(adapter.state_dict(), nets / "tiny-adapter-file.safetensors")
    (nets / "torn.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    bench = make_engine(tmp_path_factory.mktemp("control-engine"), models)
    yield bench
    bench.engine.close()


@pytest.fixture
def draw(studio, exact):
    """Gives the decoder's own numbers of the request's first picture."""
    return lambda request: exact(studio.draw(request))


@pytest.fixture(scope="module")
def plain(studio):
    """The infotext-free picture of `ask()` without any unit, as pixels."""
    return np.asarray(studio.draw(ask()).pictures[0].image)


def test_a_unit_without_weight_and_one_that_is_off_leave_every_pixel_as_it_was(studio, plain):
    for idle in (unit(weight=0.0), replace(unit(), enabled=False), unit("tiny-silent")):
        assert np.array_equal(np.asarray(studio.draw(steered(idle)).pictures[0].image), plain)


def test_more_weight_is_more_change_without_a_jump(draw):
    base = draw(ask())
    shifts = [apart(base, draw(steered(unit(weight=weight)))) for weight in (0.001, 0.01, 0.3, 1.0)]
    assert 0 < shifts[0] < shifts[1] < shifts[2]
    assert shifts[3] > 0.02
    assert shifts[0] < shifts[3] / 10


def test_another_picture_steers_to_another_place(draw):
    one = draw(steered(unit()))
    assert apart(one, draw(steered(unit(image=encode(circle(box=(2, 2, 30, 30))))))) > 1e-3


def test_file_folder_and_the_authors_own_names_are_the_same_network(draw):
    folder = draw(steered(unit()))
    assert apart(folder, draw(steered(unit("tiny-file")))) == 0
    assert apart(folder, draw(steered(unit("tiny-ldm")))) < CLOSE


def test_a_map_that_a_network_made_steers_as_the_map_itself(studio, draw):
    picture = unit(module="depth_midas", image=encode(speckled()), hint=HintParams(pixel_perfect=True))
    shown = studio.engine.controls.controls.detect(picture)
    seen = draw(steered(picture))
    assert torch.equal(seen, draw(steered(unit(image=shown))))
    assert apart(seen, draw(steered(unit(image=encode(speckled()))))) > CLOSE


def test_networks_of_preprocessors_count_where_they_look_from_the_device_s_memory(studio):
    """Each with its files, once, and only those of units that act."""
    catalog = studio.engine.controls.controls
    folder = catalog.find_preprocessor("depth_midas").weights
    one, idle = unit(module="depth_midas"), unit(module="depth_midas", weight=0.0)
    sizes = []
    for units in ((one, one), (idle,), (unit(),)):
        plan = SimpleNamespace(details=(), controls=tuple(ControlUse(0, each, None, each.module) for each in units))
        job, networks = JobControls(plan, {}, {}, {}, catalog), SimpleNamespace(weights=lambda: (0, 0))
        sizes += [count_beside(plan, job, networks, accelerator=each).weights for each in (False, True)]
    assert sizes == [sum(file.stat().st_size for file in folder.iterdir()), 0, 0, 0, 0, 0]


def test_units_add_up(draw):
    """Twice the same unit at half the weight each is the unit; two different ones are neither."""
    whole = draw(steered(unit()))
    assert apart(whole, draw(steered(unit(weight=0.5), unit(weight=0.5)))) < CLOSE
    both = draw(steered(unit(), unit("tiny-other")))
    assert apart(both, whole) > 1e-3
    assert apart(both, draw(steered(unit("tiny-other"), unit()))) < CLOSE


def test_a_window_acts_in_its_steps_only(draw, studio, monkeypatch):
    from modules.processing_diffusers.steering import Steering

    seen, plain = [], Steering.residuals

    def listen(self, given, rows, total):
        extra = plain(self, given, rows, total)
        seen.append(bool(extra))
        return extra

    monkeypatch.setattr(Steering, "residuals", listen)
    studio.draw(steered(unit(guidance_start=0.25, guidance_end=0.75), steps=4))
    assert seen == [False, True, True, False]
    whole = draw(steered(unit(), steps=4))
    halves = draw(steered(unit(guidance_end=0.5), unit(guidance_start=0.5), steps=4))
    assert apart(whole, halves) < CLOSE
    seen.clear()
    studio.draw(steered(unit(guidance_start=0.5), steps=4, sampler="Heun"))
    assert seen == [False] * 4 + [True] * 3, "Heun's two calls belong to one step"


def test_modes_take_sides(draw):
    base, balanced = draw(ask()), draw(steered(unit()))
    prompt, control = (draw(steered(unit(control_mode=mode))) for mode in (PROMPT, CONTROL))
    assert apart(prompt, base) < apart(balanced, base)
    assert apart(control, prompt) > 1e-4


def test_soft_weights_fall_from_the_middle_outward(studio):
    from modules.processing_diffusers.steering import SteeredUnit

    part = SimpleNamespace(loaded=SimpleNamespace(kind="controlnet"))
    soft = SteeredUnit(unit(weight=2.0, control_mode=PROMPT), part, torch.zeros(1, 3, 8, 8))
    assert soft.scales(13) == pytest.approx([2.0 * 0.825 ** (12 - place) for place in range(13)])
    assert replace(soft, unit=unit(weight=0.5)).scales(13) == [0.5] * 13


def test_only_the_rows_of_the_prompt_are_steered_where_the_control_matters_more(studio, monkeypatch):
    from modules.processing_diffusers.steering import Steering

    seen, plain = [], Steering.residuals

    def listen(self, given, rows, total):
        extra = plain(self, given, rows, total)
        seen.append(extra["mid_block_additional_residual"].flatten(1).abs().amax(1) > 0)
        return extra

    monkeypatch.setattr(Steering, "residuals", listen)
    studio.draw(steered(unit(control_mode=CONTROL), batch=2, steps=1))
    studio.draw(steered(unit(), batch=2, steps=1))
    assert [row.tolist() for row in seen] == [[False, False, True, True], [True] * 4]


@pytest.mark.parametrize("model", ["tiny-sd15", "tiny-sd15-inpaint", "tiny-sdxl"])
def test_what_is_added_is_what_diffusers_own_models_say(studio, monkeypatch, model):
    """The networks asked by hand for the very call that the denoiser gets, their answers weighed and summed."""
    from diffusers import ControlNetModel

    from modules.processing_diffusers.steering import Steering

    seen, plain = [], Steering.residuals

    def listen(self, given, rows, total):
        seen.append((given, plain(self, given, rows, total)))
        return seen[-1][1]

    monkeypatch.setattr(Steering, "residuals", listen)
    nets = {"tiny-xl": 0.7} if model == "tiny-sdxl" else {"tiny-control": 0.7, "tiny-other": 1.3}
    studio.draw(steered(*[unit(name, weight=weight) for name, weight in nets.items()], steps=1, model=model))
    given, extra = seen[0]
    hint = torch.from_numpy(np.asarray(circle(), np.float64) / 255).permute(2, 0, 1).expand(2, -1, -1, -1)
    wanted = []
    for name, weight in nets.items():
        control = ControlNetModel.from_pretrained(studio.paths.models / "controlnet" / name).double()
        with torch.no_grad():
            down, middle = control(
                given["sample"][:, :4],
                given["timestep"],
                given["encoder_hidden_states"],
                hint,
                conditioning_scale=weight,
                added_cond_kwargs=given.get("added_cond_kwargs"),
                return_dict=False,
            )
        wanted.append([*down, middle])
    said = [*extra["down_block_additional_residuals"], extra["mid_block_additional_residual"]]
    for one, parts in zip(said, zip(*wanted, strict=True), strict=True):
        torch.testing.assert_close(one, sum(parts), rtol=1e-6, atol=1e-6)


def test_a_mask_keeps_the_effect_where_it_is_white(studio, monkeypatch):
    from modules.processing_diffusers.steering import Steering

    seen, plain = [], Steering.residuals

    def listen(self, given, rows, total):
        extra = plain(self, given, rows, total)
        seen.append(extra["down_block_additional_residuals"][0])
        return extra

    monkeypatch.setattr(Steering, "residuals", listen)
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (32, 0, 64, 64))
    studio.draw(steered(unit(mask=encode(mask)), steps=1))
    assert seen[0][..., :4].abs().max() == 0
    assert seen[0][..., 4:].abs().max() > 0


def test_jobs_with_other_units_draw_together_what_they_draw_alone(studio, exact):
    requests = [
        steered(unit(), seed=1),
        steered(unit(weight=0.4, control_mode=CONTROL, image=encode(speckled(seed=3))), seed=2),
        steered(unit("tiny-other"), seed=3),
        ask(seed=4),
    ]
    alone = [exact(studio.draw(request)) for request in requests]
    with held_back(studio.engine.multiplexer, {"unet"}, 4):
        together = in_threads([lambda request=request: exact(studio.draw(request)) for request in requests])
    for one, other in zip(alone, together, strict=True):
        assert apart(one, other) < CLOSE


def test_jobs_with_one_network_share_its_calls(studio):
    before = studio.engine.multiplexer.stats()["targets"]["control"]
    with held_back(studio.engine.multiplexer, {"control"}, 2):
        in_threads([lambda seed=seed: studio.draw(steered(unit(weight=seed / 4), seed=seed)) for seed in (1, 2)])
    after = studio.engine.multiplexer.stats()["targets"]["control"]
    assert after["calls"] - before["calls"] == 6
    assert after["forwards"] - before["forwards"] < 6


def test_a_batch_is_what_its_pictures_are(studio, exact):
    both = studio.draw(steered(unit(module="shuffle", image=encode(speckled())), batch=2, seed=7))
    for place, picture in enumerate(both.pictures):
        lone = studio.draw(steered(unit(module="shuffle", image=encode(speckled())), seed=7 + place))
        assert apart(picture.image.exact, exact(lone)) < CLOSE


def test_pictures_drawn_one_by_one_are_steered_too(studio, exact, monkeypatch):
    from modules.processing_diffusers.tail import ScheduleTail

    request = steered(unit(module="shuffle", image=encode(speckled())), batch=2, seed=7)
    with monkeypatch.context() as patched:
        patched.setattr(ScheduleTail, "one_by_one", True)
        both = studio.draw(request)
    lone = studio.draw(
        replace(request, canvas=replace(request.canvas, batch_size=1), seeds=replace(request.seeds, seed=8))
    )
    assert apart(both.pictures[1].image.exact, exact(lone)) < CLOSE


def test_nothing_is_left_in_the_model(studio, plain):
    def fingerprint():
        digest = hashlib.sha256()
        entry = studio.engine._catalog.find_model("tiny-sd15")
        with studio.engine.storehouse.lease(entry, studio.engine._catalog.family("sd15"), print) as model:
            for part in ("unet", "vae", "text_encoder"):
                module = model.loaded.components[part]
                assert not any(one._forward_hooks or one._forward_pre_hooks for one in module.modules())
                for name, tensor in sorted(module.state_dict().items()):
                    digest.update(name.encode() + tensor.numpy().tobytes())
        return digest.hexdigest()

    before = fingerprint()
    studio.draw(steered(unit(), unit("tiny-adapter"), unit("tiny-other", control_mode=PROMPT)))
    assert fingerprint() == before
    assert np.array_equal(np.asarray(studio.draw(ask()).pictures[0].image), plain)


def test_an_adapter_steers_and_is_asked_once_a_pass(studio, draw):
    base = draw(ask())
    before = studio.engine.multiplexer.stats()["targets"].get("control", {"calls": 0})["calls"]
    moved = draw(steered(unit("tiny-adapter"), steps=3))
    assert studio.engine.multiplexer.stats()["targets"]["control"]["calls"] == before + 1
    assert apart(base, moved) > 1e-4
    assert apart(moved, draw(steered(unit("tiny-adapter-file"), steps=3))) == 0
    assert apart(moved, draw(steered(unit("tiny-adapter", weight=0.1), steps=3))) > 1e-5


def test_the_passes_of_a_hires_picture_are_steered_as_asked(draw):
    hires = HiresParams(enabled=True, scale=1.5, upscaler="Latent", steps=2)
    base, both = draw(ask(hires=hires)), draw(steered(unit(), hires=hires))
    low, high = (draw(steered(unit(hr_option=option), hires=hires)) for option in (LOW_ONLY, HIGH_ONLY))
    for one in (both, low, high):
        assert apart(one, base) > 1e-4
    assert apart(both, draw(steered(unit(hr_option=LOW_ONLY), unit(hr_option=HIGH_ONLY), hires=hires))) < CLOSE
    assert apart(draw(steered(unit(hr_option=HIGH_ONLY))), draw(steered(unit()))) == 0, "there is one pass only"


def test_from_a_picture_the_unit_may_look_at_that(draw):
    image = encode(circle())
    start = ImageParams(images=(image,), denoising_strength=0.8)
    base = draw(ask(image=start))
    own = draw(steered(unit(image=b""), image=start))
    assert apart(own, base) > 1e-4
    assert apart(own, draw(steered(unit(image=image), image=start))) == 0


@pytest.mark.parametrize("model", ["tiny-sd15", "tiny-sd15-inpaint"])
def test_repainting_is_steered_under_the_mask_only(studio, model):
    image, mask = speckled(96, 96), Image.new("L", (96, 96), 0)
    mask.paste(255, (40, 40, 80, 80))
    inpaint = InpaintParams(mask=encode(mask), blur=0, only_masked=True, padding=4)
    start = ImageParams(images=(encode(image),), denoising_strength=1.0)
    groups = {"image": start, "inpaint": inpaint, "model": model}
    base = np.asarray(studio.draw(ask(**groups)).pictures[0].image, np.int16)
    for other in (unit(image=b""), unit(image=b"", module="inpaint"), unit()):
        moved = np.asarray(studio.draw(steered(other, **groups)).pictures[0].image, np.int16)
        difference = np.abs(moved - base).max(axis=2)
        assert difference[44:76, 44:76].max() > 0
        assert difference[:40].max() == 0
        assert difference[:, :40].max() == 0


def test_sdxl_and_the_conditions_of_a_union(draw):
    base = draw(ask(model="tiny-sdxl"))
    assert apart(base, draw(steered(unit("tiny-xl"), model="tiny-sdxl"))) > 1e-4
    canny, tile = (
        draw(steered(unit("tiny-union", module=module), model="tiny-sdxl")) for module in ("canny", "blur_gaussian")
    )
    assert apart(base, canny) > 1e-4
    assert apart(canny, tile) > 1e-4


@pytest.mark.parametrize(
    ("asked", "model", "error", "words"),
    [
        (unit("tiny-contral"), None, UnknownModel, "near names are tiny-control"),
        (unit("torn"), None, BrokenModel, "torn"),
        (unit("tiny-xl"), None, UnsupportedFeature, "made for Stable Diffusion XL"),
        (unit("tiny-control"), "tiny-sdxl", UnsupportedFeature, "made for Stable Diffusion 1.5"),
        (unit("tiny-adapter"), "tiny-sdxl", UnsupportedFeature, "does not fit"),
        (unit(), "tiny-flux", UnsupportedFeature, "made for Stable Diffusion 1.5"),
        (unit(), "tiny-chroma", UnsupportedFeature, "cannot be steered"),
        (unit("None"), None, InvalidRequest, "has no model"),
        (unit(image=b""), None, InvalidRequest, "has no picture"),
        (unit(image=b"no picture"), None, InvalidRequest, "The picture of ControlNet unit 0"),
        (unit(weight=2.5), None, InvalidRequest, "allowed is 0 to 2"),
        (unit(guidance_start=0.6, guidance_end=0.6), None, InvalidRequest, "start before it ends"),
        (
            unit(module="openpose"),
            None,
            UnsupportedFeature,
            "needs a network such as usyd-community/vitpose-base-simple",
        ),
        (unit(module="canary"), None, InvalidRequest, "those that work here are none, canny"),
        (unit(module="inpaint"), None, InvalidRequest, "wants a mask"),
    ],
)
def test_what_cannot_be_is_said(studio, asked, model, error, words):
    with pytest.raises(error, match=words) as raised:
        studio.draw(steered(asked, model=model))
    assert 400 <= raised.value.status < 500


def test_at_most_ten_units(studio):
    with pytest.raises(InvalidRequest, match="11 ControlNet units"):
        studio.draw(steered(*[unit(weight=0.0)] * 11))


def test_the_text_of_a_picture_names_its_units_and_is_read_back(studio):
    asked = unit(module="canny_edge", weight=0.35, guidance_end=0.9, control_mode=PROMPT, hr_option=LOW_ONLY)
    picture = studio.draw(steered(ControlUnit(), asked)).pictures[0]
    said = parse(picture.infotext)["ControlNet 1"]
    title = next(one.title for one in studio.engine.controls.controls.models() if one.name == "tiny-control")
    assert said.startswith(f"Module: canny, Model: {title}, Weight: 0.35, Resize Mode: Crop and Resize, ")
    assert "Control Mode: My prompt is more important" in said
    assert "Processor Res" not in said
    read, unknown = to_request(parse(picture.infotext), GenerationRequest())
    wanted = replace(asked, module="canny", model=title, image=b"")
    assert (read.control.units, unknown) == ((ControlUnit(), wanted), ())
    assert picture.recipe["control"][0]["module"] == "canny"
    again = replace(read, control=ControlParams((ControlUnit(), replace(wanted, image=asked.image))))
    again = replace(again, sampling=replace(again.sampling, scheduler=None), output=GenerationRequest().output)
    assert np.array_equal(np.asarray(studio.draw(again).pictures[0].image), np.asarray(picture.image))
