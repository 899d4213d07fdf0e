"""Downloads from a hub on loopback: planned, resumed, checked, and refused where they should be."""

from __future__ import annotations

import json
import threading

import pytest

from modules.contracts.errors import BrokenModel, InvalidRequest, JobCancelled, StudioError, UnknownModel
from modules.sd_models.hub import Hub
from modules.sd_models.hub_files import HubFile, choose
from tests.factories.fake_hub import COMMIT, FakeHub, serving

BIG = bytes(range(256)) * 4000
FILES = {
    "model_index.json": json.dumps({"unet": ["diffusers", "UNet2DConditionModel"]}).encode(),
    "unet/config.json": b"{}",
    "unet/diffusion_pytorch_model.safetensors": BIG + b"full",
    "unet/diffusion_pytorch_model.fp16.safetensors": BIG,
    "unet/diffusion_pytorch_model.bin": b"pickle",
    "vae/config.json": b"{ }",
    "vae/diffusion_pytorch_model.safetensors": b"vae weights",
    "tokenizer/vocab.json": b"{  }",
    "tokenizer/merges.txt": b"a b",
    "safety_checker/model.safetensors": b"not wanted",
    "v1.ckpt": b"pickle",
    "v1.safetensors": b"everything again",
    "README.md": b"# words",
}
UNET = "unet/diffusion_pytorch_model.fp16.safetensors"
CHOSEN = {
    "model_index.json",
    "unet/config.json",
    UNET,
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    "tokenizer/vocab.json",
    "tokenizer/merges.txt",
}


@pytest.fixture
def server():
    """A hub that holds FILES."""
    with serving(FakeHub(dict(FILES))) as hub:
        yield hub


@pytest.fixture
def hub(server, tmp_path):
    """This installation's side of it; waits between attempts are not waited."""
    return Hub(tmp_path / "hub", endpoint=server.endpoint, pause=lambda seconds: None)


def test_the_plan_says_what_and_how_much_and_writes_nothing(hub, tmp_path):
    plan = hub.plan_download("owner/model")
    assert {file.name for file in plan.files} == CHOSEN
    assert plan.files[-1].name == "model_index.json"
    assert plan.bytes == plan.missing == sum(len(FILES[name]) for name in CHOSEN)
    assert plan.commit == COMMIT
    assert not (tmp_path / "hub").exists()


def test_a_model_is_fetched_whole(hub, tmp_path):
    events = []
    plan = hub.plan_download("owner/model")
    folder = hub.download(plan, progress=events.append)
    assert folder == tmp_path / "hub" / "models--owner--model" / "snapshots" / COMMIT
    fetched = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert fetched == {name: FILES[name] for name in CHOSEN}
    assert (folder.parents[1] / "refs" / "main").read_text() == COMMIT
    figures = [event.done for event in events]
    assert figures == sorted(figures)
    assert figures[-1] == events[-1].total == plan.bytes


def test_the_library_finds_what_was_fetched(hub, tmp_path):
    from huggingface_hub import try_to_load_from_cache

    folder = hub.download(hub.plan_download("owner/model"))
    found = try_to_load_from_cache("owner/model", UNET, cache_dir=tmp_path / "hub")
    assert found == str(folder / UNET)


def test_a_second_download_fetches_nothing(hub, server):
    hub.download(hub.plan_download("owner/model"))
    server.requests.clear()
    plan = hub.plan_download("owner/model")
    assert plan.missing == 0
    hub.download(plan)
    assert server.requests == []


def test_a_broken_connection_is_taken_up_where_it_broke(hub, server):
    server.breaks[UNET] = [100_000, 300_000]
    folder = hub.download(hub.plan_download("owner/model"))
    assert (folder / UNET).read_bytes() == BIG
    assert [asked for name, asked in server.requests if name == UNET] == [None, "bytes=100000-", "bytes=400000-"]


def test_a_later_process_goes_on_too(hub, server, tmp_path):
    server.breaks[UNET] = [100_000] + [0] * 20
    with pytest.raises(StudioError, match="100000 of 1024000 bytes are here"):
        hub.download(hub.plan_download("owner/model"))
    server.breaks.clear()
    server.requests.clear()
    later = Hub(tmp_path / "hub", endpoint=server.endpoint)
    plan = later.plan_download("owner/model")
    assert plan.missing <= plan.bytes - 100_000
    folder = later.download(plan)
    assert (folder / UNET).read_bytes() == BIG
    assert (UNET, "bytes=100000-") in server.requests


def test_a_server_without_ranges_sends_it_all_again(hub, server):
    server.ignores_ranges = True
    server.breaks[UNET] = [100_000]
    assert (hub.download(hub.plan_download("owner/model")) / UNET).read_bytes() == BIG


@pytest.mark.parametrize("name", [UNET, "unet/config.json"])
def test_a_wrong_checksum_is_refused_and_nothing_is_kept(hub, server, tmp_path, name):
    server.damaged.add(name)
    with pytest.raises(BrokenModel, match=r"arrived damaged.*removed"):
        hub.download(hub.plan_download("owner/model"))
    left = [path.read_bytes() for path in (tmp_path / "hub").rglob("*") if path.is_file()]
    assert b"?" * len(FILES[name]) not in left
    assert not list((tmp_path / "hub").rglob("model_index.json"))
    server.damaged.clear()
    assert (hub.download(hub.plan_download("owner/model")) / name).read_bytes() == FILES[name]


def test_damage_in_the_part_that_was_here_is_noticed(hub, server, tmp_path):
    server.breaks[UNET] = [100_000] + [0] * 20
    with pytest.raises(StudioError):
        hub.download(hub.plan_download("owner/model"))
    server.breaks.clear()
    (partial,) = (tmp_path / "hub").rglob("*.incomplete")
    partial.write_bytes(b"!" * 100_000)
    with pytest.raises(BrokenModel, match="arrived damaged"):
        hub.download(hub.plan_download("owner/model"))
    assert not list((tmp_path / "hub").rglob("*.incomplete"))


def test_it_can_be_stopped_and_goes_on_later(hub, server, tmp_path):
    stop = threading.Event()

    def listen(event):
        if event.done > 200_000:
            stop.set()

    with pytest.raises(JobCancelled):
        hub.download(hub.plan_download("owner/model"), progress=listen, cancelled=stop)
    assert sum(path.stat().st_size for path in (tmp_path / "hub").rglob("*.incomplete")) > 0
    assert (hub.download(hub.plan_download("owner/model")) / UNET).read_bytes() == BIG


def test_a_token_is_sent_and_a_missing_one_is_explained(server, tmp_path):
    server.token = "secret"
    with pytest.raises(UnknownModel, match="give a token"):
        Hub(tmp_path / "hub", endpoint=server.endpoint).plan_download("owner/model")
    hub = Hub(tmp_path / "hub", endpoint=server.endpoint, token="secret")
    assert (hub.download(hub.plan_download("owner/model")) / UNET).is_file()
    assert not any(b"secret" in path.read_bytes() for path in (tmp_path / "hub").rglob("*") if path.is_file())


def test_what_the_hub_does_not_have_is_unknown(hub):
    with pytest.raises(UnknownModel, match="no model owner/other"):
        hub.plan_download("owner/other")
    with pytest.raises(UnknownModel, match="no revision 'v9'"):
        hub.plan_download("owner/model", "v9")


def test_a_hub_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StudioError, match="cannot be reached"):
        Hub(tmp_path, endpoint="http://127.0.0.1:9").plan_download("owner/model")


@pytest.mark.parametrize(
    "hub_id", ["model", "../x", "owner/../x", "/etc/passwd", "a/b/c", "owner/model\n", "o--w/n", ""]
)
def test_an_id_that_could_be_a_path_is_refused(hub, hub_id):
    with pytest.raises(InvalidRequest, match="owner/name"):
        hub.plan_download(hub_id)


@pytest.mark.parametrize("revision", ["../main", "/main", "a b", "-x"])
def test_a_revision_that_could_be_a_path_is_refused(hub, revision):
    with pytest.raises(InvalidRequest, match="revision"):
        hub.plan_download("owner/model", revision)


@pytest.mark.parametrize("name", ["../evil.safetensors", "/etc/evil.safetensors", "a\\..\\evil.safetensors", "C:x"])
def test_a_server_cannot_name_files_outside(hub, server, name):
    server.files[name] = b"x"
    with pytest.raises(BrokenModel, match="no safe path"):
        hub.plan_download("owner/model")


def test_offline_nothing_is_asked_and_the_missing_file_is_named(server, tmp_path):
    offline = Hub(tmp_path / "hub", endpoint=server.endpoint, offline=True)
    with pytest.raises(UnknownModel, match=r"model_index.json is missing; put .* into models/checkpoints/model"):
        offline.plan_download("owner/model")
    online = Hub(tmp_path / "hub", endpoint=server.endpoint)
    folder = online.download(online.plan_download("owner/model"))
    server.requests.clear()
    (folder / UNET).unlink()
    with pytest.raises(UnknownModel, match=rf"unet holds no weights.*put it into {folder}"):
        offline.plan_download("owner/model")
    assert server.requests == []


def files(*names):
    return [HubFile(name, 10, "0" * 64) for name in names]


def chosen(*names, **options):
    return {file.name for file in choose(files(*names), **options)}


def test_full_precision_on_demand():
    names = ("model_index.json", "unet/m.safetensors", "unet/m.fp16.safetensors", "unet/m.non_ema.safetensors")
    assert chosen(*names) == {"model_index.json", "unet/m.fp16.safetensors"}
    assert chosen(*names, full_precision=True) == {"model_index.json", "unet/m.safetensors"}


def test_shards_come_with_their_index():
    full = ("t/m-00001-of-00002.safetensors", "t/m-00002-of-00002.safetensors", "t/m.safetensors.index.json")
    half = ("t/m.fp16-00001-of-00001.safetensors", "t/m.safetensors.index.fp16.json")
    assert chosen("model_index.json", *full, *half) == {"model_index.json", *half}
    assert chosen("model_index.json", *full, *half, full_precision=True) == {"model_index.json", *full}


def test_a_repository_of_pickles_is_refused():
    with pytest.raises(BrokenModel, match="only pickled"):
        choose(files("model_index.json", "unet/diffusion_pytorch_model.bin"))
    with pytest.raises(BrokenModel, match="neither"):
        choose(files("model.ckpt", "README.md"))


def test_single_files_are_chosen_when_that_is_clear(hub, server):
    assert chosen("m.safetensors", "m.ckpt", "README.md") == {"m.safetensors"}
    with pytest.raises(InvalidRequest, match=r"choose .* a.safetensors, b.safetensors"):
        choose(files("a.safetensors", "b.safetensors"))
    assert chosen("a.safetensors", "b.safetensors", allow=["b*"]) == {"b.safetensors"}
    with pytest.raises(InvalidRequest, match="matches"):
        choose(files("a.ckpt"), allow=["*.ckpt"])
    assert chosen("a.ckpt", "b.ckpt", allow=["a.ckpt"]) == {"a.ckpt"}  # somebody who names it wants it
    server.files = {"m.safetensors": b"weights"}
    assert hub.download(hub.plan_download("owner/model")).read_bytes() == b"weights"


def test_a_network_comes_with_what_lies_beside_it_and_its_config_last():
    beside = ("config.json", "preprocessor_config.json", "vocab.txt")
    found = choose(
        files("config.json", "model.safetensors", *beside[1:], "pytorch_model.bin", "README.md", "onnx/a.json")
    )
    assert {file.name for file in found} == {"model.safetensors", *beside}
    assert found[-1].name == "config.json"  # without it a folder is nothing, so half a download is never taken for it
    shards = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json")
    assert chosen("config.json", *shards, "extra.safetensors") == {"config.json", *shards}
    control = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors")
    assert chosen("config.json", *control) == {"config.json", control[1]}
    assert chosen("config.json", *control, full_precision=True) == {"config.json", control[0]}
    assert chosen("config.json", "special.safetensors") == {"special.safetensors"}


def test_a_network_that_was_fetched_is_its_folder(hub, server):
    server.files = {"config.json": b"{}", "model.safetensors": b"weights"}
    folder = hub.download(hub.plan_download("owner/model"))
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
