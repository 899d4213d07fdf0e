"""Pictures that a drawing looks at: what they change, when, for whom, and that nobody else notices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from modules.contracts.attention import AttentionParams
from modules.contracts.control import (
    BALANCED,
    CONTROL,
    HIGH_ONLY,
    LOW_ONLY,
    PROMPT,
    REFERENCES,
    ControlParams,
    ControlUnit,
    HintParams,
)
from modules.contracts.errors import InvalidRequest, UnsupportedFeature
from modules.contracts.features import FeatureParams
from modules.contracts.infotext import parse, to_request
from modules.contracts.request import GenerationRequest, HiresParams, ImageParams, InpaintParams
from modules.networks.rows import ModuleShelf
from modules.processing_diffusers.inside.references import RowReferences, find_places
from modules.processing_diffusers.inside.sharing import Look, share_statistics
from modules.processing_diffusers.referring import fidelity_of
from tests.factories import controls
from tests.processing_diffusers.conftest import CLOSE, apart, encode, held_back, in_threads, make_engine, speckled
from tests.processing_diffusers.conftest import ask as ask_for

ONE, OTHER = encode(speckled(seed=1)), encode(speckled(96, 64, seed=2))

SEEN = 1e-4
"""Tiny random models are moved by little; what is drawn in 64 bits differs by far less without reason."""


def unit(module="reference_only", **values):
    """A unit that is on, with a picture of its own unless told otherwise."""
    values.setdefault("image", ONE)
    fidelity = HintParams(threshold_a=values.pop("fidelity", -1.0))
    return ControlUnit(enabled=True, module=module, hint=fidelity, **values)


def ask(**groups):
    """A request of two steps, which is enough here."""
    return ask_for(**{"steps": 2, **groups})


def looking(*units, **groups):
    """A request with these units."""
    return ask(control=ControlParams(tuple(units)), **groups)


@pytest.fixture(scope="module")
def studio(tmp_path_factory, request, tiny_sd15_folder):
    """An engine with models of several families and a ControlNet."""
    models = tmp_path_factory.mktemp("reference-models")
    for kind in ("checkpoints", "controlnet"):
        (models / kind).mkdir()
    for name in ("sd15", "sd15_inpaint", "sd2", "sdxl", "flux"):
        made = request.getfixturevalue(f"tiny_{name}_folder")
        (models / "checkpoints" / f"tiny-{name.replace('_', '-')}").symlink_to(made)
    controls.build_control(tiny_sd15_folder, seed=1).save_pretrained(models / "controlnet" / "tiny-control")
    controls.build_control(tiny_sd15_folder, strength=0.0).save_pretrained(models / "controlnet" / "tiny-silent")
    bench = make_engine(tmp_path_factory.mktemp("reference-engine"), models)
    yield bench
    bench.engine.close()


@pytest.fixture
def draw(studio, exact):
    """Gives the decoder's own numbers of the request's first picture."""
    return lambda request: exact(studio.draw(request))


def test_a_unit_without_weight_and_one_that_is_off_leave_every_bit_as_it_was(draw):
    base = draw(ask())
    for idle in (unit(weight=0.0), replace(unit(), enabled=False)):
        assert torch.equal(draw(looking(idle)), base)


@pytest.mark.parametrize("module", sorted(REFERENCES))
def test_every_kind_changes_a_picture_and_another_reference_changes_it_otherwise(draw, module):
    base, one, other = draw(ask()), draw(looking(unit(module))), draw(looking(unit(module, image=OTHER)))
    assert apart(base, one) > SEEN
    assert apart(one, other) > SEEN


@pytest.mark.parametrize("model", ["tiny-sd15-inpaint", "tiny-sd2", "tiny-sdxl"])
def test_every_family_looks(draw, model):
    base, found = draw(ask(model=model, steps=1)), draw(looking(unit("reference_adain+attn"), model=model, steps=1))
    assert apart(base, found) > SEEN


@pytest.fixture(scope="module")
def unet(tiny_sd15_folder):
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel.from_pretrained(tiny_sd15_folder / "unet").double().eval()


def speak(unet, cells, words):
    with torch.no_grad():
        return unet(cells, torch.full((len(cells),), 500.0), words, return_dict=False)[0]


def test_looking_is_what_two_forwards_give(unet):
    """The method as it is usually done: one forward writes what goes into self-attentions, a second one reads it."""
    from diffusers.models.attention_processor import AttnProcessor2_0

    chance = torch.Generator().manual_seed(5)
    cells = torch.randn(2, 4, 16, 16, generator=chance, dtype=torch.float64)
    words = torch.randn(1, 7, unet.config.cross_attention_dim, generator=chance, dtype=torch.float64).expand(2, -1, -1)
    written, plain = {}, AttnProcessor2_0()

    class Writing:
        def __call__(self, attention, hidden_states, encoder_hidden_states=None, **more):
            written.setdefault(attention, hidden_states)
            return plain(attention, hidden_states, encoder_hidden_states, **more)

    class Reading:
        def __call__(self, attention, hidden_states, encoder_hidden_states=None, **more):
            both = torch.cat([hidden_states, written[attention]], dim=1)
            return plain(attention, hidden_states, both, **more)

    before = unet.attn_processors
    try:
        for processor in (Writing(), Reading()):
            unet.set_attn_processor({name: processor if "attn1" in name else one for name, one in before.items()})
            wanted = speak(unet, cells[1:] if processor.__class__ is Writing else cells[:1], words[:1])
    finally:
        unet.set_attn_processor(before)
    shelf = ModuleShelf(unet, denoiser=False)
    patch = RowReferences(shelf, lambda: find_places(shelf), {0: [Look(1, 1.0, True, False)]})
    with patch.gathered([patch], [2]):
        found = speak(unet, cells, words)
    torch.testing.assert_close(found[:1], wanted, rtol=0, atol=1e-10)
    torch.testing.assert_close(found[1:], speak(unet, cells[1:], words[1:]), rtol=0, atol=1e-10)


def test_features_get_mean_and_spread_of_the_others(unet):
    layer, chance = torch.nn.Conv2d(3, 5, 1), torch.Generator().manual_seed(1)
    cells = torch.randn(4, 3, 8, 8, generator=chance) * torch.tensor([1.0, 3.0, 2.0, 5.0]).reshape(-1, 1, 1, 1)
    with torch.no_grad():
        plain = layer(cells)
        looks = {
            0: [Look(1, 1.0, False, True)],
            2: [Look(1, 1.0, False, True, 1.0)],
            3: [Look(1, 1.0, False, True, 0.5)],
        }
        with share_statistics(layer, looks, 4):
            found = layer(cells)
    torch.testing.assert_close(found[0].mean((1, 2)), plain[1].mean((1, 2)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[0].std((1, 2)), plain[1].std((1, 2)), rtol=1e-4, atol=1e-4)
    assert torch.equal(found[1], plain[1])
    torch.testing.assert_close(found[2], plain[2])
    torch.testing.assert_close(found[3].mean((1, 2)), (plain[1] + plain[3]).mean((1, 2)) / 2, rtol=1e-4, atol=1e-4)


def test_a_weight_chooses_layers_from_the_widest_on(unet):
    places = find_places(ModuleShelf(unet, denoiser=False))
    layers = dict(unet.named_modules())
    widths = [layers[path].query_dim for path, _ in places.attention]
    assert widths == sorted(widths, reverse=True)
    assert [rank for _, rank in places.attention] == [n / len(widths) for n in range(len(widths))]
    ranks = dict(places.statistics)
    assert ranks["mid_block"] == 0.0
    assert all(0 <= rank <= 2.0 and path in layers for path, rank in ranks.items())
    assert not any(path.startswith("down_blocks.0.") for path in ranks)


def test_more_weight_is_more_change(draw):
    base = draw(ask())
    shifts = [apart(base, draw(looking(unit("reference_adain", weight=weight)))) for weight in (0.01, 1.0, 2.0)]
    assert 0 < shifts[0] < shifts[2]
    assert shifts[1] > 0


def test_modes_and_style_fidelity_say_what_the_negative_prompt_sees(studio, rows):
    def asked(one):
        rows.clear()
        studio.draw(looking(one, steps=1))
        return rows[0]

    assert asked(unit()) == asked(unit(control_mode=PROMPT)) == 4
    assert asked(unit(fidelity=1.0)) == asked(unit(control_mode=CONTROL)) == 3, "the prompt alone looks"
    assert asked(unit(weight=0.0)) == 2
    rows.clear()
    studio.draw(looking(unit(), unit("reference_adain", image=OTHER), steps=1, batch=2))
    assert rows == [12]


def test_fidelity_follows_the_rules_of_the_extension():
    def said(mode, given=0.5, **where):
        return fidelity_of(unit(control_mode=mode), given, **{"sdxl": False, "hires": False, **where})

    assert (said(BALANCED), said(PROMPT), said(CONTROL)) == (0.5, 0.0, 1.0)
    assert said(BALANCED, sdxl=True) == 0.125
    assert (said(BALANCED, hires=True), said(CONTROL, hires=True)) == (0.0, 1.0)


def test_fidelity_leads_from_one_mode_to_the_other(draw):
    at = {share: draw(looking(unit(fidelity=share))) for share in (0.0, 0.5, 1.0)}
    assert apart(at[0.0], draw(looking(unit(control_mode=PROMPT)))) == 0
    assert apart(at[1.0], draw(looking(unit(control_mode=CONTROL)))) == 0
    assert apart(at[0.0], at[0.5]) > CLOSE < apart(at[0.5], at[1.0])


def test_a_window_acts_in_its_steps_only(studio, rows, draw):
    studio.draw(looking(unit(guidance_start=0.25, guidance_end=0.75), steps=4))
    assert rows == [2, 4, 4, 2]
    whole = draw(looking(unit(), steps=4))
    assert apart(whole, draw(looking(unit(guidance_end=0.5), unit(guidance_start=0.5), steps=4))) > 0, "other noise"
    assert apart(whole, draw(looking(unit(guidance_end=0.99), steps=4))) == 0


def test_jobs_with_other_references_draw_together_what_they_draw_alone(studio, exact):
    requests = [
        looking(unit(), seed=1),
        looking(unit("reference_adain+attn", image=OTHER, control_mode=CONTROL), seed=2),
        looking(unit(), ControlUnit(True, model="tiny-control", image=OTHER), seed=3),
        looking(unit(image=OTHER), seed=4, attention=AttentionParams(pag_scale=2.0, pag_layers="mid")),
        looking(unit(), seed=5, features=FeatureParams(freeu_b1=1.3, freeu_s1=0.8)),
        ask(seed=6),
    ]
    alone = [exact(studio.draw(request)) for request in requests]
    with held_back(studio.engine.multiplexer, {"unet"}, 4):
        together = in_threads([lambda request=request: exact(studio.draw(request)) for request in requests])
    for one, other in zip(alone, together, strict=True):
        assert apart(one, other) < CLOSE


@pytest.mark.parametrize("features", [FeatureParams(hypertile=64), FeatureParams(token_merging=0.5)])
def test_thinned_attention_shares_too(studio, exact, features):
    base = exact(studio.draw(ask(size=128, features=features)))
    request = looking(unit(), size=128, features=features)
    alone = exact(studio.draw(request))
    assert apart(base, alone) > SEEN
    others = [request, ask(size=128, seed=2, features=features)]
    with held_back(studio.engine.multiplexer, {"unet"}, 2):
        together = in_threads([lambda one=one: exact(studio.draw(one)) for one in others])
    assert apart(alone, together[0]) < CLOSE


def test_a_batch_is_what_its_pictures_are(studio, exact, monkeypatch):
    from modules.processing_diffusers.tail import ScheduleTail

    request = looking(unit("reference_adain+attn"), batch=2, seed=7)
    both = [picture.image.exact for picture in studio.draw(request).pictures if exact]
    with monkeypatch.context() as patched:
        patched.setattr(ScheduleTail, "one_by_one", True)
        single = [picture.image.exact for picture in studio.draw(request).pictures]
    for place in range(2):
        lone = exact(studio.draw(looking(unit("reference_adain+attn"), seed=7 + place)))
        assert apart(both[place], lone) < CLOSE
        assert apart(single[place], lone) < CLOSE


def test_joined_prompts_and_spared_negative_ones_look_too(draw):
    joined = replace(ask().prompt, text="a red circle AND a blue square")
    assert apart(draw(ask(prompt=joined)), draw(looking(unit(), prompt=joined))) > SEEN
    spared, unguided = (
        draw(looking(unit(), sampling=replace(ask().sampling, **how)))
        for how in ({"s_min_uncond": 100.0, "s_min_uncond_all": True}, {"cfg_scale": 1.0})
    )
    assert apart(spared, unguided) < CLOSE


def test_a_control_net_says_nothing_to_the_reference(draw):
    silent = ControlUnit(True, model="tiny-silent", image=OTHER)
    assert apart(draw(looking(unit())), draw(looking(unit(), silent))) < CLOSE
    loud = replace(silent, model="tiny-control")
    assert apart(draw(looking(unit())), draw(looking(unit(), loud))) > SEEN


def test_the_passes_of_a_hires_picture_look_as_asked(draw):
    hires = HiresParams(enabled=True, scale=1.5, upscaler="Latent", steps=2)
    base, both = draw(ask(hires=hires)), draw(looking(unit(), hires=hires))
    low, high = (draw(looking(unit(hr_option=option), hires=hires)) for option in (LOW_ONLY, HIGH_ONLY))
    for one in (both, low, high):
        assert apart(one, base) > SEEN
    assert apart(high, draw(looking(unit(hr_option=HIGH_ONLY, control_mode=PROMPT), hires=hires))) == 0


def test_from_a_picture_the_unit_may_look_at_that(draw):
    start = ImageParams(images=(ONE,), denoising_strength=0.8)
    own = draw(looking(unit(image=b""), image=start))
    assert apart(own, draw(ask(image=start))) > SEEN
    assert apart(own, draw(looking(unit(), image=start))) == 0


def test_repainting_looks_under_the_mask_only(studio):
    from PIL import Image

    mask = Image.new("L", (96, 96), 0)
    mask.paste(255, (40, 40, 80, 80))
    groups = {
        "image": ImageParams(images=(encode(speckled(96, 96)),), denoising_strength=1.0),
        "inpaint": InpaintParams(mask=encode(mask), blur=0, only_masked=True, padding=4),
    }
    for model in ("tiny-sd15", "tiny-sd15-inpaint"):
        base = np.asarray(studio.draw(ask(model=model, **groups)).pictures[0].image, np.int16)
        moved = np.asarray(studio.draw(looking(unit(), model=model, **groups)).pictures[0].image, np.int16)
        difference = np.abs(moved - base).max(axis=2)
        assert difference[44:76, 44:76].max() > 0
        assert difference[:40].max() == 0


@pytest.mark.parametrize(
    ("asked", "model", "error", "words"),
    [
        (unit(), "tiny-flux", UnsupportedFeature, "cannot look at references"),
        (unit(image=b""), None, InvalidRequest, "has no picture"),
        (unit(image=b"no picture"), None, InvalidRequest, "The picture of ControlNet unit 0"),
        (unit(mask=ONE), None, InvalidRequest, "takes no mask"),
        (unit(guidance_start=0.6, guidance_end=0.6), None, InvalidRequest, "start before it ends"),
    ],
)
def test_what_cannot_be_is_said(studio, asked, model, error, words):
    with pytest.raises(error, match=words):
        studio.draw(looking(asked, model=model))


def test_the_text_of_a_picture_names_its_references_and_is_read_back(studio):
    asked = unit("reference_adain+attn", weight=0.85, fidelity=0.25, guidance_end=0.9)
    picture = studio.draw(looking(replace(asked, model="whatever"))).pictures[0]
    said = parse(picture.infotext)["ControlNet 0"]
    assert said.startswith("Module: reference_adain+attn, Model: None, Weight: 0.85")
    assert "Threshold A: 0.25" in said
    read, unknown = to_request(parse(picture.infotext), GenerationRequest())
    assert (read.control.units, unknown) == ((replace(asked, image=b""),), ())
    assert {"unit": 0, "kind": "reference", "model": None}.items() <= picture.recipe["control"][0].items()


def test_rows_beside_a_call_count_for_the_memory(studio):
    from modules.processing_diffusers.plan import joined_rows, reference_rows

    joined = replace(ask().prompt, text="a AND b")
    plain, wide = (
        studio.engine.resolve(request) for request in (ask(prompt=joined), looking(unit(), unit(), prompt=joined))
    )
    assert (reference_rows(plain), reference_rows(wide)) == (0, 2)
    assert joined_rows(wide, 6) == 3 * joined_rows(plain, 2)
    assert reference_rows(replace(wide, hires=plain.first)) == 2
