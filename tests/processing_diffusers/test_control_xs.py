"""ControlNet-XS: that a call is what diffusers' own makes of it, for whom and when, and that nothing is left of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from modules.contracts.cache import DEEP, CacheParams
from modules.contracts.control import CONTROL, HIGH_ONLY, PROMPT, ControlParams, ControlUnit
from modules.contracts.errors import BrokenModel, UnsupportedFeature
from modules.contracts.features import FeatureParams
from modules.contracts.infotext_format import parse
from modules.contracts.request import HiresParams
from modules.networks.rows import ModuleShelf
from modules.processing_diffusers.inside.crossing import Crossing, RowCrossings
from tests.factories import controls
from tests.processing_diffusers.conftest import CLOSE, apart, encode, held_back, in_threads, make_engine, speckled
from tests.processing_diffusers.conftest import ask as ask_for
from tests.processing_diffusers.test_control import circle


def ask(**groups):
    """A request of two steps, which is enough here."""
    return ask_for(**{"steps": 2, **groups})


def unit(model="tiny-xs", **values):
    """A unit that is on, with a picture of its own unless told otherwise."""
    values.setdefault("image", encode(circle()))
    return ControlUnit(enabled=True, module=values.pop("module", "none"), model=model, **values)


def steered(*units, **groups):
    """A request with these units."""
    return ask(control=ControlParams(tuple(units)), **groups)


@pytest.fixture(scope="module")
def folders(tmp_path_factory, tiny_sd15_folder, tiny_sdxl_folder):
    """Models that a branch can stand beside."""
    place = tmp_path_factory.mktemp("xs-checkpoints")
    tiny = {"tiny-sd15": tiny_sd15_folder, "tiny-sdxl": tiny_sdxl_folder}
    return {name: controls.deepen(folder, place / name) for name, folder in tiny.items()}


@pytest.fixture(scope="module")
def made(folders):
    """Adapters by name."""
    learnt = {"learn_time_embedding": True, "time_embedding_mix": 0.95}
    return {
        "tiny-xs": controls.build_xs(folders["tiny-sd15"], seed=1),
        "tiny-learnt": controls.build_xs(folders["tiny-sd15"], seed=2, conditioning_channel_order="bgr", **learnt),
        "tiny-xl": controls.build_xs(folders["tiny-sdxl"], seed=3, num_attention_heads=[2, 2, 2], **learnt),
    }


@pytest.fixture(scope="module")
def studio(tmp_path_factory, made, folders, tiny_sd15_folder):
    from safetensors.torch import save_file

    models = tmp_path_factory.mktemp("xs-models")
    for kind in ("checkpoints", "controlnet"):
        (models / kind).mkdir()
    for name, folder in folders.items():
        (models / "checkpoints" / name).symlink_to(folder)
    (models / "checkpoints" / "tiny-flat").symlink_to(tiny_sd15_folder)
    for name, adapter in made.items():
        adapter.save_pretrained(models / "controlnet" / name)
    controls.build_control(folders["tiny-sd15"], seed=9).save_pretrained(models / "controlnet" / "tiny-control")
    save_file(made["tiny-xs"].state_dict(), models / "controlnet" / "bare.safetensors")
    bench = make_engine(tmp_path_factory.mktemp("xs-engine"), models)
    yield bench
    bench.engine.close()


@pytest.fixture
def draw(studio, exact):
    """Gives the decoder's own numbers of the request's first picture."""
    return lambda request: exact(studio.draw(request))


def sample_of(unet, rows, seed=0):
    """Arguments of a call of that many samples."""
    random = torch.Generator().manual_seed(seed)
    given = {
        "sample": torch.randn(rows, 4, 16, 16, generator=random, dtype=torch.float64),
        "timestep": torch.tensor([700.0, 500.0, 300.0][:rows]),
        "encoder_hidden_states": torch.randn(
            rows, 7, unet.config.cross_attention_dim, generator=random, dtype=torch.float64
        ),
    }
    if unet.config.addition_embed_type:
        width = unet.config.projection_class_embeddings_input_dim - 6 * unet.config.addition_time_embed_dim
        given["added_cond_kwargs"] = {
            "text_embeds": torch.randn(rows, width, generator=random, dtype=torch.float64),
            "time_ids": torch.tensor([[64.0, 64, 0, 0, 64, 64]] * rows),
        }
    return given


def only(given, place):
    return {
        key: only(value, place) if isinstance(value, dict) else value[place : place + 1] for key, value in given.items()
    }


@pytest.mark.parametrize("name", ["tiny-xs", "tiny-learnt", "tiny-xl"])
def test_a_call_is_what_diffusers_own_makes_of_it_and_leaves_the_model_as_it_was(made, name, folders):
    """Of three samples one has the branch, one none, and one has it without weight."""
    from diffusers import UNetControlNetXSModel

    unet = controls.unet_of(folders["tiny-sdxl" if name == "tiny-xl" else "tiny-sd15"]).double().eval()
    adapter = made[name].double()
    whole = UNetControlNetXSModel.from_unet(unet, adapter).double().eval()
    # The fused model's own layers have another epsilon than the UNet that they are copied from.
    norms = [one for each in (unet, adapter, whole) for one in each.modules() if isinstance(one, torch.nn.GroupNorm)]
    for norm in norms:
        norm.eps = 1e-5
    given, before = sample_of(unet, 3), {key: one.clone() for key, one in unet.state_dict().items()}
    hooks = sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in unet.modules())
    seen = torch.from_numpy(np.asarray(speckled(128, 128), np.float64).transpose(2, 0, 1))[None] / 255
    flipped = seen.flip(1) if name == "tiny-learnt" else seen
    with torch.no_grad():
        hint = adapter.controlnet_cond_embedding(flipped)[0]
        crossings = {0: [Crossing(adapter, hint, 0.7)], 2: [Crossing(adapter, hint, 0.0)]}
        patch = RowCrossings(ModuleShelf(unet, denoiser=True), crossings)
        with patch.gathered([patch], [3]):
            found = unet(**given).sample
        plain = unet(**given).sample
        wanted = [
            whole(**only(given, place), controlnet_cond=seen, conditioning_scale=scale).sample
            for place, scale in ((0, 0.7), (2, 0.0))
        ]
    torch.testing.assert_close(found[0], wanted[0][0], rtol=0, atol=1e-9)
    torch.testing.assert_close(found[2], wanted[1][0], rtol=0, atol=1e-9)
    assert torch.equal(found[1], plain[1])
    assert apart(found[0], plain[0]) > 1e-3
    assert all(torch.equal(one, before[key]) for key, one in unet.state_dict().items())
    assert hooks == sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in unet.modules())


def test_a_region_keeps_what_is_said_where_it_is_white(made, folders):
    """The first layer's answer, as later ones spread it over the picture."""
    unet, adapter = controls.unet_of(folders["tiny-sd15"]).double().eval(), made["tiny-xs"].double()
    region = torch.zeros(16, 16, dtype=torch.float64)
    region[:, :8] = 1.0
    entered = []
    handle = unet.down_blocks[0].resnets[0].register_forward_pre_hook(lambda layer, given: entered.append(given[0]))
    hint = torch.randn(adapter.config["block_out_channels"][0], 16, 16, dtype=torch.float64)
    shelf, given = ModuleShelf(unet, denoiser=True), sample_of(unet, 1)
    with torch.no_grad():
        for each in ({0: [Crossing(adapter, hint, 1.0, region)]}, {0: [Crossing(adapter, hint, 1.0)]}, {}):
            with RowCrossings(shelf, each).gathered([RowCrossings(shelf, each)], [1]):
                unet(**given)
    handle.remove()
    masked, whole, plain = entered
    assert torch.equal(masked[..., 8:], plain[..., 8:])
    assert torch.equal(masked[..., :8], whole[..., :8])
    assert apart(whole, plain) > 1e-3


def test_a_unit_without_weight_leaves_every_bit_as_it_was_and_more_weight_is_more(draw):
    base = draw(ask())
    assert torch.equal(base, draw(steered(unit(weight=0.0))))
    assert torch.equal(base, draw(steered(replace(unit(), enabled=False))))
    shifts = [apart(base, draw(steered(unit(weight=weight)))) for weight in (0.01, 0.3, 1.0)]
    assert 0 < shifts[0] < shifts[1] < shifts[2]
    assert torch.equal(base, draw(ask()))  # nothing is left behind
    assert apart(draw(steered(unit())), draw(steered(unit(image=encode(speckled()))))) > 1e-5


def test_a_window_acts_in_its_steps_only(draw):
    base, whole = draw(ask()), draw(steered(unit()))
    assert torch.equal(base, draw(steered(unit(guidance_start=0.9))))
    late, early = draw(steered(unit(guidance_start=0.5))), draw(steered(unit(guidance_end=0.5)))
    assert min(apart(late, base), apart(early, base), apart(late, whole), apart(early, whole)) > 1e-5


def test_units_of_all_kinds_stand_beside_each_other(draw):
    alone = draw(steered(unit()))
    both = draw(steered(unit(), unit("tiny-learnt", weight=0.5), unit("tiny-control")))
    assert apart(alone, both) > 1e-3


def test_the_side_of_the_prompt_alone(draw, studio):
    balanced = draw(steered(unit()))
    assert apart(balanced, draw(steered(unit(control_mode=CONTROL)))) > 1e-5
    assert torch.equal(balanced, draw(steered(unit(control_mode=PROMPT))))
    notes = studio.draw(steered(unit(control_mode=PROMPT))).notes
    assert any("taken for 'Balanced'" in note for note in notes)


def test_jobs_with_other_branches_draw_together_what_they_draw_alone(studio, exact):
    requests = [
        ask(seed=1),
        steered(unit(), seed=2),
        steered(unit("tiny-learnt", weight=0.4, image=encode(speckled())), seed=3),
    ]
    alone = [exact(studio.draw(request)) for request in requests]
    before = studio.engine.multiplexer.stats()["targets"]["unet"]
    with held_back(studio.engine.multiplexer, {"unet"}, len(requests)):
        together = in_threads([lambda request=request: exact(studio.draw(request)) for request in requests])
    after = studio.engine.multiplexer.stats()["targets"]["unet"]
    assert after["forwards"] - before["forwards"] < len(requests) * 2
    for one, other in zip(alone, together, strict=True):
        assert apart(one, other) < CLOSE


def test_a_batch_a_hires_pass_and_sdxl(studio, draw):
    assert apart(draw(ask(model="tiny-sdxl")), draw(steered(unit("tiny-xl"), model="tiny-sdxl"))) > 1e-4
    hires = HiresParams(enabled=True, scale=2.0, steps=2)
    base = draw(ask(hires=hires))
    assert apart(base, draw(steered(unit(hr_option=HIGH_ONLY), hires=hires))) > 1e-4
    pictures = studio.draw(steered(unit(), batch=2, seed=1)).pictures
    assert not np.array_equal(np.asarray(pictures[0].image), np.asarray(pictures[1].image))


def test_no_layers_are_taken_over_from_other_steps(studio, draw):
    cached = CacheParams(method=DEEP, interval=2)
    assert torch.equal(draw(steered(unit(), cache=cached)), draw(steered(unit())))
    assert any("ControlNet-XS" in note for note in studio.draw(steered(unit(), cache=cached)).notes)


def test_deep_shrink_is_left_out_and_infotext_does_not_name_it(studio, draw):
    shrunk = FeatureParams(shrink=2.0)
    result = studio.draw(steered(unit(), features=shrunk))
    assert any("deep shrink was left out" in note for note in result.notes)
    assert not any("shrink" in key for key in parse(result.pictures[0].infotext))
    assert "shrink" not in result.pictures[0].recipe["first"]
    assert torch.equal(draw(steered(unit(), features=shrunk)), draw(steered(unit())))
    idle = studio.draw(steered(unit(weight=0.0), features=shrunk))
    assert any("shrink" in key for key in parse(idle.pictures[0].infotext))


def test_what_cannot_be_is_said(studio):
    with pytest.raises(UnsupportedFeature, match="tiny-xl"):
        studio.draw(steered(unit("tiny-xl")))
    with pytest.raises(UnsupportedFeature, match="layers_per_block 2 instead of 1"):
        studio.draw(steered(unit(), model="tiny-flat"))
    with pytest.raises(BrokenModel, match="no config.json"):
        studio.draw(steered(unit("bare")))
