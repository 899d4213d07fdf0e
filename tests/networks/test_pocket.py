"""Networks on the model that ships: what they change, what they leave, and that jobs beside each other do not mix."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from modules.contracts.run import RunContext
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
    made = make_pocket_engine(folder)
    yield made
    made.close()


def draw(engine, prompt, seed=3, **more):
    request = ask(prompt, seed=seed, steps=STEPS, size=128, sampler="Euler", cfg=4.0, **more)
    return engine.generate(request, RunContext("job", previews=False))


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
