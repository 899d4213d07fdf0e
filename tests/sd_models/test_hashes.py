"""Hashes: right, kept, computed once, and never in the way."""

from __future__ import annotations

import hashlib
import json
import threading

from modules.sd_models.hashes import HashStore, hash_model
from modules.sd_models.scan import signature


def test_the_hash_of_a_file_is_its_sha256(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"weights" * 100_000)
    assert hash_model(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_hash_of_a_folder_is_made_of_its_weights_in_order(tmp_path):
    for name, content in {"vae/b.safetensors": b"2", "unet/a.safetensors": b"1", "unet/config.json": b"{}"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    first = hash_model(tmp_path)
    lines = [
        f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        for name, content in [("unet/a.safetensors", b"1"), ("vae/b.safetensors", b"2")]
    ]
    assert first == hashlib.sha256("".join(lines).encode()).hexdigest()
    (tmp_path / "unet/config.json").write_bytes(b'{"other": 1}')
    assert hash_model(tmp_path) == first
    (tmp_path / "unet/a.safetensors").write_bytes(b"changed")
    assert hash_model(tmp_path) != first


def test_what_lies_beside_the_parts_of_a_folder_is_another_thing(tmp_path):
    model = tmp_path / "model"
    (model / "unet").mkdir(parents=True)
    (model / "model_index.json").write_text('{"_class_name": "X", "unet": ["diffusers", "UNet2DConditionModel"]}')
    (model / "unet" / "weights.safetensors").write_bytes(b"weights")
    first = signature(model)
    (model / "lora").mkdir()
    (model / "lora" / "style.safetensors").write_bytes(b"style")
    assert signature(model) == first
    (model / "unet" / "weights.safetensors").write_bytes(b"other weights")
    assert signature(model) != first


def test_a_signature_changes_with_size_time_and_place(tmp_path):
    import os

    path, twin = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"123")
    twin.write_bytes(b"123")
    first, size = signature(path)
    assert size == 3
    assert signature(path)[0] == first
    assert signature(twin)[0] != first
    os.utime(path, (1, 1))
    assert signature(path)[0] != first


def test_hashes_are_computed_in_the_background_and_kept(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"weights")
    go, threads = threading.Event(), []

    def slow(path):
        threads.append(threading.current_thread().name)
        go.wait(60)
        return hash_model(path)

    store = HashStore(tmp_path / "cache" / "hashes.json", slow)
    for _ in range(3):
        store.request("sign", path)
    assert store.known("sign") is None
    go.set()
    assert store.wait("sign", path, 60) == hashlib.sha256(b"weights").hexdigest()
    assert threads == ["model-hashes"]
    again = HashStore(tmp_path / "cache" / "hashes.json")
    assert again.known("sign") == store.known("sign")
    assert json.loads((tmp_path / "cache" / "hashes.json").read_text()) == {"sign": store.known("sign")}


def test_what_is_wanted_now_comes_first(tmp_path):
    order, go, begun = [], threading.Event(), threading.Event()

    def record(path):
        begun.set()
        go.wait(60)
        order.append(path.name)
        return "0" * 64

    store = HashStore(tmp_path / "hashes.json", record)
    for name in ("a", "b", "c"):
        store.request(name, tmp_path / name)
    assert begun.wait(60)
    store.request("c", tmp_path / "c", first=True)
    go.set()
    assert store.wait("c", tmp_path / "c", 60)
    assert store.wait("b", tmp_path / "b", 60)
    assert order == ["a", "c", "b"]


def test_a_file_that_cannot_be_read_has_no_hash(tmp_path):
    store = HashStore(tmp_path / "hashes.json")
    assert store.wait("sign", tmp_path / "gone", 60) is None
    assert store.wait("sign", tmp_path / "gone", 60) is None


def test_requests_can_be_given_up(tmp_path):
    go, begun, done = threading.Event(), threading.Event(), []

    def compute(path):
        begun.set()
        go.wait(60)
        done.append(path.name)
        return "0" * 64

    store = HashStore(tmp_path / "hashes.json", compute)
    store.request("a", tmp_path / "a")
    store.request("b", tmp_path / "b")
    assert begun.wait(60)
    store.forget_requests()
    go.set()
    assert store.wait("a", tmp_path / "a", 60)
    assert done == ["a"]
