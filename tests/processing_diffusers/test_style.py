"""Style transfer in the engine: which method is taken, what it changes, for whom, and that nobody else notices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from modules.contracts.controls import ControlEntry, NoControls
from modules.contracts.cost import work_of
from modules.contracts.detailer import RegionParams
from modules.contracts.errors import InvalidRequest, UnknownModel, UnsupportedFeature
from modules.contracts.infotext import parse, to_request
from modules.contracts.plan import StyleUse
from modules.contracts.request import GenerationRequest, ImageParams, InpaintParams, StyleParams
from modules.contracts.style import AUTOMATIC, PROMPTED, SHARED, STATISTICS, STYLE_METHODS
from modules.networks.rows import ModuleShelf
from modules.processing_diffusers.inside.references import RowReferences, find_places
from modules.processing_diffusers.inside.sharing import Look, hold_queries, share_attention, spread_like
from modules.processing_diffusers.style_plan import find_style, style_units
from tests.factories import image_prompts
from tests.processing_diffusers.conftest import CLOSE, apart, encode, held_back, in_threads, make_engine, speckled
from tests.processing_diffusers.conftest import ask as ask_for

LOOK, CONTENT = encode(speckled(48, 40, seed=1)), encode(speckled(seed=2))
SEEN = 1e-4
"""Tiny random models are moved by little; what is drawn in 64 bits differs by far less without reason."""


def ask(method=AUTOMATIC, strength=1.0, content=0.5, *, start=True, look=LOOK, adapter="", **groups):
    """A request of two steps with a style, by default from a picture."""
    if start:
        groups.setdefault("image", ImageParams((CONTENT,), denoising_strength=0.9))
    style = StyleParams(method, strength, content, adapter, look)
    return ask_for(**{"steps": 2, "style": style, **groups})


@pytest.fixture(scope="module")
def studio(tmp_path_factory, request, tiny_sd15_folder):
    """An engine with models of several families, and an IP-Adapter for one of them."""
    from safetensors.torch import save_file

    models = tmp_path_factory.mktemp("style-models")
    for kind in ("checkpoints", "ip-adapter"):
        (models / kind).mkdir()
    for name in ("sd15", "sdxl", "flux"):
        made = request.getfixturevalue(f"tiny_{name}_folder")
        (models / "checkpoints" / f"tiny-{name}").symlink_to(made)
    image_prompts.build_encoder().save_pretrained(models / "ip-adapter" / "image_encoder")
    tensors = image_prompts.build_adapter(tiny_sd15_folder, "plain", seed=1)
    save_file({key: one.contiguous() for key, one in tensors.items()}, models / "ip-adapter" / "plain.safetensors")
    bench = make_engine(tmp_path_factory.mktemp("style-engine"), models)
    yield bench
    bench.engine.close()


@pytest.fixture
def draw(studio, exact):
    """Gives the decoder's own numbers of the request's first picture."""
    return lambda request: exact(studio.draw(request))


def test_without_strength_or_picture_every_bit_is_as_it_was(draw):
    base = draw(replace(ask(), style=StyleParams()))
    for idle in (ask(strength=0.0), ask(look=b""), ask(SHARED, 0.0), ask(STATISTICS, 0.0)):
        assert torch.equal(draw(idle), base)


@pytest.mark.parametrize("method", [PROMPTED, SHARED])
@pytest.mark.parametrize("start", [True, False])
def test_every_drawn_method_is_moved_by_the_picture_and_by_its_strength(draw, method, start):
    one = draw(ask(method, start=start))
    assert apart(one, draw(ask(method, start=start, look=encode(speckled(96, 64, seed=5))))) > SEEN
    assert apart(one, draw(ask(method, 0.5, start=start))) > SEEN
    held = apart(one, draw(ask(method, content=1.0, start=start)))
    assert held > SEEN if start else held == 0


def test_the_automatic_method_is_the_first_that_the_model_can_have(studio):
    resolve = studio.engine.resolve
    assert resolve(ask()).style.method == PROMPTED
    assert resolve(ask()).style.entry.name == "plain"
    assert resolve(ask(model="tiny-sdxl")).style == StyleUse(SHARED)
    bare = resolve(ask(model="tiny-flux"))
    assert bare.style == StyleUse(STATISTICS)
    assert any("statistics" in note for note in bare.notes)
    with pytest.raises(UnsupportedFeature, match="start from a picture"):
        resolve(ask(model="tiny-flux", start=False))
    for wish in (ask(SHARED, model="tiny-flux"), ask(PROMPTED, model="tiny-sdxl")):
        with pytest.raises(UnsupportedFeature):
            resolve(wish)
    with pytest.raises(UnknownModel):
        resolve(ask(PROMPTED, adapter="nobody's"))
    with pytest.raises(UnsupportedFeature, match="made for"):
        resolve(ask(adapter="plain", model="tiny-sdxl"))
    with pytest.raises(InvalidRequest, match="needs a picture"):
        resolve(ask(STATISTICS, start=False))
    details = {"regions": RegionParams(detector="Contrast")}
    with pytest.raises(InvalidRequest, match="leave the detailer out"):
        resolve(ask(STATISTICS, **details))
    assert any("the detailer was left out" in note for note in resolve(ask(model="tiny-flux", **details)).notes)
    with pytest.raises(InvalidRequest, match="Style strength"):
        resolve(ask(strength=1.5))


def test_an_adapter_speaks_where_style_is(studio):
    class Shelf(NoControls):
        def models(self):
            path = studio.paths.cache
            return ControlEntry("net", path, "controlnet", "sdxl"), ControlEntry("xl", path, "ip_adapter", "sdxl")

    family = studio.engine.resolve(ask(model="tiny-sdxl")).family
    use = find_style(ask(strength=0.7), Shelf(), family, [])
    (one,) = style_units(ask(strength=0.7), use, family)
    assert (one.entry.name, one.unit.weight, one.unit.hint.blocks) == ("xl", 0.7, "style")
    (other,) = studio.engine.resolve(ask()).first.controls
    assert other.unit.hint.blocks == "up=1"


def test_statistics_draws_nothing_and_loads_nothing(studio, rows):
    studio.engine.unload()
    studio.events.clear()
    result = studio.draw(ask_for(style=StyleParams(STATISTICS, image=LOOK), image=ImageParams((CONTENT,)), batch=2))
    assert rows == []
    assert not studio.engine.storehouse.resident()
    first, second = result.pictures
    assert np.array_equal(np.asarray(first.image), np.asarray(second.image))
    assert first.recipe["style"] == STATISTICS
    assert not {"Sampler", "Steps", "Model"} & parse(first.infotext, defaults=False).keys()
    assert work_of(ask(STATISTICS)) < work_of(ask(SHARED, steps=20))


def test_statistics_keeps_what_a_mask_leaves_alone(studio):
    mask = np.zeros((64, 64), np.uint8)
    mask[:, 40:] = 255
    inpaint = InpaintParams(encode(Image.fromarray(mask)), blur=0)
    made = np.asarray(studio.draw(ask(STATISTICS, inpaint=inpaint)).pictures[0].image)
    given = np.asarray(speckled(seed=2))
    assert np.array_equal(made[:, :40], given[:, :40])
    assert not np.array_equal(made[:, 40:], given[:, 40:])


@pytest.mark.parametrize("method", STYLE_METHODS)
def test_infotext_says_what_was_done_and_can_be_read_back(studio, method):
    asked = ask(method, 0.6, 0.25, steps=1)
    picture = studio.draw(asked).pictures[0]
    said = parse(picture.infotext)
    done = PROMPTED if method == AUTOMATIC else method
    assert (said["Style method"], said["Style strength"], said["Content strength"]) == (done, "0.6", "0.25")
    assert "ControlNet" not in picture.infotext
    again, unknown = to_request(said, GenerationRequest(image=asked.image, style=StyleParams(image=LOOK)))
    assert unknown == ()
    adapter = said.get("Style adapter", "")
    assert again.style == replace(asked.style, method=done, adapter=adapter)
    assert bool(adapter) == (done == PROMPTED)
    assert picture.recipe["parameters"]["style.image"] == "given"


def test_jobs_with_styles_and_without_share_calls_and_draw_what_they_draw_alone(studio, exact):
    requests = [ask(SHARED), ask(PROMPTED, seed=2), replace(ask(seed=3), style=StyleParams()), ask(SHARED, 0.5, seed=4)]
    alone = [exact(studio.draw(request)) for request in requests]
    with held_back(studio.engine.multiplexer, {"unet"}, 3):
        together = in_threads([lambda one=request: studio.draw(one) for request in requests])
    for lonely, result in zip(alone, together, strict=True):
        torch.testing.assert_close(exact(result), lonely, rtol=0, atol=CLOSE)


def test_pictures_of_a_batch_are_those_drawn_alone(studio, exact):
    together = studio.draw(ask(SHARED, batch=2)).pictures
    for place, one in enumerate(together):
        alone = exact(studio.draw(ask(SHARED, seed=1 + place)))
        torch.testing.assert_close(one.image.exact, alone, rtol=0, atol=CLOSE)


def attention(width=8, heads=2, seed=3):
    from diffusers.models.attention_processor import Attention

    torch.manual_seed(seed)
    return Attention(width, heads=heads, dim_head=width // heads).double().eval()


def test_aligned_attention_is_that_of_the_paper():
    layer = attention()
    cells = torch.randn(3, 6, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        plain = layer(cells)
        with share_attention(layer, {0: [Look(2, 1.0, True, False, aligned=True)]}, 3):
            found = layer(cells)
        query, key, value = layer.to_q(cells), layer.to_k(cells), layer.to_v(cells)
        keys = torch.cat([spread_like(key[0], key[2]), key[2]])[None]
        own = [
            part.unflatten(-1, (2, -1)).transpose(1, 2)
            for part in (spread_like(query[0], query[2])[None], keys, torch.cat([value[0], value[2]])[None])
        ]
        weights = (own[0] @ own[1].transpose(-1, -2) * layer.scale).softmax(dim=-1)
        wanted = layer.to_out[0]((weights @ own[2]).transpose(1, 2).flatten(2))[0]
    torch.testing.assert_close(found[0], wanted)
    torch.testing.assert_close(found[1:], plain[1:])


def test_held_queries_are_those_of_the_content():
    layer = attention()
    cells = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    asked = []
    with torch.no_grad(), hold_queries(layer, {0: [Look(1, 1.0, False, False, queries=0.75)]}, 2):
        handle = layer.to_q.register_forward_hook(lambda module, given, output: asked.append(output))
        layer(cells)
        handle.remove()
        plain = layer.to_q.weight @ cells.transpose(1, 2)
    own, far = plain.transpose(1, 2)
    torch.testing.assert_close(asked[0][0], 0.25 * own + 0.75 * far)
    torch.testing.assert_close(asked[0][1], far)


def test_leaving_takes_every_hook_away(tiny_sd15_folder):
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(tiny_sd15_folder / "unet").eval()
    shelf = ModuleShelf(unet, denoiser=False)
    looks = {0: [Look(1, 1.0, True, False, aligned=True), Look(2, 1.0, False, False, queries=1.0)]}
    patch = RowReferences(shelf, lambda: find_places(shelf), looks)

    def hooks():
        return [(name, len(one._forward_hooks), len(one._forward_pre_hooks)) for name, one in unet.named_modules()]

    before = hooks()
    with patch.gathered([patch], [3]):
        assert hooks() != before
    assert hooks() == before
