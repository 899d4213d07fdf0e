"""Reasons that reach clients name no place of this machine."""

from __future__ import annotations

import pytest

from modules.contracts.errors import reason_of


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("cannot open /home/anna/models/a.safetensors.", "cannot open a.safetensors"),
        ("no file named 'config.json' in '/srv/my models/sd 15/unet'", "no file named 'config.json' in 'unet'"),
        (r"cannot load C:\Users\anna\models\x.ckpt: bad", "cannot load x.ckpt: bad"),
        ("see ~/.cache/huggingface/hub, then (/opt/studio/lib.so)", "see hub, then (lib.so)"),
        ("of /tmp/a/b/: gone", "of b: gone"),
        ("failed:/var/lib/thing", "failed:thing"),
        ("read https://example.org/a/b/c first", "read https://example.org/a/b/c first"),
        ("hub/model-a at 1/2 of 3 / 4", "hub/model-a at 1/2 of 3 / 4"),
        ("shape [2, 3] instead of (4/8, 5)", "shape [2, 3] instead of (4/8, 5)"),
    ],
)
def test_paths_are_told_by_their_last_name(said, told):
    assert reason_of(RuntimeError(said)) == told


def test_of_a_system_error_the_file_is_left_out():
    assert reason_of(FileNotFoundError(2, "No such file or directory", "/secret/place")) == "No such file or directory"
