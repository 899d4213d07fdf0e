"""Lists of networks and embeddings, in A1111's words and in ours."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from modules.networks.catalog import NetworkCatalog
from modules.support.paths import Paths


@pytest.fixture
def listed(rig, tmp_path):
    """A client of a studio with a network, an embedding, and a file that is neither."""
    lora, words = tmp_path / "models" / "lora", tmp_path / "models" / "embeddings"
    lora.mkdir(parents=True)
    words.mkdir()
    pair = {"lora_unet_x.lora_down.weight": torch.ones(2, 3), "lora_unet_x.lora_up.weight": torch.ones(3, 2)}
    metadata = {"ss_output_name": "First", "ss_tag_frequency": '{"1_a": {"cat": 4, "dog": 2}}'}
    save_file(pair, str(lora / "one.safetensors"), metadata=metadata)
    (lora / "old.pt").write_bytes(b"\x80\x02" + b" " * 70)
    save_file({"emb_params": torch.ones(2, 768)}, str(words / "word.safetensors"))
    networks = NetworkCatalog(Paths(tmp_path / "data", tmp_path / "models", tmp_path / "nowhere"))
    rig.studio = replace(rig.studio, networks=networks)
    return rig.client()


def test_the_lists_of_a1111(listed, tmp_path):
    (row,) = listed.get("/sdapi/v1/loras").json()
    assert (row["name"], row["alias"], row["path"]) == ("one", "First", "one.safetensors")
    assert row["metadata"]["ss_output_name"] == "First"
    told = listed.get("/sdapi/v1/embeddings").json()
    assert told["skipped"] == {}
    assert told["loaded"]["word"] == {
        "step": None, "sd_checkpoint": None, "sd_checkpoint_name": None, "shape": 768, "vectors": 2,
    }  # fmt: skip
    assert str(tmp_path) not in listed.get("/sdapi/v1/loras").text


def test_networks_are_listed_with_filters(listed, tmp_path):
    told = listed.get("/api/v1/networks").json()
    assert [(row["name"], row["usable"]) for row in told["networks"]] == [("one", True), ("old", False), ("word", True)]
    one, old, word = told["networks"]
    assert one["methods"] == ["LoRA"]
    assert one["words"] == [{"word": "cat", "count": 4}, {"word": "dog", "count": 2}]
    assert "pickled" in old["problem"]
    assert (word["kind"], word["base"]) == ("embedding", "sd15")
    assert str(tmp_path) not in listed.get("/api/v1/networks").text

    def names(**wanted):
        return [row["name"] for row in listed.get("/api/v1/networks", params=wanted).json()["networks"]]

    assert names(text="DOG") == ["one"]
    assert names(kind="embedding") == ["word"]
    assert names(usable="false") == ["old"]
    assert names(base="sd15") == ["word"]
    assert names(limit=1, after=1) == ["old"]


def test_one_network_has_its_metadata(listed):
    told = listed.get("/api/v1/networks/lora/one").json()
    assert told["metadata"]["ss_output_name"] == "First"
    assert listed.get("/api/v1/networks/embedding/one").status_code == 404
    assert listed.get("/api/v1/networks/checkpoint/one").status_code == 422
    assert listed.post("/api/v1/networks/refresh").json()["total"] == 3
