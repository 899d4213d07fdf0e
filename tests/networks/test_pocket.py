"""Networks on the model that ships: what they change, what they leave, and that jobs beside each other do not mix."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from modules.contracts.errors import InvalidRequest, UnknownModel, UnsupportedFeature
from modules.contracts.request import CanvasParams, PromptParams
from modules.contracts.run import RunContext
from modules.memory import compiled
from modules.networks.catalog import hash_network
from tests.factories.pocket import make_pocket_engine
from tests.networks.making import pocket_parts, recolour, save_kohya
from tests.processing_diffusers.conftest import ask, in_threads

CIRCLE = "a red circle on a white background"
STEPS = 6


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """The pocket model's engine with a network that makes blue of red, one that makes green of it, and others."""
    folder = tmp_path_factory.mktemp("networks")
    parts = pocket_parts()
    lora = folder / "models" / "lora"
    save_kohya(lora / "bluer.safetensors", recolour(parts), {"ss_output_name": "Bluer"})
    save_kohya(lora / "greener.safetensors", recolour(parts, meant="green"))
    layer = "text_model_encoder_layers_0_mlp_fc1"
    noise = torch.Generator().manual_seed(0)
    save_file(
        {
            f"lora_te_{layer}.lora_up.weight": torch.randn(256, 2, generator=noise),
            f"lora_te_{layer}.lora_down.weight": torch.randn(2, 128, generator=noise),
        },
        str(lora / "reader.safetensors"),
    )
    save_file(
        {"lora_unet_mid_block_resnets_0_conv1.lora_up.weight": torch.ones(7, 2), **strange()},
        str(lora / "misfit.safetensors"),
    )
    table, tokenizer = parts[1].get_input_embeddings().weight.detach(), parts[2]
    words = folder / "models" / "embeddings"
    words.mkdir(parents=True)
    for name, text in (("azure", "blue"), ("bluecircle", "blue circle")):
        ids = tokenizer(text, add_special_tokens=False).input_ids
        save_file({"emb_params": table[ids].clone()}, str(words / f"{name}.safetensors"))
    save_kinds(lora, parts[0], table[tokenizer("blue", add_special_tokens=False).input_ids].clone())
    save_file({"clip_l": torch.zeros(1, 768), "clip_g": torch.zeros(1, 1280)}, str(words / "large.safetensors"))
    made = make_pocket_engine(folder)
    yield made
    made.close()


def save_kinds(lora, unet, blue):
    """A butterfly, generalised pairs, and a LoRA of nothing with a word that means blue."""
    layers = {path: layer for path, layer in unet.named_modules() if path.endswith(("attn2.to_k", "attn2.to_v"))}
    noise = torch.Generator().manual_seed(5)
    turning, pairs = {}, {}
    for path, layer in layers.items():
        name, (outputs, inputs) = "lycoris_" + path.replace(".", "_"), layer.weight.shape
        turning[f"{name}.oft_blocks"] = torch.randn(2, outputs // 16, 16, 16, generator=noise)
        turning[f"{name}.alpha"] = torch.tensor(0.0)
        for word, shape in (("a1", (inputs, 2)), ("a2", (2, inputs)), ("b1", (outputs, 2)), ("b2", (2, inputs))):
            pairs[f"{name}.{word}.weight"] = torch.randn(shape, generator=noise) * 0.2
    save_file(turning, str(lora / "turning.safetensors"))
    save_file(pairs, str(lora / "pairs.safetensors"))
    path, layer = next(iter(layers.items()))
    name, (outputs, inputs) = "lora_unet_" + path.replace(".", "_"), layer.weight.shape
    idle = {f"{name}.lora_up.weight": torch.zeros(outputs, 1), f"{name}.lora_down.weight": torch.zeros(1, inputs)}
    words = {"bundle_emb.skytone.string_to_param.*": blue, "bundle_emb.vast.clip_l": torch.zeros(1, 768)}
    save_file({**idle, **words}, str(lora / "bringing.safetensors"))


def strange():
    return {"lora_unet_mid_block_resnets_0_conv1.lora_down.weight": torch.ones(2, 5)}


def draw(engine, prompt, seed=3, **more):
    if isinstance(prompt, PromptParams):
        more["prompt"] = prompt
    request = ask(prompt, seed=seed, steps=STEPS, size=128, sampler="Euler", cfg=4.0, **more)
    return engine.generate(request, RunContext("job", previews=False))


def same(one, other):
    return np.array_equal(pixels(one), pixels(other))


def pixels(result, place=0):
    return np.asarray(result.pictures[place].image, np.int16)


def redness(result, place=0):
    """Red minus blue where the picture has a colour."""
    image = pixels(result, place)
    coloured = image.max(-1) - image.min(-1) > 60
    return float((image[..., 0] - image[..., 2])[coloured].mean())


def weights_hash(engine):
    """Of all weights that the engine holds."""
    digest = hashlib.sha256()
    family = engine._catalog.family("sd15")
    with engine.storehouse.lease(engine._catalog.find_model(None), family, lambda share, part: None) as model:
        for part in model.fittings.parts.values():
            for name, tensor in sorted(part.state_dict().items()):
                digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def test_a_network_turns_red_into_blue(engine):
    plain, turned = draw(engine, CIRCLE), draw(engine, f"{CIRCLE} <lora:bluer:1>")
    assert redness(plain) > 60
    assert redness(turned) < -60


def test_a_weight_of_nothing_changes_nothing(engine):
    assert np.array_equal(pixels(draw(engine, CIRCLE)), pixels(draw(engine, f"{CIRCLE}<lora:bluer:0>")))


def test_jobs_with_other_networks_draw_together_what_they_draw_alone(engine):
    prompts = (CIRCLE, f"{CIRCLE}<lora:bluer:1>", f"{CIRCLE}<lora:greener:1>", f"{CIRCLE}<lora:bluer:0.5>")
    before = weights_hash(engine)
    alone = [draw(engine, prompt) for prompt in prompts]
    engine.multiplexer.figures.reset()
    together = in_threads([lambda prompt=prompt: draw(engine, prompt) for prompt in prompts])
    for one, other in zip(alone, together, strict=True):
        assert np.abs(pixels(one) - pixels(other)).max() <= 1
    figures = engine.multiplexer.stats()["targets"]["unet"]
    assert figures["mean_lanes"] > 2
    assert weights_hash(engine) == before


@pytest.fixture(scope="module")
def plain(engine):
    """The picture without any network."""
    return draw(engine, CIRCLE)


@pytest.fixture(scope="module")
def turned(engine):
    """The picture with the network at full weight."""
    return draw(engine, f"{CIRCLE}<lora:bluer:1>")


@pytest.mark.parametrize(
    "arguments", ["1:lbw=0,0,0,0,0,0,0,0", "1:stop=0", "0:1:in=0:mid=0:out=0", "te=1:unet=0", "0@0,0@1"]
)
def test_arguments_that_leave_nothing(engine, plain, arguments):
    assert same(draw(engine, f"{CIRCLE}<lora:bluer:{arguments}>"), plain)


@pytest.mark.parametrize(
    "arguments", ["1:lbw=1,1,1,1,1,1,1,1", "1@0,1@1", "0:1", "te=0:unet=1", "unet=1", "1:1:12", "0.5><lora:bluer:0.5"]
)
def test_arguments_that_say_the_same(engine, turned, arguments):
    assert np.abs(pixels(draw(engine, f"{CIRCLE}<lora:bluer:{arguments}>")) - pixels(turned)).max() <= 1


@pytest.mark.parametrize(
    "arguments", ["1:start=0.5", "1:step=0-2", "1@0,0@1", "1:1:1", "1:lbw=1,0,0,0,0,1,1,1", "0.6", "-1"]
)
def test_arguments_that_make_a_difference(engine, plain, turned, arguments):
    other = draw(engine, f"{CIRCLE}<lora:bluer:{arguments}>")
    assert not same(other, plain)
    assert not same(other, turned)


def test_a_network_of_the_text_encoder_leaves_no_reading_behind(engine, plain):
    assert not same(draw(engine, f"{CIRCLE}<lora:reader:1>"), plain)
    assert not same(draw(engine, f"{CIRCLE}<lora:reader:1>"), draw(engine, f"{CIRCLE}<lora:reader:0.5>"))
    assert same(draw(engine, f"{CIRCLE}<lora:reader:0:1>"), plain)
    assert same(draw(engine, CIRCLE), plain)


def test_each_picture_of_a_batch_has_its_own(engine):
    prompt = CIRCLE + " {<lora:bluer:1>|<lora:greener:1>|}"
    whole = draw(engine, prompt, canvas=CanvasParams(128, 128, 5, 1))
    kinds = {tuple(use.entry.name for use in picture.uses) for picture in engine.resolve(batch_of(prompt)).pictures}
    assert len(kinds) == 3
    for place, picture in enumerate(whole.pictures):
        alone = draw(engine, prompt, seed=picture.seed)
        assert np.abs(pixels(whole, place) - pixels(alone)).max() <= 1


def batch_of(prompt):
    return ask(prompt, seed=3, steps=STEPS, canvas=CanvasParams(128, 128, 5, 1))


def test_a_word_with_vectors_of_another_reads_like_it(engine):
    blue = draw(engine, "a blue circle on a white background")
    assert same(draw(engine, "a azure circle on a white background"), blue)
    assert same(draw(engine, "a bluecircle on a white background"), blue)
    assert same(draw(engine, "a (AZURE:1.0) circle on a white background"), blue)
    assert not same(draw(engine, "a azures circle on a white background"), blue)


def test_words_beside_jobs_without_them(engine):
    prompts = ("a azure circle on a white background", CIRCLE, "a bluecircle on a black background <lora:greener:1>")
    alone = [draw(engine, prompt, seed=8) for prompt in prompts]
    engine.unload()
    together = in_threads([lambda prompt=prompt: draw(engine, prompt, seed=8) for prompt in prompts])
    assert all(np.abs(pixels(one) - pixels(other)).max() <= 1 for one, other in zip(alone, together, strict=True))


def test_a_word_for_another_model_is_read_as_it_is_written(engine):
    result = draw(engine, "a large circle")
    assert any("large" in note and "plain words" in note for note in result.notes)


def test_infotext_and_recipe_name_what_was_used(engine):
    picture = draw(engine, "a azure circle <lora:Bluer:0.8:dyn=3>").pictures[0]
    networks = engine.networks.networks
    lora, word = networks.find("lora", "bluer"), networks.find("embedding", "azure")
    whole, data = hash_network(lora.path).split()
    assert f"Lora hashes: bluer: {data[:12]}" in picture.infotext.replace('"', "")
    assert f"TI hashes: azure: {hash_network(word.path)[:12]}" in picture.infotext.replace('"', "")
    rows = json.loads(json.dumps(picture.recipe["networks"]))
    assert (rows[0]["name"], rows[0]["sha256"]) == ("bluer", whole)
    assert rows[0]["denoiser"] == [[0.0, 0.8]]
    assert rows[0]["rank"] == 3
    assert rows[1]["name"] == "azure"


@pytest.mark.parametrize(
    ("tag", "error", "words"),
    [
        ("<lora:blur:1>", UnknownModel, "bluer"),
        ("<lora:bluer:much>", InvalidRequest, "number"),
        ("<lora:bluer:1:lbw=ALL>", InvalidRequest, "8 or 18"),
        ("<lora:bluer:1:strength=2>", InvalidRequest, "allowed are"),
        ("<lora:bluer:1:dyn=0>", InvalidRequest, "rank"),
        ("<hypernet:x:1>", UnsupportedFeature, "Hypernetworks"),
        ("<lora:misfit:1>", UnsupportedFeature, "does not fit pocket"),
    ],
)
def test_what_cannot_be_is_refused_in_words(engine, tag, error, words):
    with pytest.raises(error, match=words):
        draw(engine, f"{CIRCLE}{tag}")


def test_a_missing_network_may_be_left_out_with_a_note(engine, plain):
    engine._settings.update({"unknown_networks": "warn"})
    try:
        result = draw(engine, f"{CIRCLE}<lora:nowhere:1>")
    finally:
        engine._settings.update({"unknown_networks": "error"})
    assert same(result, plain)
    assert any("nowhere" in note for note in result.notes)


def test_weights_are_what_they_were_after_random_networks(engine):
    before = weights_hash(engine)
    lot = np.random.default_rng(5)
    for _ in range(20):
        tags = "".join(f"<lora:{lot.choice(['bluer', 'greener', 'reader'])}:{lot.normal():.3f}>" for _ in range(2))
        engine.generate(ask(CIRCLE + tags, steps=1, size=64), RunContext("job", previews=False))
    assert weights_hash(engine) == before


@pytest.mark.parametrize("name", ["turning", "pairs"])
def test_every_kind_leaves_the_weights_as_they_were(engine, plain, name):
    before = weights_hash(engine)
    changed = draw(engine, f"{CIRCLE} <lora:{name}:1>")
    assert np.abs(pixels(changed) - pixels(plain)).max() > 10
    assert same(draw(engine, CIRCLE), plain)
    assert weights_hash(engine) == before


def test_an_embedding_that_comes_with_a_network_counts_where_that_is_used(engine):
    words = "a {} circle on a white background"
    tag = "<lora:bringing:1>"
    meant, plain = draw(engine, words.format("blue")), draw(engine, words.format("skytone"))
    found = draw(engine, words.format("SkyTone") + tag)
    assert np.abs(pixels(found) - pixels(meant)).max() <= 1
    assert not same(plain, meant)
    assert same(draw(engine, words.format("skytone")), plain)  # and not where it is not
    assert "TI hashes" not in found.pictures[0].infotext
    told = found.pictures[0].recipe["networks"]
    assert {"name": "skytone", "kind": "embedding", "bundled_in": "bringing"} in told
    against = [
        draw(engine, PromptParams(CIRCLE + also, negative)) for also, negative in ((tag, "skytone"), ("", "blue"))
    ]
    assert np.abs(pixels(against[0]) - pixels(against[1])).max() <= 1


def test_one_that_does_not_fit_is_read_as_plain_words_and_noted(engine):
    result = draw(engine, "a vast circle <lora:bringing:1>")
    assert any("vast" in note and "read as plain words" in note for note in result.notes)


def test_a_list_shows_the_words_that_come_along(engine):
    entry = engine.networks.networks.find("lora", "bringing")
    assert entry.facts.words[:2] == (("skytone", 0), ("vast", 0))
    assert entry.facts.methods == ("LoRA", "Textual inversion")


def test_compiled_blocks_draw_the_same_with_any_network(engine, monkeypatch):
    monkeypatch.setattr(compiled, "BACKEND", "eager")  # traced, and run as traced
    before = weights_hash(engine)
    prompts = (CIRCLE, f"{CIRCLE}<lora:bluer:1>", f"{CIRCLE}<lora:greener:0.7>", f"{CIRCLE}<lora:turning:1>")
    wanted = [pixels(draw(engine, prompt)) for prompt in prompts]
    engine._settings.update({"torch_compile": "regional"})
    try:
        drawn = [draw(engine, prompt) for prompt in prompts[:2]]
        with torch.compiler.set_stance("fail_on_recompile"):
            drawn += [draw(engine, prompt) for prompt in prompts[2:]]
    finally:
        engine._settings.update({"torch_compile": "off"})
    assert all(result.pictures[0].recipe["compiled"] and not result.notes for result in drawn)
    assert all(abs(pixels(result) - one).max() <= 1 for result, one in zip(drawn, wanted, strict=True))
    assert weights_hash(engine) == before
    assert not draw(engine, CIRCLE).pictures[0].recipe["compiled"]
