"""Pickled checkpoints: their weights come out, and nothing that they bring is ever run."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import types

import pytest
import torch

from modules.contracts.errors import BrokenModel, InvalidRequest
from modules.sd_models import unpickling
from modules.sd_models.convert import convert
from modules.support.paths import ROOT


class Evil:
    """What it would run if it were unpickled by an ordinary reader."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def lightning(monkeypatch):
    """A class of a training library that is not installed where the checkpoint is read."""
    name = "pytorch_lightning.callbacks.model_checkpoint"
    module = types.ModuleType(name)
    module.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": name, "__qualname__": "ModelCheckpoint"})
    for index, part in enumerate(name.split(".")):
        path = ".".join([*name.split(".")[:index], part])
        monkeypatch.setitem(sys.modules, path, module if path == name else types.ModuleType(path))
    return module.ModelCheckpoint


def test_weights_come_out_in_a_process_of_their_own(tmp_path, lightning):
    from safetensors.torch import load_file

    shared = torch.arange(12.0).reshape(3, 4)
    state = {"a": shared, "same": shared, "turned": shared.T, "steps": 3, "half": shared.half()}
    torch.save({"state_dict": state, "epoch": 4, "callbacks": {lightning: {"best": 1}}}, tmp_path / "m.ckpt")
    done = convert(tmp_path / "m.ckpt")
    assert done.target == tmp_path / "m.safetensors"
    weights = load_file(done.target)
    assert set(weights) == {"a", "same", "turned", "half"}
    assert torch.equal(weights["turned"], shared.T)
    assert torch.equal(weights["same"], shared)
    assert weights["half"].dtype == torch.float16
    assert (done.tensors, set(done.dropped)) == (4, {"epoch", "callbacks", "steps"})
    assert done.replaced == ("pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",)
    with pytest.raises(InvalidRequest, match="--force"):
        convert(tmp_path / "m.ckpt")


def test_a_malicious_pickle_runs_nothing(tmp_path):
    mark = tmp_path / "mark"
    torch.save({"state_dict": {"a": torch.ones(2)}, "extra": Evil(mark)}, tmp_path / "evil.ckpt")
    with pytest.raises(BrokenModel, match=r"wants to use \w+\.system"):
        convert(tmp_path / "evil.ckpt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.ckpt"]


@pytest.mark.parametrize("kind", ["zip", "legacy", "bare"])
def test_every_format_of_a_malicious_pickle_is_refused(tmp_path, kind):
    mark, path = tmp_path / "mark", tmp_path / "evil.pt"
    content = {"a": torch.ones(2), "extra": Evil(mark)}
    if kind == "bare":
        path.write_bytes(pickle.dumps({"extra": Evil(mark)}, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises((unpickling.Refused, pickle.UnpicklingError)) as caught:
        unpickling.read(path, torch)
    assert not mark.exists()
    if kind != "zip":
        assert "wants to use posix.system" in unpickling.reason_of(caught.value)


def test_the_answer_never_advises_to_switch_the_protection_off(tmp_path):
    path = tmp_path / "m.pt"
    path.write_bytes(pickle.dumps({"extra": Evil("x")}, protocol=2))
    with pytest.raises(pickle.UnpicklingError) as caught:
        unpickling.read(path, torch)
    assert "weights_only" not in unpickling.reason_of(caught.value)
    assert "damaged" in unpickling.reason_of(KeyError(101))


def test_the_format_before_torch_1_6_is_read(tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "m.pt", _use_new_zipfile_serialization=False)
    content, shells = unpickling.read(tmp_path / "m.pt", torch)
    assert torch.equal(content["a"], torch.ones(2))
    assert shells == []


def test_weights_are_found_where_they_stand():
    one = torch.ones(1)
    for content in ({"w": one}, {"state_dict": {"w": one}}, {"params_ema": {"w": one}, "x": 1}, {"model": {"w": one}}):
        assert list(unpickling.weights_of(content, torch)[0]) == ["w"]
    with pytest.raises(unpickling.Refused, match="list"):
        unpickling.weights_of([one], torch)


def test_the_two_lists_of_an_ip_adapter_become_one():
    one = torch.ones(1)
    both = {"image_proj": {"proj.weight": one}, "ip_adapter": {"1.to_k_ip.weight": one, "note": 3}, "epoch": 4}
    tensors, dropped = unpickling.weights_of(both, torch)
    assert set(tensors) == {"image_proj.proj.weight", "ip_adapter.1.to_k_ip.weight"}
    assert set(dropped) == {"epoch", "ip_adapter.note"}


FORBIDDEN = {
    "os.system('true')": "os.system",
    "__import__('subprocess').run(['true'])": "subprocess",
    "os.fork()": "os.fork",
    "__import__('socket').create_connection(('127.0.0.1', 9))": "socket",
    "open(other, 'w')": "write",
    "os.open(other, os.O_CREAT | os.O_WRONLY)": "write",
    "os.remove(target)": "os.remove",
    "os.rename(target, other)": "os.rename",
    "__import__('ctypes').CDLL(None)": "ctypes",
}


def test_the_process_can_do_nothing_but_write_its_file(tmp_path):
    """One interpreter tries them all after the door is shut; what it may do still works."""
    script = f"""
import os, sys, pathlib, ctypes, socket, subprocess
from modules.sd_models.unpickling import forbid
target, other = sys.argv[1:]
open(target, "w").close()
forbid(pathlib.Path(target))
for code in {list(FORBIDDEN)!r}:
    try:
        exec(code)
        print("done")
    except PermissionError as error:
        print(error)
open(target, "wb").write(b"allowed")
open(__file__ if "__file__" in globals() else os.__file__).read(10)
print("end")
"""
    target, other = tmp_path / "target", tmp_path / "other"
    done = subprocess.run(
        [sys.executable, "-c", script, str(target), str(other)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    answers = done.stdout.splitlines()
    for answer, word in zip(answers, FORBIDDEN.values(), strict=False):
        assert word in answer, answers
    assert answers[-1] == "end"
    assert target.read_bytes() == b"allowed"
    assert not other.exists()


def test_wrong_wishes_are_refused_before_a_process_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "run", None)
    (tmp_path / "m.safetensors").write_bytes(b"x")
    (tmp_path / "m.ckpt").write_bytes(b"x")
    for source, target, word in [
        ("gone.ckpt", None, "no file"),
        ("m.safetensors", None, "cannot be converted"),
        ("m.ckpt", "m.txt", "end in .safetensors"),
        ("m.ckpt", None, "exists already"),
    ]:
        with pytest.raises(InvalidRequest, match=word):
            convert(tmp_path / source, tmp_path / target if target else None)
