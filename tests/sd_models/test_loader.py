"""Models in memory: equal from folder and file, in the wanted precision, gone when unloaded, broken with a name."""

from __future__ import annotations

import gc
import json
import shutil
import weakref

import pytest
import torch

from modules.contracts.catalog import ModelEntry
from modules.contracts.errors import BrokenModel
from modules.contracts.plan import Placement
from modules.sd_models.components import SAME, match_names
from modules.sd_models.detect import Recognised, inspect_file
from modules.sd_models.families import load_families, load_rules
from modules.sd_models.folders import inspect_folder
from modules.sd_models.loader import load_model, unload
from modules.support.paths import ROOT
from tests.factories import models
from tests.factories.single_files import sidecar_of, single_file

TABLE = ROOT / "configs" / "families.json"
RULES = load_rules(TABLE)
FAMILIES = {family.id: family for family in load_families(TABLE)}


def everywhere(dtype="float32"):
    return {group: Placement("cpu", dtype) for group in ("denoiser", "text_encoder", "vae")}


def entry_of(path):
    outcome = inspect_folder(path, RULES) if path.is_dir() else inspect_file(path, RULES)
    assert isinstance(outcome, Recognised), outcome
    layout = "diffusers" if path.is_dir() else "single_file"
    return ModelEntry(path.stem, path, layout, outcome.family, 64, details=outcome.facts)


def load(path, dtype="float32", **options):
    entry = entry_of(path)
    return load_model(entry, FAMILIES[entry.family], everywhere(dtype), **options)


def modules_of(model):
    return {name: part for name, part in model.components.items() if isinstance(part, torch.nn.Module)}


def assert_same_weights(first, second):
    assert modules_of(first).keys() == modules_of(second).keys()
    for name, part in modules_of(first).items():
        ours, theirs = part.state_dict(), second.components[name].state_dict()
        assert ours.keys() == theirs.keys(), name
        for key in ours:
            assert torch.equal(ours[key], theirs[key]), (name, key)


@pytest.mark.parametrize(
    "name",
    [
        "sd15",
        "sdxl",
        "sd3",
        "flux",
        "chroma",
        "pixart",
        "zimage",
        "lumina2",
        "qwenimage",
        "auraflow",
        "sana",
        "wan",
        "ltx",
        "kandinsky5",
        "kolors",
        "flux2",
        "flux2klein",
        "hunyuandit",
    ],
)
def test_a_folder_gives_what_the_library_gives(name, request):
    """The same weights and the same pictures as `from_pretrained` of diffusers."""
    from diffusers import DiffusionPipeline

    folder = request.getfixturevalue(f"tiny_{name}_folder")
    ours = load(folder)
    theirs = DiffusionPipeline.from_pretrained(folder)
    for part, module in modules_of(ours).items():
        whole = getattr(theirs, part)
        if type(whole).__name__ in SAME:  # it has a head or eyes that no denoiser asks
            whole = next(inner for inner in whole.modules() if type(inner) is type(module))
        expected = whole.state_dict()
        assert all(torch.equal(value, expected[key]) for key, value in module.state_dict().items()), part
        computed = dict(whole.named_buffers())
        assert all(torch.equal(value, computed[key]) for key, value in module.named_buffers()), part
    assert set(ours.components) == {
        key for key, value in theirs.components.items() if value is not None and key != "safety_checker"
    }
    text = ours.components["tokenizer"]("a red circle").input_ids
    within = getattr(theirs.tokenizer, "tokenizer", None)  # of a processor, which sees pictures, too
    assert text == (within if callable(within) else theirs.tokenizer)("a red circle").input_ids


@pytest.mark.parametrize(
    "name",
    [
        "sd15",
        "sd15_inpaint",
        "sdxl",
        "sd3",
        "flux",
        "chroma",
        "pixart",
        "zimage",
        "lumina2",
        "qwenimage",
        "auraflow",
        "sana",
        "wan",
        "ltx",
        "wan_i2v",
        "flux2",
        "kolors",
        "kandinsky5",
        "cascade",
    ],
)
def test_a_single_file_is_the_folder_it_was_made_of(name, request):
    assert_same_weights(
        load(request.getfixturevalue(f"tiny_{name}_folder")), load(request.getfixturevalue(f"tiny_{name}_file"))
    )


@pytest.mark.parametrize("name", ["sd2"])
def test_dimensions_are_read_off_the_shapes(name, request, tmp_path):
    """Without any config beside the file; only what shapes cannot tell, such as the native size, differs."""
    folder = request.getfixturevalue(f"tiny_{name}_folder")
    bare = single_file(folder, tmp_path / "bare.safetensors", name.removesuffix("_inpaint"), configs=False)
    first, second = load(folder), load(bare)
    assert_same_weights(first, second)
    ours, theirs = second.components["unet"].config, first.components["unet"].config
    for key in (
        "block_out_channels",
        "layers_per_block",
        "cross_attention_dim",
        "in_channels",
        "use_linear_projection",
    ):
        assert ours[key] == theirs[key] or tuple(ours[key]) == tuple(theirs[key]), key


def picture(model, seed=1):
    """Two steps of the bare parts: text, denoiser, decoder."""
    parts = model.components
    ids = torch.tensor([parts["tokenizer"]("a red circle", padding="max_length", truncation=True).input_ids])
    with torch.no_grad():
        words = parts["text_encoder"](ids)[0]
        latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(seed))
        for step in (999, 500):
            latents = latents - 0.5 * parts["unet"](latents, step, words).sample
        return parts["vae"].decode(latents).sample


def test_folder_and_file_draw_the_same(tiny_sd15_folder, tiny_sd15_file):
    first, second = picture(load(tiny_sd15_folder)), picture(load(tiny_sd15_file))
    assert torch.equal(first, second)
    assert first.std() > 0.01


def test_sd35_medium_loads_from_a_file(tmp_path):
    folder = models.tiny_sd3(tmp_path / "sd35", medium=True)
    file = single_file(folder, tmp_path / "sd35-file.safetensors", "sd3", configs=False)
    assert load(file).components["transformer"].config.qk_norm == "rms_norm"
    assert_same_weights(load(folder), load(file))


def test_sd3_does_without_t5(tmp_path):
    folder = models.tiny_sd3(tmp_path / "sd3", t5=False)
    file = single_file(folder, tmp_path / "sd3-file.safetensors", "sd3")
    for path in (folder, file):
        assert {"text_encoder_3", "tokenizer_3"}.isdisjoint(load(path).components)


def test_a_projection_that_a_file_leaves_out_changes_nothing(tmp_path, tiny_sd3_folder):
    from safetensors.torch import load_file, save_file

    file = single_file(tiny_sd3_folder, tmp_path / "sd3.safetensors", "sd3")
    weights = {key: value for key, value in load_file(file).items() if "clip_l.transformer.text_projection" not in key}
    save_file(weights, file)
    projection = load(file).components["text_encoder"].text_projection.weight
    assert torch.equal(projection, torch.eye(32))


def test_half_precision_and_shards_load_into_any_precision(tmp_path, tiny_flux_folder):
    half = load(models.tiny_flux(tmp_path / "half", fp16=True, shard=200_000))
    assert len(list((tmp_path / "half").rglob("*.fp16-*.safetensors"))) > 1
    full = load(tiny_flux_folder)
    for name, part in modules_of(half).items():
        for key, value in part.state_dict().items():
            assert value.dtype == torch.float32
            torch.testing.assert_close(value, full.components[name].state_dict()[key], atol=1e-3, rtol=1e-3)


def test_each_group_gets_its_own_precision(tiny_sd15_folder):
    placement = {
        "denoiser": Placement("cpu", "bfloat16"),
        "text_encoder": Placement("cpu", "float32"),
        "vae": Placement("cpu", "float16"),
    }
    entry = entry_of(tiny_sd15_folder)
    parts = load_model(entry, FAMILIES["sd15"], placement).components
    assert parts["unet"].dtype == torch.bfloat16
    assert parts["text_encoder"].dtype == torch.float32
    assert parts["vae"].dtype == torch.float16


def test_t5_keeps_in_32_bits_what_overflows_in_16(tiny_flux_folder):
    encoder = load(tiny_flux_folder, "float16").components["text_encoder_2"]
    block = encoder.encoder.block[0].layer[1].DenseReluDense
    assert block.wo.weight.dtype == torch.float32
    assert block.wi_0.weight.dtype == torch.float16


def test_models_are_ready_to_draw(tiny_sd15_folder):
    model = load(tiny_sd15_folder)
    for part in modules_of(model).values():
        assert not part.training
        assert not any(weight.requires_grad for weight in part.parameters())
    assert model.options["requires_safety_checker"] is False


def test_the_size_is_that_of_the_weights(tiny_flux_folder):
    model = load(tiny_flux_folder)
    expected = sum(file.stat().st_size for file in tiny_flux_folder.rglob("*.safetensors"))
    assert abs(model.size_bytes - expected) < 0.05 * expected
    assert load(tiny_flux_folder, "bfloat16").size_bytes < 0.55 * model.size_bytes


def test_progress_runs_from_nothing_to_all(tiny_sd3_folder, tiny_sd3_file):
    for path in (tiny_sd3_folder, tiny_sd3_file):
        seen = []
        load(path, progress=lambda fraction, part, seen=seen: seen.append((fraction, part)))
        fractions = [fraction for fraction, _ in seen]
        assert fractions == sorted(fractions)
        assert fractions[-1] == pytest.approx(1.0)
        assert {part for _, part in seen} > {"transformer", "vae", "text_encoder", "text_encoder_3"}


def test_weights_do_not_depend_on_the_file_afterwards(tmp_path, tiny_flux_folder):
    folder = shutil.copytree(tiny_flux_folder, tmp_path / "model")
    model = load(folder)
    before = [weight.clone() for weight in model.components["transformer"].parameters()]
    file = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    with file.open("r+b") as stream:
        stream.seek(file.stat().st_size // 4)
        stream.write(b"\xff" * (file.stat().st_size // 2))
    assert all(map(torch.equal, model.components["transformer"].parameters(), before))


def test_loading_leaves_the_process_as_it_was(tiny_flux_folder):
    before = torch.nn.Module.register_parameter, torch.get_default_dtype(), torch.get_default_device()
    state = torch.get_rng_state()
    load(tiny_flux_folder, "float16")
    assert (torch.nn.Module.register_parameter, torch.get_default_dtype(), torch.get_default_device()) == before
    assert torch.equal(torch.get_rng_state(), state)


def test_unloading_frees_every_weight(tiny_sd15_folder):
    model = load(tiny_sd15_folder)
    kept = [weakref.ref(weight) for part in modules_of(model).values() for weight in part.parameters()]
    unload(model)
    assert model.components == {}
    assert not any(reference() is not None for reference in kept)


def live_bytes():
    gc.collect()
    storages = {}
    for item in gc.get_objects():
        # The type is asked, not the object: some objects of torch warn when they are looked at.
        if issubclass(type(item), torch.Tensor) and not item.is_meta:
            storages[item.untyped_storage().data_ptr()] = item.untyped_storage().nbytes()
    return sum(storages.values())


def test_fifty_switches_leave_memory_where_it_was(tiny_flux_file, tiny_flux_folder, tiny_sd3_folder):
    """Three models, room for two: each lease throws one out, and nothing of it stays."""
    from modules.memory.residency import ModelPool

    paths = [tiny_flux_folder, tiny_sd3_folder, tiny_flux_file]
    entries = [entry_of(path) for path in paths]
    pool = ModelPool(budget=2**40, limit=2, size_of=lambda model: model.size_bytes, dispose=unload)
    figures = []
    for turn in range(50):
        entry = entries[turn % 3]
        with pool.lease(
            entry.name, lambda entry=entry: load_model(entry, FAMILIES[entry.family], everywhere())
        ) as model:
            assert model.components["vae"].device.type == "cpu"
        if turn % 9 == 8:
            del model
            figures.append(live_bytes())
    assert len(pool.resident()) == 2
    assert max(figures[1:]) == min(figures[1:])


@pytest.fixture
def copy(tmp_path, tiny_flux_folder):
    """A copy of the tiny Flux that a test may break, with the entry it had when it was whole."""
    folder = shutil.copytree(tiny_flux_folder, tmp_path / "model")
    return folder, entry_of(folder)


def refusal(entry):
    with pytest.raises(BrokenModel) as caught:
        load_model(entry, FAMILIES[entry.family], everywhere())
    return caught.value.message


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")


def test_a_class_that_is_not_in_the_table_is_never_imported(copy):
    folder, entry = copy
    change(folder / "model_index.json", vae=["os", "system"])
    assert "vae: the class 'system' is not known" in refusal(entry)


def test_a_scheduler_that_is_none_is_refused(copy):
    folder, entry = copy
    change(folder / "model_index.json", scheduler=["diffusers", "StableDiffusionPipeline"])
    assert "scheduler: 'StableDiffusionPipeline' is no scheduler" in refusal(entry)


def test_a_config_of_other_widths_names_part_and_weight(copy):
    folder, entry = copy
    change(folder / "transformer" / "config.json", joint_attention_dim=64)
    message = refusal(entry)
    assert message.startswith("model: transformer: ")
    assert "has the shape" in message


def test_a_config_that_makes_no_sense_names_the_part(copy):
    folder, entry = copy
    change(folder / "vae" / "config.json", down_block_types=["NoSuchBlock"] * 4)
    assert refusal(entry).startswith("model: vae cannot be used")


def test_missing_weights_are_counted_and_named(copy):
    from safetensors.torch import load_file, save_file

    folder, entry = copy
    file = folder / "text_encoder" / "model.safetensors"
    weights = {key: value for key, value in load_file(file).items() if "final_layer_norm" not in key}
    save_file(weights, file)
    assert "text_encoder: 2 of 36 weights are missing, the first is final_layer_norm" in refusal(entry)


def test_a_tokenizer_without_files_names_the_part(copy):
    folder, entry = copy
    for file in (folder / "tokenizer").iterdir():
        file.unlink()
    assert refusal(entry).startswith("model: tokenizer: tokenizer holds no vocabulary")


def test_a_tokenizer_of_another_model_is_refused(tmp_path, tiny_sd15_folder):
    """CLIP's own vocabulary, which is what a file without a folder beside it gets, is too large for the tiny model."""
    file = single_file(tiny_sd15_folder, tmp_path / "x.safetensors", "sd15")
    shutil.rmtree(sidecar_of(file))
    assert "knows 49408 words and its text encoder has room for" in refusal(entry_of(file))


def test_a_truncated_file_is_refused_at_loading_too(copy):
    folder, entry = copy
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    assert "10 of" in refusal(entry)


def test_an_entry_with_a_problem_is_not_tried(tmp_path):
    entry = ModelEntry("x", tmp_path, "diffusers", "sd15", 64, problem="It is broken.")
    assert refusal(entry) == "It is broken."


def test_flux_without_its_encoders_says_where_they_go(tmp_path, tiny_flux_folder):
    file = single_file(tiny_flux_folder, tmp_path / "flux.safetensors", "flux")
    shutil.rmtree(sidecar_of(file))
    message = refusal(entry_of(file))
    assert "flux.safetensors holds no vae" in message
    assert "flux.config/vae.safetensors" in message


def test_parts_beside_a_file_may_be_single_files(tmp_path, tiny_flux_folder):
    """A VAE in LDM naming and weights alone, as people have them."""
    file = single_file(tiny_flux_folder, tmp_path / "flux.safetensors", "flux")
    sidecar = sidecar_of(file)
    (sidecar / "vae" / "diffusion_pytorch_model.safetensors").rename(sidecar / "vae.safetensors")
    shutil.rmtree(sidecar / "vae")
    assert_same_weights(load(tiny_flux_folder), load(file))


def test_a_language_model_is_found_among_the_shared_ones(tmp_path, tiny_zimage_folder, monkeypatch):
    """Under the level that its authors' files have; what asks the next word is left out."""
    from safetensors.torch import load_file, save_file

    from modules.sd_models import sources

    file = single_file(tiny_zimage_folder, tmp_path / "checkpoints" / "z.safetensors", "z-image")
    shutil.rmtree(sidecar_of(file) / "text_encoder")
    entry = entry_of(file)
    assert "holds no text_encoder" in refusal(entry)
    shared = tmp_path / "text-encoders"
    shared.mkdir()
    weights = load_file(tiny_zimage_folder / "text_encoder" / "model.safetensors")
    named = {f"model.{name.removeprefix('model.')}": value for name, value in weights.items()}
    save_file(named, shared / "qwen.safetensors")
    monkeypatch.setitem(sources.WIDTHS, "z-image", {"text_encoder": 32})
    loaded = load_model(entry, FAMILIES["z-image"], everywhere()).components["text_encoder"].state_dict()
    theirs = load(tiny_zimage_folder).components["text_encoder"].state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in loaded.items())


def test_a_language_model_cut_to_the_layers_that_are_read_says_the_same(tmp_path, tiny_flux2_folder, monkeypatch):
    """The files of Mistral that Flux.2 is shared with end behind the last of the three layers, without a norm."""
    from safetensors.torch import save_file

    from modules.processing_diffusers.families.flux2 import Flux2Adapter
    from modules.sd_models import sources

    file = single_file(tiny_flux2_folder, tmp_path / "checkpoints" / "flux2.safetensors", "flux2")
    shutil.rmtree(sidecar_of(file) / "text_encoder")
    shared = tmp_path / "text-encoders"
    shared.mkdir()
    whole = load(tiny_flux2_folder).components["text_encoder"]
    kept = {f"model.{name}": value for name, value in whole.state_dict().items() if "layers.3." not in name}
    del kept["model.norm.weight"]
    save_file({**kept, "tekken_model": torch.zeros(8, dtype=torch.uint8)}, shared / "mistral.safetensors")
    monkeypatch.setitem(sources.WIDTHS, "flux2", {"text_encoder": 16})
    cut = load(file).components["text_encoder"]
    assert len(cut.layers) == 3
    ids = torch.tensor([[1, 20, 30, 40]])
    assert torch.equal(Flux2Adapter().hear(cut, input_ids=ids)[0], Flux2Adapter().hear(whole, input_ids=ids)[0])


@pytest.mark.parametrize("level", ["", "model.", "model.language_model.", "language_model.model."])
def test_a_language_model_is_known_under_the_levels_of_any_version(tiny_flux2_folder, level):
    """Beside its eyes, whose names are no names of its own."""
    encoder = load(tiny_flux2_folder).components["text_encoder"]
    named = {f"{level}{name}": value for name, value in encoder.state_dict().items()}
    eyes = {"model.vision_tower.patch_conv.weight": torch.zeros(1), "lm_head.weight": torch.zeros(1)}
    assert match_names(encoder, {**named, **eyes}).keys() == encoder.state_dict().keys()


def test_shared_text_encoders_are_known_by_their_shapes(tmp_path, tiny_sdxl_folder):
    """A file without text encoders finds them among the installation's, whatever they are called."""
    from safetensors.torch import load_file, save_file

    file = single_file(tiny_sdxl_folder, tmp_path / "checkpoints" / "xl.safetensors", "sdxl")
    save_file({key: value for key, value in load_file(file).items() if "conditioner" not in key}, file)
    entry = entry_of(file)
    assert "holds no text_encoder" in refusal(entry)
    shared = tmp_path / "text-encoders"
    shared.mkdir()
    shutil.copyfile(tiny_sdxl_folder / "text_encoder" / "model.safetensors", shared / "b.safetensors")
    shutil.copyfile(tiny_sdxl_folder / "text_encoder_2" / "model.safetensors", shared / "a.safetensors")
    assert_same_weights(load(tiny_sdxl_folder), load_model(entry, FAMILIES["sdxl"], everywhere()))
