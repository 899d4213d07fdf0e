"""What the probes know without importing torch."""

from __future__ import annotations

import subprocess
import sys

from modules.device.host import find_torch, look_around, parse_build
from modules.support.paths import ROOT


def test_a_cuda_build_is_read_from_its_version_file():
    text = "__version__ = '2.15.0+cu132'\ncuda: Optional[str] = '13.2'\nhip: Optional[str] = None\n"
    build = parse_build(text)
    assert (build.version, build.cuda, build.hip, build.xpu) == ("2.15.0+cu132", "13.2", None, None)


def test_a_rocm_build_is_told_from_a_cuda_build():
    build = parse_build("__version__ = '2.15.0+rocm7.2'\ncuda = None\nhip = '7.2.0'\n")
    assert build.hip == "7.2.0"
    assert build.cuda is None


def test_a_version_file_that_runs_code_is_not_run():
    build = parse_build("__version__ = open('/nonexistent').read()\n")
    assert build.version == "unknown"


def test_the_installed_torch_is_found_as_it_says_itself():
    import torch

    build = find_torch()
    assert build is not None
    assert build.version == torch.__version__
    assert build.cuda == torch.version.cuda


def test_this_machine_is_described():
    host = look_around()
    assert host.system in ("Linux", "Darwin", "Windows")
    assert host.exists(str(ROOT))
    assert not host.exists(str(ROOT / "no such file"))
    assert host.installed("torch")
    assert not host.installed("no_such_package_anywhere")
    assert host.read(str(ROOT / "no such file")) is None


def test_probing_all_hardware_imports_no_torch():
    code = (
        "import sys\n"
        "from modules.device.report import probe_report\n"
        "from modules.device.select import default_handlers\n"
        "rows = probe_report(default_handlers())\n"
        "assert [row['id'] for row in rows] == ['cuda', 'rocm', 'xpu', 'mps', 'directml', 'cpu'], rows\n"
        "assert rows[-1]['available'] and all(row['reason'] for row in rows)\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
