"""The catalogue: what is found where, what it is called, and how it is found again. No weights, no torch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from modules.bootstrap.options import PathOptions
from modules.contracts.catalog import UpscalerEntry
from modules.contracts.errors import BrokenModel, UnknownModel
from modules.sd_models import inspections
from modules.sd_models.catalog import REST_SECONDS, StudioCatalog, Tables
from modules.sd_models.families import load_families
from modules.support.paths import ROOT, Paths
from tests.factories import headers as h
from tests.factories.upscalers import write_compact

SD15 = h.ldm_unet(768) | h.LDM_VAE | h.LDM_CLIP


def model_folder(folder: Path, context=768) -> Path:
    """A diffusers folder of configs and weightless files."""
    parts = {"unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]}
    for part, shapes in {"unet": h.diffusers_unet(context, prefix=""), "vae": {"decoder.conv_in.weight": (8,)}}.items():
        h.write_weightless(folder / part / "diffusion_pytorch_model.safetensors", shapes)
        (folder / part / "config.json").write_text(json.dumps({"sample_size": 96}))
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline", **parts}))
    return folder


class House:
    """An installation of its own, with a checkout that has configs and maybe a pocket model."""

    def __init__(self, tmp_path: Path) -> None:
        root = tmp_path / "checkout"
        shutil.copytree(ROOT / "configs", root / "configs")
        self.paths = Paths(tmp_path / "data", tmp_path / "models", root).ensure()
        self.checkpoints = self.paths.models_of("checkpoints")
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        self.caches: tuple[Path, ...] = ()
        self.opened: list[StudioCatalog] = []

    def catalog(self, **options) -> StudioCatalog:
        families = load_families(self.paths.configs / "families.json")
        rows = {name: options.pop(name) for name in ("samplers", "schedulers", "upscalers") if name in options}
        self.opened.append(StudioCatalog(self.paths, Tables(families, **rows), hub_caches=self.caches, **options))
        return self.opened[-1]

    def add(self, name, shapes=None, folder="checkpoints", **options) -> Path:
        return h.write_weightless(self.paths.models / folder / name, SD15 if shapes is None else shapes, **options)

    def pocket(self) -> Path:
        return model_folder(self.paths.pocket)


@pytest.fixture
def house(tmp_path):
    """An installation of its own; what its catalogues hash ends with the test."""
    house = House(tmp_path)
    yield house
    for catalog in house.opened:
        catalog.close()


def names(catalog):
    return [entry.name for entry in catalog.models()]


def test_files_and_folders_are_found_wherever_they_stand(house):
    house.add("b.safetensors")
    house.add("deep/er/c.safetensors", h.ldm_unet(1024))
    house.add("a1111.SafeTensors", folder="Stable-diffusion")
    model_folder(house.checkpoints / "folder")
    model_folder(house.paths.models / "beside")
    house.pocket()
    catalog = house.catalog()
    assert names(catalog) == ["a1111", "b", "beside", "c", "folder", "pocket"]
    found = {entry.name: entry for entry in catalog.models()}
    assert found["b"].layout == "single_file"
    assert found["folder"].layout == "diffusers"
    assert found["c"].family == "sd2"
    assert found["folder"].native_size == 96 * 8
    assert found["b"].size_bytes == found["b"].path.stat().st_size


def test_broken_ones_come_last_with_their_reason(house):
    house.add("z.safetensors")
    cut = house.add("a.safetensors")
    cut.write_bytes(cut.read_bytes()[:5000])
    (house.checkpoints / "old.ckpt").write_bytes(b"PK\x03\x04 pickled")
    house.add("unknown.safetensors", {"layers.0.weight": (4, 4)})
    catalog = house.catalog()
    assert names(catalog) == ["z", "a", "old", "unknown"]
    problems = {entry.name: entry.problem for entry in catalog.models()}
    assert "cut off" in problems["a"]
    assert "models convert" in problems["old"]
    assert "no known model family" in problems["unknown"]
    for name in ("a", "old", "unknown"):
        with pytest.raises(BrokenModel, match=problems[name][:20]):
            catalog.find_model(name)


def test_a_pickle_is_a_pickle_whatever_it_is_called(house):
    (house.checkpoints / "x.safetensors").write_bytes(b"\x80\x02}q\x00." + b" " * 100)
    assert "pickled" in house.catalog().models()[0].problem


def test_equal_names_are_told_apart(house):
    house.add("one/m.safetensors")
    house.add("two/m.safetensors", h.ldm_unet(1024))
    model_folder(house.checkpoints / "m")
    catalog = house.catalog()
    assert sorted(names(catalog)) == sorted(set(names(catalog)))
    assert len(names(catalog)) == 3
    assert catalog.find_model("two/m.safetensors").family == "sd2"
    assert catalog.find_model("one\\m.safetensors").family == "sd15"


@pytest.mark.parametrize(
    "called",
    [
        "Some Model",
        "some model",
        "Some Model.safetensors",
        "sub/Some Model",
        "sub\\Some Model.safetensors",
        " Some Model ",
    ],
)
def test_a_model_is_found_by_what_people_call_it(house, called):
    house.add("sub/Some Model.safetensors")
    house.add("other.safetensors", h.ldm_unet(1024))
    assert house.catalog().find_model(called).name == "Some Model"


def test_a_model_is_found_by_hash_and_title(house):
    house.add("m.safetensors")
    house.add("n.safetensors", h.ldm_unet(1024))
    catalog = house.catalog()
    entry = catalog.wait(catalog.find_model("m"), 60)
    assert entry.title == f"m [{entry.sha256[:10]}]"
    assert next(row for row in catalog.models() if row.name == "m").title == entry.title
    for called in (
        entry.title,
        entry.short_hash,
        entry.sha256,
        entry.sha256[:8].upper(),
        f"renamed [{entry.short_hash}]",
    ):
        assert catalog.find_model(called).name == "m"
    with pytest.raises(UnknownModel, match="has the hash"):
        catalog.find_model("m [0123456789]")


def test_any_case_only_when_it_is_clear(house):
    house.add("Model.safetensors")
    house.add("MODEL.safetensors", h.ldm_unet(1024))
    catalog = house.catalog()
    assert catalog.find_model("MODEL").family == "sd2"
    with pytest.raises(UnknownModel, match="may mean MODEL or Model"):
        catalog.find_model("model")


def test_an_unknown_name_is_answered_with_near_ones(house):
    house.add("dreamshaper.safetensors")
    house.add("realistic.safetensors", h.ldm_unet(1024))
    with pytest.raises(UnknownModel, match="near names are dreamshaper"):
        house.catalog().find_model("dreemshaper")
    with pytest.raises(UnknownModel, match="known are dreamshaper, realistic"):
        house.catalog().find_model("zzz")


@pytest.mark.parametrize("form", ["{}", "../{}", "checkpoints/../../outside/{}", "file://{}", "~/{}", "{}\0"])
def test_a_name_never_becomes_a_path(house, tmp_path, form):
    outside = h.write_weightless(tmp_path / "outside" / "secret.safetensors", SD15)
    house.add("m.safetensors")
    catalog = house.catalog()
    for target in (str(outside), "outside/secret.safetensors", "secret"):
        with pytest.raises(UnknownModel):
            catalog.find_model(form.format(target))


def test_a_setting_never_becomes_a_path_either(house, tmp_path):
    outside = h.write_weightless(tmp_path / "outside" / "secret.safetensors", SD15)
    with pytest.raises(UnknownModel):
        house.catalog(default_model=lambda: str(outside)).find_model(None)


@pytest.mark.parametrize("held", ["", "a"])
def test_the_default_is_the_flag_until_another_is_chosen_then_the_pocket(house, tmp_path, held):
    house.add("a.safetensors")
    house.add("b.safetensors", h.ldm_unet(1024))
    given = h.write_weightless(tmp_path / "elsewhere" / "given.safetensors", SD15)
    chosen = held
    catalog = house.catalog(default_model=lambda: chosen, given=PathOptions(checkpoint=str(given)))
    assert catalog.find_model(None).name == "given"
    assert catalog.find_model("").path == given
    chosen = "b"
    assert catalog.find_model(None).name == "b"
    chosen = "a"
    assert catalog.find_model(None).name == "a"
    assert house.catalog(default_model=lambda: "b").find_model(None).name == "b"
    house.pocket()
    assert house.catalog(default_model=lambda: None).find_model(None).name == "pocket"
    assert house.catalog(given=PathOptions(checkpoint="a.safetensors")).find_model(None).name == "a"


def test_choosing_what_the_settings_held_all_along_displaces_the_flag(house, tmp_path):
    house.add("a.safetensors")
    given = h.write_weightless(tmp_path / "elsewhere" / "given.safetensors", SD15)
    catalog = house.catalog(default_model=lambda: "a", given=PathOptions(checkpoint=str(given)))
    assert catalog.find_model(None).name == "given"
    catalog.displace_given()
    assert catalog.find_model(None).name == "a"


def test_without_any_model_it_says_where_to_put_one(house):
    with pytest.raises(UnknownModel, match="checkpoints") as caught:
        house.catalog().find_model(None)
    assert str(house.paths.models) not in caught.value.message


def test_its_siblings_ship_with_the_pocket_model_wherever_the_other_models_are(house):
    shipped = house.pocket()
    model_folder(shipped.with_name("pocket-turbo"))
    shipped.with_name("pocket-notes").mkdir()
    house.add("pocket-turbo.safetensors", h.ldm_unet(1024))
    catalog = house.catalog()
    assert names(catalog) == ["pocket", "pocket-turbo", "pocket-turbo.safetensors"]
    assert catalog.find_model("pocket-turbo").path == shipped.with_name("pocket-turbo")


def test_nobody_else_takes_the_name_of_the_pocket_model(house):
    house.pocket()
    house.add("pocket.safetensors", h.ldm_unet(1024))
    catalog = house.catalog()
    assert catalog.find_model("pocket").path == house.paths.pocket
    assert catalog.find_model("pocket.safetensors").family == "sd2"


def test_refresh_sees_what_came_and_went(house):
    first = house.add("a.safetensors")
    catalog = house.catalog()
    assert names(catalog) == ["a"]
    first.unlink()
    house.add("b.safetensors")
    assert names(catalog) == ["a"]
    catalog.refresh()
    assert names(catalog) == ["b"]


def test_however_often_it_is_asked_for_the_folders_are_looked_at_at_a_bounded_pace(house, monkeypatch):
    house.add("a.safetensors")
    catalog, looks, now = house.catalog(), [], [1000.0]
    look = catalog._look
    monkeypatch.setattr(catalog, "_look", lambda: (looks.append(now[0]), look())[1])
    monkeypatch.setattr("modules.sd_models.catalog.time.monotonic", lambda: now[0])
    for _ in range(50):
        catalog.refresh()
    assert looks == [1000.0]
    house.add("b.safetensors")
    catalog.refresh()
    assert names(catalog) == ["a"]
    now[0] += REST_SECONDS
    assert names(catalog) == ["a", "b"]  # the wish of before was not lost
    assert looks == [1000.0, 1000.0 + REST_SECONDS]
    now[0] += REST_SECONDS
    assert names(catalog) == ["a", "b"]
    assert len(looks) == 2  # nobody has asked since


def test_headers_are_read_once_and_again_when_a_file_changes(house, monkeypatch):
    path = house.add("a.safetensors")
    assert house.catalog().models()[0].family == "sd15"
    looked = []
    real = inspections.inspect_file
    monkeypatch.setattr(inspections, "inspect_file", lambda path, rules: looked.append(path) or real(path, rules))
    entry = house.catalog().models()[0]
    assert (entry.family, entry.details["parts"]) == ("sd15", ["denoiser", "vae", "text_encoder"])
    assert looked == []
    house.add("a.safetensors", h.ldm_unet(1024))
    assert house.catalog().models()[0].family == "sd2"
    assert looked == [path]


def test_a_damaged_memory_is_made_again(house):
    house.add("a.safetensors")
    house.catalog().models()
    for name in ("catalog.json", "hashes.json"):
        (house.paths.cache / name).write_text('{"stamp": 1, "rows": [')
    assert names(house.catalog()) == ["a"]


def test_what_a_file_lacks_is_told(house):
    house.add("flux.safetensors", h.FLUX | h.FLUX_GUIDANCE)
    house.add("whole.safetensors")
    found = {entry.name: entry for entry in house.catalog().models()}
    assert found["flux"].details["lacking"] == ["vae", "text_encoder", "text_encoder_2"]
    assert "lacking" not in found["whole"].details


def test_the_folder_beside_a_file_tells_its_native_size(house):
    house.add("m.safetensors")
    beside = house.checkpoints / "m.config"
    (beside / "unet").mkdir(parents=True)
    (beside / "unet" / "config.json").write_text('{"sample_size": 96}')
    (beside / "scheduler").mkdir()
    (beside / "scheduler" / "scheduler_config.json").write_text('{"prediction_type": "v_prediction"}')
    (entry,) = house.catalog().models()
    assert entry.native_size == 768
    assert entry.details["prediction_type"] == "v_prediction"


def snapshot(cache: Path, hub_id: str, commit="a" * 40) -> Path:
    store = cache / f"models--{hub_id.replace('/', '--')}"
    (store / "refs").mkdir(parents=True, exist_ok=True)
    (store / "refs" / "main").write_text(commit)
    return store / "snapshots" / commit


def test_hub_snapshots_are_listed_by_their_id(house, tmp_path):
    house.caches = (tmp_path / "own", tmp_path / "shared")
    model_folder(snapshot(house.caches[0], "owner/model"))
    model_folder(snapshot(house.caches[1], "owner/model"))
    model_folder(snapshot(house.caches[1], "owner/other"), 1024)
    h.write_weightless(snapshot(house.caches[1], "owner/file") / "m.safetensors", SD15)
    h.write_weightless(snapshot(house.caches[1], "lm/text") / "model.safetensors", {"lm_head.weight": (4, 4)})
    catalog = house.catalog()
    assert names(catalog) == ["owner/file", "owner/model", "owner/other"]
    assert catalog.find_model("owner/model").layout == "hub"
    assert catalog.find_model("owner/model").path.is_relative_to(house.caches[0])
    assert catalog.find_model("OWNER/other").family == "sd2"


def test_links_are_followed_and_circles_are_not(house, tmp_path):
    h.write_weightless(tmp_path / "far" / "linked.safetensors", SD15)
    (house.checkpoints / "far").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "circle").symlink_to(house.checkpoints)
    assert names(house.catalog()) == ["linked"]


def test_vaes_are_listed_with_what_is_wrong(house):
    good = {"decoder.conv_in.weight": (8, 4, 3, 3), "decoder.conv_out.weight": (3, 8, 3, 3)}
    house.add("good.safetensors", good, folder="vae")
    house.add("a1111.safetensors", good, folder="VAE")
    house.add("not.safetensors", {"lora": (2,)}, folder="vae")
    (house.paths.models / "vae" / "old.vae.pt").write_bytes(b"PK\x03\x04")
    found = {entry.name: entry.problem for entry in house.catalog().vaes()}
    assert found["good"] is None
    assert found["a1111"] is None
    assert "is not a VAE" in found["not"]
    assert "models convert" in found["old.vae"]


def test_upscaler_files_come_behind_the_table_and_appear_on_refresh(house):
    catalog = house.catalog(upscalers=[UpscalerEntry("Lanczos", latent=False)])
    before = [entry.name for entry in catalog.upscalers()]
    write_compact(house.paths.models / "ESRGAN" / "late-x2.safetensors", 2)
    assert [entry.name for entry in catalog.upscalers()] == before
    catalog.refresh()
    found = {entry.name: entry for entry in catalog.upscalers()}
    assert before[0] == "Lanczos" == next(iter(found))
    assert found["late-x2"].scale == 2
    assert found.keys() - before == {"late-x2"}


def test_tables_are_handed_out(house):
    from modules.contracts.catalog import SamplerEntry, ScheduleEntry

    sampler, schedule, upscaler = SamplerEntry("S", (), False), ScheduleEntry("k", "K"), UpscalerEntry("U", True)
    catalog = house.catalog(samplers=[sampler], schedulers=[schedule], upscalers=[upscaler])
    assert (catalog.samplers(), catalog.schedulers(), catalog.upscalers()[0]) == ((sampler,), (schedule,), upscaler)
    assert catalog.family("sdxl").adapter == "sdxl"
    assert "sd15" in [family.id for family in catalog.families()]
    with pytest.raises(KeyError, match="known are sd15"):
        catalog.family("sd99")
