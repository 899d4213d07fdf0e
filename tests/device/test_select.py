"""Which device wins, what falls back, and where the parts go."""

from __future__ import annotations

import pytest

from modules.bootstrap.options import DeviceOptions
from modules.contracts.errors import DeviceUnavailable
from modules.contracts.plan import Placement
from modules.device.cpu import CpuHandler
from modules.device.cuda import CudaHandler
from modules.device.mps import MpsHandler
from modules.device.report import hardware_report, memory_report
from modules.device.select import LARGE_MODEL, choose, placement_for
from tests.device.fakes import (
    GIB,
    LINUX_CUDA,
    FakeSpace,
    fake_mps_torch,
    fake_torch,
    machine,
    measured,
    timings,
)
from tests.device.test_cpu import fake_torch as cpu_torch

HOST = machine(torch=LINUX_CUDA, files=("/dev/nvidia0",))


def handlers(gpu=None, cpu=None, gpus=2):
    """A GPU, a Mac that is not here, and a CPU, with these measurements."""
    space = fake_torch(FakeSpace(gpus), cuda="13.2")
    return (
        CudaHandler(backend=space, host=HOST, measure=measured(gpu if gpu is not None else timings(3, 3))),
        MpsHandler(backend=fake_mps_torch(), host=HOST, measure=measured(timings(1, 1))),
        CpuHandler(backend=cpu_torch(), host=HOST, measure=measured(cpu if cpu is not None else timings(2, None))),
    )


def test_the_first_device_that_passes_wins_and_reasons_are_kept():
    choice = choose(DeviceOptions(), None, handlers())
    assert choice.handler.id == "cuda"
    assert set(choice.placements.values()) == {Placement("cuda:0", "bfloat16")}
    assert any("was chosen" in reason for reason in choice.reasons)


def test_reasons_are_logged(caplog):
    with caplog.at_level("INFO"):
        choice = choose(DeviceOptions(), None, handlers())
    assert [record.message for record in caplog.records] == list(choice.reasons)


def test_parts_that_are_not_there_yet_are_told(caplog):
    with caplog.at_level("INFO"):
        choice = choose(DeviceOptions(use_cpu=frozenset({"vae", "control", "upscale"})), None, handlers())
    told = [record.message for record in caplog.records if "it changes nothing" in record.message]
    assert [line.split(":")[0] for line in told] == ["--use-cpu control"]
    assert any("upscalers that are models go to the CPU" in reason for reason in choice.reasons)
    assert choice.placements["vae"].device == "cpu"


@pytest.mark.parametrize(
    "failure",
    [
        RuntimeError("no kernel image is available for execution on the device"),
        {"float32": timings(1, 1)["float32"].__class__(False, None, "is wrong by 0.5 of the largest value")},
    ],
)
def test_a_device_that_fails_the_test_gives_way_with_the_reason(failure):
    choice = choose(DeviceOptions(), None, handlers(gpu=failure))
    assert choice.handler.id == "cpu"
    assert any("Fake GPU 0 is there but" in reason for reason in choice.reasons)
    assert any(reason.startswith("Apple Metal: Metal is on macOS only") for reason in choice.reasons)


def test_a_named_device_is_taken_or_refused_never_replaced():
    assert choose(DeviceOptions(device_id="cuda:1"), None, handlers()).handler.torch_device() == "cuda:1"
    assert choose(DeviceOptions(device_id="CPU"), None, handlers()).handler.id == "cpu"
    with pytest.raises(DeviceUnavailable, match="cuda:0 to cuda:1"):
        choose(DeviceOptions(device_id="cuda:7"), None, handlers())
    with pytest.raises(DeviceUnavailable, match="macOS only"):
        choose(DeviceOptions(device_id="mps"), None, handlers())


def test_a_bare_number_picks_among_accelerators():
    assert choose(DeviceOptions(device_id="1"), None, handlers()).handler.torch_device() == "cuda:1"


@pytest.mark.parametrize("wish", ["tpu", "cuda:one", ":1"])
def test_an_unknown_device_is_an_error_that_lists_the_known_ones(wish):
    with pytest.raises(DeviceUnavailable, match="cuda, mps, cpu"):
        choose(DeviceOptions(device_id=wish), None, handlers())


def test_no_device_at_all_is_an_error_with_all_reasons():
    with pytest.raises(DeviceUnavailable, match="broken"):
        choose(DeviceOptions(), None, handlers(gpu=RuntimeError("broken"), cpu=RuntimeError("broken")))


def test_parts_can_be_sent_to_the_cpu():
    choice = choose(DeviceOptions(use_cpu=frozenset({"vae", "text"})), None, handlers())
    assert choice.placements == {
        "denoiser": Placement("cuda:0", "bfloat16"),
        "text_encoder": Placement("cpu", "float32"),
        "vae": Placement("cpu", "float32"),
    }


def test_everything_on_the_cpu():
    choice = choose(DeviceOptions(use_cpu=frozenset({"all"})), None, handlers())
    assert choice.handler.id == "cpu"
    assert {place.device for place in choice.placements.values()} == {"cpu"}


def test_no_half_means_fp32_everywhere():
    choice = choose(DeviceOptions(no_half=True), None, handlers())
    assert {place.dtype for place in choice.placements.values()} == {"float32"}
    assert {place.dtype for place in placement_for(choice, 50 * GIB).values()} == {"float32"}


def test_on_a_cpu_only_a_large_model_takes_the_faster_half():
    choice = choose(DeviceOptions(device_id="cpu"), None, handlers())
    assert {place.dtype for place in placement_for(choice, LARGE_MODEL - 1).values()} == {"float32"}
    assert placement_for(choice, LARGE_MODEL)["denoiser"] == Placement("cpu", "bfloat16")
    assert placement_for(choice, LARGE_MODEL)["vae"] == Placement("cpu", "float32")


def test_the_hardware_report_is_json_and_names_the_winner():
    import json

    report = json.loads(json.dumps(hardware_report(choose(DeviceOptions(), None, handlers()))))
    assert (report["id"], report["name"], report["device"]) == ("cuda", "Fake GPU 0", "cuda:0")
    assert report["memory"]["total"] == 24 * GIB
    assert report["dtypes"]["usable"] == ["float32", "bfloat16", "float16"]
    assert report["placements"]["vae"] == {"device": "cuda:0", "dtype": "bfloat16"}


def test_the_memory_report_has_the_shape_that_a1111_clients_read():
    report = memory_report(choose(DeviceOptions(), None, handlers()))
    assert set(report["ram"]) == {"free", "used", "total"}
    cuda = report["cuda"]
    assert cuda["system"] == {"free": 10 * GIB, "used": 14 * GIB, "total": 24 * GIB}
    assert cuda["active"] == {"current": 0, "peak": 0}
    assert cuda["allocated"] == {"current": 1, "peak": 1}
    assert cuda["reserved"] == {"current": 2, "peak": 2}
    assert cuda["inactive"] == {"current": 3, "peak": 3}
    assert cuda["events"] == {"retries": 4, "oom": 5}


def test_the_memory_report_of_a_cpu_has_an_error_in_place_of_figures():
    report = memory_report(choose(DeviceOptions(device_id="cpu"), None, handlers()))
    assert set(report["cuda"]) == {"error"}


def test_the_memory_report_of_a_device_without_counters_still_has_the_shape():
    mac = MpsHandler(backend=fake_mps_torch(), host=machine("Darwin", "arm64"), measure=measured(timings(1, 1)))
    report = memory_report(choose(DeviceOptions(), None, (mac, *handlers()[2:])))
    assert set(report["cuda"]) == {"system", "active", "allocated", "reserved", "inactive", "events"}
    assert report["cuda"]["allocated"]["current"] == 4 * GIB


def test_the_real_machine_has_a_device(tmp_path):
    choice = choose(DeviceOptions(device_id="cpu"), tmp_path)
    assert "float32" in choice.report.usable
    assert (tmp_path / "device.json").is_file()
