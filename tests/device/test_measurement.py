"""The precision test: what it concludes, and that it stops when a type is hopeless."""

from __future__ import annotations

import json
import math

import pytest

from modules.device.measurement import DTYPES, DtypeTiming, TorchWorkload, measure_dtypes, recall, remember


class FakeWorkload:
    """Takes the given seconds on a clock of its own and is wrong by the given amount."""

    def __init__(self, seconds, errors=None):
        self.now = 0.0
        self.seconds, self.errors = seconds, errors or {}
        self.runs = dict.fromkeys(DTYPES, 0)

    def __call__(self, dtype):
        self.runs[dtype] += 1
        self.now += self.seconds[dtype]
        error = self.errors.get(dtype, 0.0)
        if isinstance(error, Exception):
            raise error
        return error

    def clock(self):
        return self.now


def measure(work):
    return measure_dtypes("cpu", lambda: None, large=False, workload=work, clock=work.clock)


def test_speed_is_relative_to_fp32():
    result = measure(FakeWorkload({"float32": 0.02, "bfloat16": 0.01, "float16": 0.08}))
    assert result["bfloat16"].speed == pytest.approx(2.0)
    assert result["float16"].speed == pytest.approx(0.25)
    assert all(timing.works for timing in result.values())


def test_a_type_a_hundred_times_slower_is_tried_twice_and_no_more():
    work = FakeWorkload({"float32": 0.01, "bfloat16": 0.01, "float16": 1.0})
    result = measure(work)
    assert not result["float16"].works
    assert result["float16"].problem == "100 times slower than fp32"
    assert work.runs["float16"] == 2
    assert work.runs["bfloat16"] > 2


def test_a_type_with_wrong_or_infinite_values_does_not_work():
    work = FakeWorkload(dict.fromkeys(DTYPES, 0.01), {"bfloat16": 0.5, "float16": math.nan})
    result = measure(work)
    assert result["bfloat16"] == DtypeTiming(False, None, "is wrong by 0.5 of the largest value")
    assert result["float16"].problem == "gives values that are not finite"


def test_a_type_the_backend_refuses_does_not_work():
    work = FakeWorkload(dict.fromkeys(DTYPES, 0.01), {"float16": RuntimeError("no kernel for Half\nmore")})
    assert measure(work)["float16"] == DtypeTiming(False, None, "no kernel for Half")


def test_a_device_that_cannot_even_do_fp32_raises():
    work = FakeWorkload(dict.fromkeys(DTYPES, 0.01), {"float32": RuntimeError("driver is dead")})
    with pytest.raises(RuntimeError, match="driver is dead"):
        measure(work)


def test_the_real_workload_is_exact_in_fp32_and_close_in_bf16():
    work = TorchWorkload("cpu", lambda: None, large=False)
    assert work("float32") < 1e-5
    assert 0 < work("bfloat16") < 5e-2


def test_a_measurement_is_remembered_under_its_key(tmp_path):
    timings = {"float32": DtypeTiming(True, 1.0), "float16": DtypeTiming(False, 0.01, "100 times slower than fp32")}
    remember(tmp_path, "one", timings)
    remember(tmp_path, "two", {"float32": DtypeTiming(True, 1.0)})
    assert recall(tmp_path, "one") == timings
    assert recall(tmp_path, "two") == {"float32": DtypeTiming(True, 1.0)}
    assert recall(tmp_path, "three") is None
    assert recall(None, "one") is None


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 0, "devices": {"one": {}}}', '{"format": 1, "devices": 3}'])
def test_a_damaged_file_counts_as_none_and_is_replaced(tmp_path, text):
    (tmp_path / "device.json").write_text(text)
    assert recall(tmp_path, "one") is None
    remember(tmp_path, "one", {"float32": DtypeTiming(True, 1.0)})
    assert json.loads((tmp_path / "device.json").read_text())["devices"]["one"]
    assert recall(tmp_path, "one") == {"float32": DtypeTiming(True, 1.0)}


def test_an_entry_of_another_shape_counts_as_none(tmp_path):
    (tmp_path / "device.json").write_text('{"format": 1, "devices": {"one": {"float32": {"colour": "red"}}}}')
    assert recall(tmp_path, "one") is None
