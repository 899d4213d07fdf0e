"""Reading headers: what is sound is read, and everything else is refused with the reason."""

from __future__ import annotations

import json

import pytest

from modules.contracts.errors import BrokenModel
from modules.sd_models.header import MAX_HEADER_BYTES, read_header, read_index
from tests.factories.headers import header_of, write_raw, write_weightless

SHAPES = {"a": (4, 3), "b": (2,), "empty": (0, 7), "scalar": ()}


def refusal(path):
    with pytest.raises(BrokenModel) as caught:
        read_header(path)
    return caught.value.message


def test_a_sound_file_is_read(tmp_path):
    header = read_header(write_weightless(tmp_path / "x.safetensors", SHAPES, metadata={"k": "v"}))
    assert header.shapes == SHAPES
    assert header.metadata == {"k": "v"}
    assert header.dtype == "F16"
    assert header.files == (tmp_path / "x.safetensors",)


def test_what_the_library_writes_is_read(tmp_path, tiny_sd15_file):
    from safetensors import safe_open

    header = read_header(tiny_sd15_file)
    with safe_open(tiny_sd15_file, "pt") as content:
        assert set(header.tensors) == set(content.keys())
        for name, info in header.tensors.items():
            assert list(info.shape) == content.get_slice(name).get_shape()


def test_the_most_common_type_counts_by_bytes(tmp_path):
    header = header_of({"big": (1000,)}, "F32")
    header |= {f"s{i}": {"dtype": "I64", "shape": [1], "data_offsets": [4000 + 8 * i, 4008 + 8 * i]} for i in range(9)}
    file = write_raw(tmp_path / "x.safetensors", json.dumps(header).encode(), 4072)
    assert read_header(file).dtype == "F32"


@pytest.mark.parametrize("kept", [0, 1, 7])
def test_a_file_without_room_for_its_length_is_refused(tmp_path, kept):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"\x10\0\0\0\0\0\0\0"[:kept])
    assert f"{kept} bytes" in refusal(path)


def test_a_cut_header_says_how_much_is_missing(tmp_path):
    path = write_weightless(tmp_path / "x.safetensors", SHAPES)
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    path.write_bytes(whole[: 8 + length - 5])
    assert "cut off inside its header: 5 bytes are missing" in refusal(path)


def test_cut_data_says_how_much_is_missing(tmp_path):
    path = write_weightless(tmp_path / "x.safetensors", SHAPES)
    path.write_bytes(path.read_bytes()[:-3])
    assert "cut off: 3 of 30 bytes of data are missing" in refusal(path)


def test_trailing_bytes_are_refused(tmp_path):
    path = write_weightless(tmp_path / "x.safetensors", SHAPES)
    path.write_bytes(path.read_bytes() + b"abc")
    assert "3 bytes more" in refusal(path)


def test_an_absurd_header_length_is_refused_without_reading_it(tmp_path):
    path = tmp_path / "x.safetensors"
    with path.open("wb") as stream:
        stream.write((2**62).to_bytes(8, "little"))
        stream.truncate(1 << 20)
    assert str(MAX_HEADER_BYTES) in refusal(path)


@pytest.mark.parametrize(
    ("header", "word"),
    [
        (b"not json at all", "JSON"),
        (b"[1, 2]", "list"),
        (b'{"a": 1}', "'a'"),
        (b'{"a": {"dtype": "F16", "shape": [1]}}', "'a'"),
        (b'{"a": {"dtype": "F16", "shape": [1], "data_offsets": [0]}}', "'a'"),
        (b'{"a": {"dtype": "NONE", "shape": [1], "data_offsets": [0, 2]}}', "NONE"),
        (b'{"a": {"dtype": "F16", "shape": [-1], "data_offsets": [0, 2]}}', "impossible"),
        (b'{"a": {"dtype": "F16", "shape": [1.5], "data_offsets": [0, 3]}}', "impossible"),
        (b'{"a": {"dtype": "F16", "shape": [true], "data_offsets": [0, 2]}}', "impossible"),
        (b'{"a": {"dtype": "F16", "shape": [2], "data_offsets": [0, 2]}}', "needs 4"),
        (b'{"a": {"dtype": "F16", "shape": [1], "data_offsets": [2, 0]}}', "-2 bytes"),
        (b'{"a": {"dtype": "F16", "shape": "11", "data_offsets": [0, 2]}}', "impossible"),
        (b'{"__metadata__": {"a": 1}}', "metadata"),
        (b'{"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}, "a": {}}', "twice"),
        (b"[" * 100_000, "JSON"),
        (b'{"a": \xff\xfe}', "JSON"),
    ],
)
def test_a_header_that_makes_no_sense_is_refused(tmp_path, header, word):
    assert word in refusal(write_raw(tmp_path / "x.safetensors", header, 2))


@pytest.mark.parametrize(
    ("places", "word"),
    [
        (((0, 4), (2, 6)), "overlaps"),
        (((0, 4), (5, 9)), "gap"),
        (((1, 5), (5, 9)), "gap"),
        (((0, 4), (0, 4)), "overlaps"),
    ],
)
def test_tensors_have_to_lie_side_by_side(tmp_path, places, word):
    header = {
        name: {"dtype": "F32", "shape": [1], "data_offsets": list(place)}
        for name, place in zip("ab", places, strict=True)
    }
    assert word in refusal(write_raw(tmp_path / "x.safetensors", json.dumps(header).encode(), 9))


@pytest.mark.parametrize(
    ("start", "word"),
    [
        (b"PK\x03\x04rest", "models convert"),
        (b"\x80\x02}q\x00.", "models convert"),
        (b"GGUF\x03\0\0\0", "GGUF"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"<!DOCTYPE html>", "web page"),
    ],
)
def test_well_known_other_files_are_named(tmp_path, start, word):
    path = tmp_path / "model.safetensors"
    path.write_bytes(start + b" " * 200)
    assert word in refusal(path)


def sharded(folder, places, shards):
    for name, shapes in shards.items():
        write_weightless(folder / name, shapes)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return index


def test_shards_are_read_as_one(tmp_path):
    index = sharded(
        tmp_path,
        {"a": "1.safetensors", "b": "2.safetensors"},
        {"1.safetensors": {"a": (2,)}, "2.safetensors": {"b": (3,)}},
    )
    header = read_index(index)
    assert header.shapes == {"a": (2,), "b": (3,)}
    assert [file.name for file in header.files] == ["1.safetensors", "2.safetensors"]


@pytest.mark.parametrize(
    ("places", "word"),
    [
        ({"a": "1.safetensors", "b": "gone.safetensors"}, "gone.safetensors"),
        ({"a": "1.safetensors", "z": "1.safetensors"}, "'z'"),
        ({"a": "../1.safetensors"}, "beside"),
        ({"a": "/etc/passwd"}, "beside"),
        ({"a": "C:1.safetensors"}, "beside"),
        ({"a": 3}, "no list"),
        ({}, "no list"),
    ],
)
def test_an_index_is_not_believed(tmp_path, places, word):
    index = sharded(tmp_path, places, {"1.safetensors": {"a": (2,)}})
    with pytest.raises(BrokenModel, match=word):
        read_index(index)
