"""Which networks there are, by which names they are found, and what becomes of files that are none."""

from __future__ import annotations

import hashlib
import json
import time

import pytest
import torch
from safetensors.torch import save_file

from modules.contracts.errors import BrokenModel, InvalidRequest, UnknownModel
from modules.contracts.networks import Curve, NetworkTag
from modules.networks import catalog as rooms
from modules.networks.catalog import NetworkCatalog
from modules.networks.uses import use_of, uses_of
from modules.support.paths import Paths


def pair(name="lora_unet_x"):
    return {f"{name}.lora_down.weight": torch.ones(2, 3), f"{name}.lora_up.weight": torch.ones(3, 2)}


@pytest.fixture
def folder(tmp_path):
    """Folders with two networks, an embedding and files that cannot be used."""
    lora, words = tmp_path / "models" / "lora", tmp_path / "models" / "embeddings"
    (lora / "sub").mkdir(parents=True)
    words.mkdir()
    save_file(pair(), str(lora / "one.safetensors"), metadata={"ss_output_name": "First"})
    save_file(pair(), str(lora / "sub" / "one.safetensors"))
    save_file({"weight": torch.ones(2)}, str(lora / "other.safetensors"))
    (lora / "pickled.pt").write_bytes(b"\x80\x02whatever" + b" " * 64)
    (lora / "short.safetensors").write_bytes((lora / "one.safetensors").read_bytes()[:-4])
    (lora / "adapter").mkdir()
    save_file(pair("base_model.model.x"), str(lora / "adapter" / "adapter_model.safetensors"))
    (lora / "adapter" / "adapter_config.json").write_text(json.dumps({"r": 2, "lora_alpha": 4}))
    save_file({"emb_params": torch.ones(2, 5)}, str(words / "word.safetensors"))
    return tmp_path


@pytest.fixture
def networks(folder):
    """Their catalogue, with no network that ships."""
    return NetworkCatalog(Paths(folder / "data", folder / "models", folder / "nowhere"))


def test_all_are_listed_and_what_is_broken_says_why(networks):
    found = {entry.name: entry.problem for entry in networks.list("lora")}
    assert {name for name, problem in found.items() if problem is None} == {"one", "sub/one", "adapter"}
    assert "pickled" in found["pickled"]
    assert "convert" in found["pickled"]
    assert "missing" in found["short"]
    assert "no network" in found["other"]
    (word,) = networks.list("embedding")
    assert (word.name, word.facts.size, word.facts.width, word.problem) == ("word", 2, 5, None)


@pytest.mark.parametrize("name", ["one", "First", "ONE", "first", "one.safetensors", " one "])
def test_a_network_is_found_by_name_and_alias(networks, name):
    assert networks.find("lora", name).path.parent.name == "lora"


@pytest.mark.parametrize("name", ["../lora/one", "/etc/passwd", "", "lora/one", "two"])
def test_a_name_is_never_a_path(networks, name):
    with pytest.raises(UnknownModel, match="no network"):
        networks.find("lora", name)


def test_near_names_are_said_and_broken_ones_refused(networks):
    with pytest.raises(UnknownModel, match="near names are one"):
        networks.find("lora", "onee")
    with pytest.raises(BrokenModel, match="pickled"):
        networks.find("lora", "pickled")


def test_hashes_are_of_the_file_and_of_what_follows_its_header(networks):
    entry = networks.wait(networks.find("lora", "one"), 20)
    content = entry.path.read_bytes()
    data = content[8 + int.from_bytes(content[:8], "little") :]
    assert entry.sha256 == hashlib.sha256(content).hexdigest()
    assert entry.data_hash == hashlib.sha256(data).hexdigest()
    assert entry.short_hash == entry.data_hash[:12]
    assert networks.find("lora", entry.sha256[:10]).name == "one"
    word = networks.wait(networks.find("embedding", "word"), 20)
    assert word.short_hash == word.sha256[:12]


def test_headers_are_read_once_for_a_file_as_it_is(networks, folder, monkeypatch):
    networks.list("lora")
    read = []
    plain = rooms.read_header
    monkeypatch.setattr(rooms, "read_header", lambda path: read.append(path.name) or plain(path))
    again = NetworkCatalog(Paths(folder / "data", folder / "models", folder / "nowhere"))
    assert [entry.name for entry in again.list("lora")] == [entry.name for entry in networks.list("lora")]
    assert read == []
    save_file(pair("lora_unet_y"), str(folder / "models" / "lora" / "new.safetensors"))
    monkeypatch.setattr(again, "_rested", time.monotonic())
    again.refresh()
    assert again.find("lora", "new").name == "new"
    assert read == ["new.safetensors"]


def use(networks, *positional, **named):
    return use_of(NetworkTag("lora", "one", positional, tuple(named.items())), networks)


def test_weights_of_a_tag_are_a1111s(networks):
    assert (use(networks).text, use(networks).denoiser) == (1.0, Curve(((0.0, 1.0),)))
    assert (use(networks, "0.5").text, use(networks, "0.5").denoiser.at(0, 10)) == (0.5, 0.5)
    assert (use(networks, "0.5", "0.2").text, use(networks, "0.5", "0.2").denoiser.at(0, 10)) == (0.5, 0.2)
    assert use(networks, te="0.3").denoiser.at(0, 10) == 0.3
    assert use(networks, "1", unet="0").denoiser.at(0, 10) == 0.0
    assert use(networks, "1", "1", "8").rank == 8
    assert use(networks, lbw="1,0.5").blocks == (1.0, 0.5)


def test_a_course_over_the_steps(networks):
    course = use(networks, "0@0,1@0.5").denoiser
    assert [course.at(step, 10) for step in (0, 2.5, 5, 9)] == [0.0, 0.5, 1.0, 1.0]
    steps = use(networks, "1", start="2", stop="0.5").denoiser
    assert [steps.at(step, 10) for step in (0, 2, 4, 5)] == [0.0, 1.0, 1.0, 0.0]
    assert [use(networks, step="3-6").denoiser.at(step, 10) for step in (2, 3, 6)] == [0.0, 1.0, 0.0]
    assert use(networks, "1@2;0@4").denoiser.at(3, 10) == 0.5


@pytest.mark.parametrize("argument", ["x", "nan", "inf", "1@", "1@-1"])
def test_weights_that_are_no_numbers_are_refused(networks, argument):
    with pytest.raises(InvalidRequest, match="<lora:one>"):
        use(networks, argument)


def test_tags_of_other_kinds_are_noted(networks):
    notes = []
    tags = [NetworkTag("lora", "one"), NetworkTag("segment", "face"), NetworkTag("lyco", "First")]
    assert [tag.kind for tag in uses_of(tags, networks, "error", notes)] == ["lora", "lyco"]
    assert len(notes) == 1
    assert "<segment:face>" in notes[0]
