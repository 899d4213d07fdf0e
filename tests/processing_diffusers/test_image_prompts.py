"""IP-Adapters: that they say what diffusers' own say, to whom, when and where, and that nobody else hears it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from modules.bootstrap.options import Options, PathOptions
from modules.contracts.attention import AttentionParams
from modules.contracts.control import HIGH_ONLY, ControlParams, ControlUnit, HintParams
from modules.contracts.errors import BrokenModel, InvalidRequest, UnsupportedFeature
from modules.contracts.infotext import parse, to_request
from modules.contracts.request import GenerationRequest, HiresParams, ImageParams, InpaintParams
from modules.control.catalog import ControlCatalog
from modules.control.image_prompt import show_to
from modules.networks.rows import ModuleShelf
from modules.processing_diffusers.inside.speaking import RowSpeeches, Speech, find_cross_attentions
from modules.sd_models.command import run
from modules.support.paths import Paths
from tests.factories import controls, image_prompts
from tests.processing_diffusers.conftest import (
    CLOSE,
    apart,
    encode,
    held_back,
    in_threads,
    make_engine,
    pixels,
    speckled,
)
from tests.processing_diffusers.conftest import ask as ask_for

SEEN = 1e-4
"""Tiny random models are moved by little; what is drawn in 64 bits differs by far less without reason."""
PICTURES = {"one": speckled(48, 40, seed=1), "other": speckled(96, 64, seed=2)}


def ask(**groups):
    """A request of two steps, which is enough here."""
    return ask_for(**{"steps": 2, **groups})


def unit(model="plain", picture="one", **values):
    """A unit that is on, with a picture of its own unless told otherwise."""
    values.setdefault("image", encode(PICTURES[picture]))
    values["hint"] = HintParams(blocks=values.pop("blocks", ""))
    return ControlUnit(enabled=True, module=values.pop("module", "ip-adapter-auto"), model=model, **values)


def spoken(*units, **groups):
    """A request with these units."""
    return ask(control=ControlParams(tuple(units)), **groups)


ADAPTERS = {
    "plain": ("sd15", "plain"),
    "plus": ("sd15", "plus"),
    "full": ("sd15", "full"),
    "xl-plain": ("sdxl", "plain"),
    "xl-plus": ("sdxl", "plus"),
}


@pytest.fixture(scope="module")
def made(tiny_sd15_folder, tiny_sdxl_folder):
    """Tensors of every adapter by name."""
    folders = {"sd15": tiny_sd15_folder, "sdxl": tiny_sdxl_folder}
    return {
        name: image_prompts.build_adapter(folders[model], kind, seed=seed)
        for seed, (name, (model, kind)) in enumerate(ADAPTERS.items())
    }


@pytest.fixture(scope="module")
def studio(tmp_path_factory, made, tiny_sd15_folder, tiny_sdxl_folder):
    """An engine with adapters in their authors' layout, and some that cannot be used."""
    from safetensors.torch import save_file

    models = tmp_path_factory.mktemp("prompt-models")
    adapters = models / "ip-adapter" / "models"
    for folder in (models / "checkpoints", models / "controlnet", adapters, models / "ip-adapter" / "sdxl_models"):
        folder.mkdir(parents=True)
    (models / "checkpoints" / "tiny-sd15").symlink_to(tiny_sd15_folder)
    (models / "checkpoints" / "tiny-sdxl").symlink_to(tiny_sdxl_folder)
    image_prompts.build_encoder().save_pretrained(adapters / "image_encoder")
    for name, tensors in made.items():
        folder = models / "ip-adapter" / "sdxl_models" if name.startswith("xl") else adapters
        save_file({key: one.contiguous() for key, one in tensors.items()}, folder / f"{name}.safetensors")
    blind = {
        **made["plain"],
        "image_proj.proj.weight": torch.zeros(made["plain"]["image_proj.proj.weight"].shape[0], 7),
    }
    save_file(blind, models / "controlnet" / "blind.safetensors")
    face = {key: one for key, one in made["plain"].items() if "image_proj.proj" not in key}
    save_file({**face, "image_proj.proj.0.weight": torch.zeros(8, 4)}, models / "controlnet" / "face.safetensors")
    fewer = {key: one for key, one in made["plain"].items() if not key.startswith("ip_adapter.1.")}
    save_file(fewer, adapters / "fewer.safetensors")
    controls.build_control(tiny_sd15_folder, seed=1).save_pretrained(models / "controlnet" / "tiny-control")
    bench = make_engine(tmp_path_factory.mktemp("prompt-engine"), models)
    yield bench
    bench.engine.close()


@pytest.fixture
def draw(studio, exact):
    """Gives the decoder's own numbers of the request's first picture."""
    return lambda request: exact(studio.draw(request))


def looked_at(kind, picture):
    """What an encoder says of a picture of nothing and of this one, as diffusers' pipelines ask it."""
    encoder = image_prompts.build_encoder().double()
    pixels = show_to(encoder, np.asarray(picture)).double()
    with torch.no_grad():
        if kind == "plain":
            embedding = encoder(pixels).image_embeds
            return torch.stack([torch.zeros_like(embedding), embedding])
        both = [encoder(one, output_hidden_states=True).hidden_states[-2] for one in (torch.zeros_like(pixels), pixels)]
        return torch.stack(both)


@pytest.mark.parametrize(
    ("model", "names", "blocks"),
    [
        ("sd15", ("plain",), ""),
        ("sd15", ("plus",), "up.1=0.5, mid=2"),
        ("sd15", ("plain", "full", "plus"), ""),
        ("sdxl", ("xl-plain", "xl-plus"), ""),
    ],
)
def test_a_call_is_what_diffusers_own_adapters_make_of_it(studio, made, monkeypatch, request, model, names, blocks):
    from diffusers import UNet2DConditionModel

    from modules.processing_diffusers.multiplexer.core import Multiplexer

    seen, plain = [], Multiplexer.call

    def listen(self, lane, target, arguments, **named):
        result = plain(self, lane, target, arguments, **named)
        if target.stepped:
            seen.append((arguments, result[0]))
        return result

    monkeypatch.setattr(Multiplexer, "call", listen)
    weights = [0.6 + 0.3 * place for place in range(len(names))]
    pictures = [("one", "other")[place % 2] for place in range(len(names))]
    asked = [
        unit(name, picture, weight=weight, blocks=blocks)
        for name, picture, weight in zip(names, pictures, weights, strict=True)
    ]
    studio.draw(spoken(*asked, model=f"tiny-{model}", steps=1))
    given, found = seen[0]
    folder = request.getfixturevalue(f"tiny_{model}_folder")
    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    unet._load_ip_adapter_weights([image_prompts.nested(made[name]) for name in names], low_cpu_mem_usage=False)
    unet.double()
    loud = {"mid_block.": 2.0, "up_blocks.1.": 0.5}
    for path, processor in unet.attn_processors.items():
        if hasattr(processor, "scale"):
            share = next((by for begin, by in loud.items() if path.startswith(begin)), 0.0) if blocks else 1.0
            processor.scale = [weight * share for weight in weights]
    embeds = [looked_at(ADAPTERS[name][1], PICTURES[one]) for name, one in zip(names, pictures, strict=True)]
    further = {**(given.get("added_cond_kwargs") or {}), "image_embeds": embeds}
    with torch.no_grad():
        wanted = unet(
            given["sample"], given["timestep"], given["encoder_hidden_states"], added_cond_kwargs=further
        ).sample
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    silent = UNet2DConditionModel.from_pretrained(folder / "unet").double()
    with torch.no_grad():
        alone = silent(
            given["sample"],
            given["timestep"],
            given["encoder_hidden_states"],
            added_cond_kwargs=given.get("added_cond_kwargs"),
        ).sample
    assert apart(wanted, alone) > 1e-3


@pytest.mark.parametrize("size", [(48, 40), (31, 97), (32, 32)])
def test_the_encoder_sees_what_its_own_processor_shows(size):
    from transformers import CLIPImageProcessor

    processor = CLIPImageProcessor(size=image_prompts.SIDE, crop_size=image_prompts.SIDE)
    picture = speckled(*size)
    shown = show_to(image_prompts.build_encoder(), np.asarray(picture))
    torch.testing.assert_close(shown, processor(picture, return_tensors="pt").pixel_values, rtol=0, atol=0.05)


def test_a_unit_without_weight_and_one_that_is_off_leave_every_bit_as_it_was(draw):
    base = draw(ask())
    for idle in (unit(weight=0.0), replace(unit(), enabled=False)):
        assert torch.equal(draw(spoken(idle)), base)


def test_more_weight_is_more_change_and_each_picture_says_something_else(draw):
    base = draw(ask())
    shifts = [apart(base, draw(spoken(unit(weight=weight)))) for weight in (0.001, 0.03, 1.0)]
    assert 0 < shifts[0] < shifts[1] < shifts[2]
    assert apart(draw(spoken(unit())), draw(spoken(unit(picture="other")))) > SEEN
    assert apart(draw(spoken(unit())), draw(spoken(unit("plus")))) > SEEN
    assert apart(draw(spoken(unit())), draw(spoken(unit(module="none")))) == 0


def test_blocks_choose_where_it_speaks(draw):
    whole, up, down = (draw(spoken(unit(blocks=blocks))) for blocks in ("", "up=1", "down=1"))
    assert apart(up, down) > SEEN
    assert apart(whole, draw(spoken(unit(blocks="up=1, down=1, mid=1")))) < CLOSE
    assert apart(draw(ask()), draw(spoken(unit(blocks="up=0")))) == 0


def test_a_window_acts_in_its_steps_only(draw):
    whole = draw(spoken(unit(), steps=4))
    halves = draw(spoken(unit(guidance_end=0.5), unit(guidance_start=0.5), steps=4))
    assert apart(whole, halves) < CLOSE
    assert apart(whole, draw(spoken(unit(guidance_end=0.5), steps=4))) > SEEN


def test_jobs_with_other_adapters_draw_together_what_they_draw_alone(studio, exact):
    requests = [
        spoken(unit(), seed=1),
        spoken(unit("plus", "other"), unit(weight=0.4), seed=2),
        spoken(unit(), ControlUnit(True, model="tiny-control", image=encode(PICTURES["other"])), seed=3),
        spoken(unit(), ControlUnit(True, "reference_only", image=encode(PICTURES["other"])), seed=4),
        spoken(unit("full"), seed=5, attention=AttentionParams(pag_scale=2.0, pag_layers="mid")),
        ask(seed=6),
    ]
    alone = [exact(studio.draw(request)) for request in requests]
    with held_back(studio.engine.multiplexer, {"unet"}, 4):
        together = in_threads([lambda request=request: exact(studio.draw(request)) for request in requests])
    for one, other in zip(alone, together, strict=True):
        assert apart(one, other) < CLOSE


def test_a_batch_is_what_its_pictures_are(studio, exact, monkeypatch):
    from modules.processing_diffusers.tail import ScheduleTail

    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (0, 0, 32, 64))
    asked = unit(mask=encode(mask))
    both = [picture.image.exact for picture in studio.draw(spoken(asked, batch=2, seed=7)).pictures]
    with monkeypatch.context() as patched:
        patched.setattr(ScheduleTail, "one_by_one", True)
        single = [picture.image.exact for picture in studio.draw(spoken(asked, batch=2, seed=7)).pictures]
    for place in range(2):
        lone = exact(studio.draw(spoken(asked, seed=7 + place)))
        assert apart(both[place], lone) < CLOSE
        assert apart(single[place], lone) < CLOSE


@pytest.fixture(scope="module")
def unet(tiny_sd15_folder):
    return controls.unet_of(tiny_sd15_folder).double().eval()


def test_a_mask_keeps_what_is_said_where_it_is_white(unet):
    """In the first attention that hears it, places outside of the mask get what they would get without it."""
    shelf, chance = ModuleShelf(unet, denoiser=False), torch.Generator().manual_seed(1)
    paths = find_cross_attentions(shelf)
    said = []
    for path in paths:
        width = shelf.layers[path].to_k.out_features
        said += [torch.randn(4, width, generator=chance, dtype=torch.float64) for _ in range(2)]
    region = torch.zeros(16, 16)
    region[:, :8] = 1.0
    heard = []
    handle = shelf.layers[paths[0]].register_forward_hook(lambda part, given, output: heard.append(output))
    cells = torch.randn(2, 4, 16, 16, generator=chance, dtype=torch.float64)
    words = torch.randn(2, 7, unet.config.cross_attention_dim, generator=chance, dtype=torch.float64)
    try:
        for place in (None, region):
            speeches = {} if place is None else {1: [Speech(said, [1.0] * len(paths), place)]}
            patch = RowSpeeches(shelf, speeches)
            with torch.no_grad(), patch.gathered([patch], [2]):
                unet(cells, torch.full((2,), 500.0), words)
    finally:
        handle.remove()
    plain, masked = (one.unflatten(1, (16, 16)) for one in heard)
    assert torch.equal(plain[0], masked[0])
    torch.testing.assert_close(plain[1, :, 8:], masked[1, :, 8:], rtol=0, atol=1e-12)
    assert apart(plain[1, :, :8], masked[1, :, :8]) > 1e-3


def test_two_masks_share_a_picture(draw):
    left, right = Image.new("L", (64, 64), 0), Image.new("L", (64, 64), 255)
    left.paste(255, (0, 0, 32, 64))
    right.paste(0, (0, 0, 32, 64))
    both = draw(spoken(unit(mask=encode(left)), unit(picture="other", mask=encode(right))))
    assert apart(both, draw(spoken(unit(mask=encode(left))))) > SEEN
    assert apart(draw(spoken(unit())), draw(spoken(unit(mask=encode(left)), unit(mask=encode(right))))) < CLOSE


def test_from_a_picture_and_in_a_hires_pass(draw):
    start = ImageParams(images=(encode(PICTURES["one"]),), denoising_strength=0.8)
    assert apart(draw(ask(image=start)), draw(spoken(unit(image=b""), image=start))) > SEEN
    hires = HiresParams(enabled=True, scale=1.5, upscaler="Latent", steps=2)
    assert apart(draw(ask(hires=hires)), draw(spoken(unit(hr_option=HIGH_ONLY), hires=hires))) > SEEN


def test_a_mask_lies_over_the_whole_drawing_where_a_cut_out_is_worked_on(studio):
    drawn, elsewhere = Image.new("L", (96, 96), 0), Image.new("L", (96, 96), 255)
    drawn.paste(255, (48, 48, 80, 80))
    elsewhere.paste(0, (32, 32, 96, 96))
    groups = {
        "image": ImageParams(images=(encode(speckled(96, 96)),), denoising_strength=1.0),
        "inpaint": InpaintParams(mask=encode(drawn), blur=0, only_masked=True, padding=4),
    }

    def draw(*units):
        return pixels(studio.draw(spoken(*units, **groups)).pictures[0])

    base, whole = draw(), draw(unit())
    assert abs(whole - base).max() > 2
    assert abs(draw(unit(mask=encode(elsewhere))) - base).max() == 0
    assert abs(draw(unit(mask=encode(drawn.point(lambda _: 255)))) - whole).max() == 0


@pytest.mark.parametrize(
    ("asked", "model", "error", "words"),
    [
        (unit("blind"), None, BrokenModel, "needs an image encoder whose projection_dim is 7"),
        (unit("face"), None, BrokenModel, "InsightFace"),
        (unit("fewer"), None, UnsupportedFeature, "does not fit tiny-sd15"),
        (unit("xl-plain"), None, UnsupportedFeature, "IP-Adapter xl-plain was made for Stable Diffusion XL"),
        (unit(module="canny"), None, InvalidRequest, "is ip-adapter-auto, not canny"),
        (unit("tiny-control"), None, InvalidRequest, "is for IP-Adapters"),
        (unit("tiny-control", module="none", blocks="style"), None, InvalidRequest, "for IP-Adapters alone"),
        (unit(blocks="style"), None, InvalidRequest, "known for SDXL only"),
        (unit(blocks="middle"), None, InvalidRequest, "names no part"),
        (unit(blocks="up.1=loud"), None, InvalidRequest, "names no part"),
        (unit(blocks="up.7"), None, InvalidRequest, "no cross-attention in this model"),
        (unit(module="ip-adapter_face_id"), None, UnsupportedFeature, "InsightFace"),
    ],
)
def test_what_cannot_be_is_said(studio, asked, model, error, words):
    with pytest.raises(error, match=words) as raised:
        studio.draw(spoken(asked, model=model))
    assert 400 <= raised.value.status < 500


def test_the_catalogue_lists_adapters_and_no_encoders(studio):
    catalog = studio.engine.controls.controls
    known = {entry.name: entry for entry in catalog.models() if not entry.name.startswith("pocket-")}
    assert set(known) == {*ADAPTERS, "blind", "face", "fewer", "tiny-control"}
    assert {name for name, entry in known.items() if entry.problem} == {"blind", "face"}
    assert known["xl-plus"].encoder == known["plain"].encoder
    assert known["plain"].wish == ("projection_dim", image_prompts.EMBEDDED)
    assert known["plus"].wish == ("hidden_size", image_prompts.HIDDEN)


def test_an_encoder_that_comes_later_is_found(studio):
    catalog = studio.engine.controls.controls
    folder = studio.paths.models / "image-encoders" / "seven"
    image_prompts.build_encoder(embedded=7).save_pretrained(folder)
    try:
        catalog._entries = None
        assert catalog.find_model("blind").encoder == folder
        studio.draw(spoken(unit("blind"), steps=1))
    finally:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        catalog._entries = None
    assert next(one for one in catalog.models() if one.name == "blind").problem


def test_the_text_of_a_picture_names_its_adapters_and_is_read_back(studio):
    asked = unit(weight=0.85, blocks="up.1=0.5, mid=1", guidance_end=0.9)
    picture = studio.draw(spoken(asked)).pictures[0]
    said = parse(picture.infotext)["ControlNet 0"]
    title = next(one.title for one in studio.engine.controls.controls.models() if one.name == "plain")
    assert said.startswith(f"Module: ip-adapter-auto, Model: {title}, Weight: 0.85")
    read, unknown = to_request(parse(picture.infotext), GenerationRequest())
    assert (read.control.units, unknown) == ((replace(asked, model=title, image=b""),), ())
    assert picture.recipe["control"][0]["kind"] == "ip_adapter"
    assert picture.recipe["control"][0]["blocks"] == asked.hint.blocks


def test_a_pickled_adapter_says_how_it_is_converted_and_is_one_afterwards(tmp_path, made):
    paths = Paths(tmp_path / "data", tmp_path / "models", tmp_path).ensure()
    folder = tmp_path / "models" / "ip-adapter"
    folder.mkdir(parents=True, exist_ok=True)
    image_prompts.build_encoder().save_pretrained(folder / "image_encoder")
    torch.save(image_prompts.nested(made["plain"]), folder / "old.bin")
    catalog = ControlCatalog(paths)
    with pytest.raises(BrokenModel, match="python launch.py models convert old.bin"):
        catalog.find_model("old")
    assert run(["convert", "old.bin"], Options(paths=PathOptions(paths.data, paths.models))) == 0
    catalog.refresh()
    usable = [entry for entry in catalog.models() if entry.problem is None and entry.kind == "ip_adapter"]
    assert [(entry.path.name, entry.base) for entry in usable] == [("old.safetensors", "sd15")]
