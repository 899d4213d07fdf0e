"""Each stage learns for two steps at toy size, stops, goes on where it stopped, and ends in a model that opens."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from modules.pocket import tokens
from modules.pocket.command import run
from modules.pocket.sampling import open_model
from modules.pocket.stages import decoder, export, latents, pictures, text, unet, vae
from modules.training.journal import Budget, load_checkpoint, save_checkpoint, warm_cosine
from modules.training.muon import orthogonalise

COUNT = 8
SIDES = (64, 128, 256)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A training folder taken through all stages but the last, two steps each."""
    folder = tmp_path_factory.mktemp("pocket")
    assert pictures.make_scenes(folder, COUNT, Budget(1))
    vae.train_vae(folder, Budget(1), 60, batch=2, max_steps=2)
    text.train_text(folder, Budget(1), total_steps=10, batch=4, max_steps=2)
    assert latents.make_texts(folder, COUNT, Budget(1))
    for side in SIDES:
        assert latents.make_latents(folder, side, COUNT, Budget(1))
    unet.train_unet(folder, Budget(1), 60, batch=4, max_steps=2, sides=SIDES)
    decoder.train_decoder(folder, Budget(1), 60, batch=2, max_steps=2)
    return folder


def weights(folder, name):
    state = load_checkpoint(folder / f"{name}.pt")
    return state["step"], torch.cat([value.flatten().float() for value in state["model"].values()])


@pytest.mark.parametrize(
    ("name", "go_on"),
    [
        ("vae", lambda folder: vae.train_vae(folder, Budget(1), 60, batch=2, max_steps=2)),
        ("text", lambda folder: text.train_text(folder, Budget(1), total_steps=10, batch=4, max_steps=2)),
        ("unet", lambda folder: unet.train_unet(folder, Budget(1), 60, batch=4, max_steps=2, sides=SIDES)),
        ("decoder", lambda folder: decoder.train_decoder(folder, Budget(1), 60, batch=2, max_steps=2)),
    ],
)
def test_a_stage_stops_and_goes_on(work, name, go_on):
    step, before = weights(work, name)
    figures = go_on(work)
    later, after = weights(work, name)
    assert (later - step, figures["step"]) == (2, later)
    assert np.isfinite(figures["loss"])
    assert not torch.equal(before, after)
    last = json.loads((work / f"{name}.jsonl").read_text().splitlines()[-1])
    assert last["step"] == later


def test_a_spent_budget_changes_nothing_but_leaves_a_checkpoint(work):
    step, before = weights(work, "unet")
    unet.train_unet(work, Budget(0), 60, batch=4, sides=SIDES)
    assert weights(work, "unet")[0] == step
    assert torch.equal(weights(work, "unet")[1], before)


def test_the_last_part_shows_whole_pictures_close_ups_and_some_of_half_the_side(work):
    spent = load_checkpoint(work / "unet.pt")["seconds"]
    late = unet.train_unet(work, Budget(1), spent / 0.75, batch=4, max_steps=30, sides=SIDES)
    seen = {kind: late[f"pictures_{kind}"] for kind in (*SIDES, "close")}
    assert all(seen.values())
    assert seen["close"] > seen[SIDES[0]]
    assert sum(seen.values()) < 30 * 4 * unet.LATE  # whole pictures cost more, so there are fewer of them in a step
    early = unet.train_unet(work, Budget(1), spent * 100, batch=4, max_steps=2, sides=SIDES)
    assert (early["pictures_128"], early["pictures_close"]) == (0, 0)


def test_whitening_centres_the_latents_and_decodes_the_same():
    torch.manual_seed(1)
    made = vae.build_vae().eval()
    pictures = np.random.default_rng(0).integers(0, 255, (6, 64, 64, 3), np.uint8)
    wanted = vae.to_tensor(pictures)
    with torch.no_grad():
        before = made.encode(wanted).latent_dist.mean
        picture = made.decode(before).sample
        latents.whiten(made, before)
        after = made.encode(wanted).latent_dist.mean
        again = made.decode(after).sample
    flat = after.permute(1, 0, 2, 3).flatten(1)
    assert torch.allclose(flat.mean(1), torch.zeros(4), atol=1e-3)
    assert torch.allclose(torch.cov(flat), torch.eye(4), atol=1e-2)
    assert torch.allclose(picture, again, atol=1e-3)


def test_latents_lie_where_the_stage_says(work):
    for side in SIDES:
        store = latents.Encoded(work, side)
        known, words = store.draw(np.random.default_rng(0), 6, drop=0.0)
        assert len(store) == COUNT
        assert known.shape == (6, 4, side // 8, side // 8)
        assert words.shape == (6, tokens.LENGTH, text.WIDTH)
        assert torch.isfinite(known).all()
        assert words.abs().sum() > 0


def test_an_interrupted_encoding_goes_on_where_it_was(work, monkeypatch):
    monkeypatch.setattr(latents, "CHUNK", 4)
    (work / "latents-64.pt").unlink()
    whole = np.load(work / "latents-64.npy").copy()
    spent = Budget(1)
    encode = latents.encode_pictures

    def stop_after_one(vae, pictures):
        spent.asked = True
        return encode(vae, pictures)

    monkeypatch.setattr(latents, "encode_pictures", stop_after_one)
    assert not latents.make_latents(work, 64, COUNT, spent)
    assert len(latents.Encoded(work, 64)) == 4
    assert latents.make_latents(work, 64, COUNT, Budget(1)) is True
    assert len(latents.Encoded(work, 64)) == COUNT
    assert np.allclose(np.load(work / "latents-64.npy"), whole, atol=0.05)


def test_export_writes_a_folder_that_the_ordinary_loader_opens(work, tmp_path):
    size = export.export(work, tmp_path / "model")
    assert size <= export.SIZE_LIMIT
    pipeline = open_model(tmp_path / "model")
    assert pipeline.unet.dtype == pipeline.text_encoder.dtype == torch.float32
    assert pipeline.vae.config.scaling_factor == 1.0
    for path in (tmp_path / "model").rglob("*.json"):
        assert str(work) not in path.read_text()


def test_exporting_again_leaves_other_parts_of_the_family_alone(work, tmp_path):
    target = tmp_path / "model"
    export.export(work, target)
    (target / "lora").mkdir()
    (target / "lora" / "style.safetensors").write_bytes(b"trained elsewhere")
    (target / "README.md").write_text("the card", encoding="utf-8")
    export.export(work, target)
    assert (target / "lora" / "style.safetensors").read_bytes() == b"trained elsewhere"
    assert (target / "README.md").read_text(encoding="utf-8") == "the card"
    assert not target.with_name("model.part").exists()


def test_the_tokenizer_gives_words_back(work):
    tokenizer = text.make_tokenizer(work)
    sentence = "a red circle on a white background"
    numbers = tokenizer(sentence).input_ids
    assert len(numbers) == len(sentence.split()) + 2
    assert tokenizer.decode(numbers, skip_special_tokens=True) == sentence
    strange = tokenizer("Ünknown dragon 7").input_ids
    assert tokenizer.decode(strange, skip_special_tokens=True) == "ünknown dragon 7"
    assert tokens.encode(tokenizer, [sentence, "x " * 60]).shape == (2, tokens.LENGTH)


def test_velocity_holds_the_picture_and_the_noise():
    clean, noise = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2)
    level = torch.tensor([0.9, 0.5, 0.1])
    noisy, wanted = unet.velocity(clean, noise, level)
    share = level[:, None, None, None]
    assert torch.allclose(share.sqrt() * noisy - (1 - share).sqrt() * wanted, clean, atol=1e-6)
    assert unet.signal_levels()[-1] < 1e-4


def test_orthogonalise_evens_out_the_singular_values():
    torch.manual_seed(0)
    for shape in ((2, 8, 72), (1, 72, 8), (1, 16, 16)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape), steps=5))
        assert values.min() > 0.4
        assert values.max() < 1.5


def test_the_learning_rate_rises_and_falls():
    rates = [warm_cosine(step, 100, 10) for step in range(100)]
    assert rates.index(max(rates)) in (9, 10)
    assert rates[-1] < 0.05


def test_a_checkpoint_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x.pt"
    save_checkpoint(path, {"step": 1})
    with pytest.raises(AttributeError):
        save_checkpoint(path, {"step": lambda: None})
    assert load_checkpoint(path) == {"step": 1}
    assert load_checkpoint(tmp_path / "none.pt") is None


def test_the_command_says_what_is_missing(tmp_path, capsys):
    assert run(["train", "unet", "--work", str(tmp_path), "--minutes", "1"]) == 2
    assert "latents-128.pt" in capsys.readouterr().err
    assert run(["train", "nonsense", "--work", str(tmp_path)]) == 2
    assert "no stage" in capsys.readouterr().err
    assert run(["eval", "--model", str(tmp_path / "none")]) == 2
