"""Holes of other programs in which a file of weights, an extension or a folder of the web became code that ran.

Each test is named after the hole (`users.md` of the project's notes, section 2) that it would have shown.
"""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import pickle
import re
import stat
import tomllib

import pytest
from packaging.requirements import Requirement

from modules.bootstrap import flags
from modules.contracts.catalog import FileEntry
from modules.contracts.errors import BrokenModel, InvalidRequest
from modules.contracts.plan import Placement
from modules.sd_models.catalog import StudioCatalog, Tables
from modules.sd_models.families import load_families
from modules.sd_models.hub import Hub
from modules.sd_models.hub_files import check_id, check_name
from modules.sd_models.loader import load_model
from modules.sd_models.scan import PICKLES
from modules.sd_vae.load import load_vae
from modules.support.options import CORE_SETTINGS
from modules.support.paths import ROOT, Paths
from modules.support.settings import Settings
from modules.upscalers.spandrel_model import load_upscaler
from modules.upscalers.table import UPSCALERS
from tests.api.fakes import SECRET, made
from tests.factories.fake_hub import FakeHub, serving
from tests.security.walk import changing, operations

SOURCES = sorted((ROOT / "modules").rglob("*.py"))


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@pytest.fixture
def trapped(tmp_path):
    """A models folder with a trap under every kind, ending and spelling; and the mark that a sprung one leaves."""
    models, mark = tmp_path / "models", tmp_path / "sprung"
    trap = pickle.dumps({"state_dict": Evil(mark)}, protocol=2)
    endings = (*PICKLES, ".safetensors", ".SafeTensors", ".SAFETENSORS")
    for folder in ("checkpoints", "vae", "upscalers", "ESRGAN", "lora", "embeddings", "hypernetworks", "vae-approx"):
        (models / folder).mkdir(parents=True)
        for number, ending in enumerate(endings):
            (models / folder / f"trap{number}{ending}").write_bytes(trap)
    spoilt = models / "checkpoints" / "folder"
    (spoilt / "unet").mkdir(parents=True)
    (spoilt / "model_index.json").write_text(json.dumps({"_class_name": "Evil", "unet": ["evil_code", "Evil"]}))
    (spoilt / "unet" / "config.json").write_text(json.dumps({"_class_name": "Evil"}))
    (spoilt / "unet" / "diffusion_pytorch_model.bin").write_bytes(trap)
    for place in (spoilt, spoilt / "unet", models):
        (place / "evil_code.py").write_text(f"import os\nos.mkdir({str(mark)!r})\nclass Evil: pass\n")
    return models, mark


@pytest.fixture
def catalog(trapped, tmp_path):
    made = StudioCatalog(
        Paths(tmp_path / "data", trapped[0], ROOT).ensure(),
        Tables(
            families=load_families(ROOT / "configs" / "families.json"), samplers=(), schedulers=(), upscalers=UPSCALERS
        ),
        default_model=lambda: None,
        hub_caches=(),
    )
    yield made
    made.close()


def test_comfyui_12286_a1111_2235_and_invokeai_2946_no_file_of_weights_is_unpickled_by_any_name(catalog, trapped):
    models, mark = trapped
    rows = [row for row in catalog.models() if models in row.path.parents]
    assert len(rows) >= len(PICKLES) + 3
    assert all(row.problem for row in rows)
    for row in rows:
        with pytest.raises(BrokenModel):
            catalog.find_model(row.name)
    vaes = catalog.vaes()
    assert len(vaes) >= len(PICKLES)
    for vae in vaes:
        with pytest.raises(BrokenModel):
            load_vae(FileEntry(vae.name, vae.path, vae.kind), "float32", "cpu", None)
    upscalers = [row for row in catalog.upscalers() if row.path is not None and models in row.path.parents]
    assert len(upscalers) >= 2 * (len(PICKLES) + 1)
    for upscaler in upscalers:
        with pytest.raises(BrokenModel):
            load_upscaler(upscaler)
    assert not mark.exists()


def test_comfyui_3461_and_11791_code_that_lies_beside_weights_is_never_run(catalog, trapped):
    _, mark = trapped
    (row,) = [row for row in catalog.models() if row.name == "folder"]
    place = Placement("cpu", "float32")
    with pytest.raises(BrokenModel):
        load_model(row, catalog.family("sd15"), dict.fromkeys(("denoiser", "text_encoder", "vae"), place))
    assert not mark.exists()


def test_saferpickle_18_and_cve_2025_32434_pickles_are_opened_in_one_process_of_their_own():
    """No module but that of the lone process reads one, `weights_only`, with a torch in which that holds."""
    opening = re.compile(r"torch\.load\(|pickle\.loads?\(|allow_pickle|Unpickler\(|joblib|dill")
    found = {path.relative_to(ROOT).as_posix() for path in SOURCES if opening.search(path.read_text("utf-8"))}
    # Training reads what it wrote itself, never a file that came from elsewhere.
    assert found == {"modules/sd_models/unpickling.py", "modules/training/journal.py", "modules/training/worker.py"}
    for path in SOURCES:
        for line in path.read_text("utf-8").splitlines():
            assert "torch.load(" not in line or "weights_only=True" in line, path
    with (ROOT / "pyproject.toml").open("rb") as file:
        wanted = [Requirement(text) for text in tomllib.load(file)["project"]["dependencies"]]
    (torch,) = [one for one in wanted if one.name == "torch"]
    assert "2.5.1" not in torch.specifier
    assert importlib.metadata.version("torch") in torch.specifier


@pytest.mark.parametrize(
    "flag",
    ["--disable-safe-unpickle", "--enable-insecure-extension-access", "--allow-code", "--share", "--unsafe",
     "--disable-weights-only", "--trust-remote-code"],
)  # fmt: skip
def test_a1111_2235_and_4165_no_flag_switches_a_protection_off(flag, capsys):
    with pytest.raises(SystemExit):
        flags.parse(["serve", flag])
    assert flag in capsys.readouterr().err


def test_a1111_4165_4717_16500_and_extensions_394_code_comes_in_for_admins_who_signed_in_alone(people, make_rig):
    rig, clients = people
    for path in (
        "/sdapi/v1/extensions/install", "/api/v2/models/install", "/customnode/install", "/manager/queue/install",
        "/upload/image", "/gradio_api/upload", "/sdapi/v1/server-restart", "/controlnet/model/download",
    ):  # fmt: skip
        for body in ({"url": "https://evil.example/x.git"}, {"source": "https://evil.example/x.ckpt"}):
            assert clients["ada"].post(path, json=body).status_code == 404, path
    words = re.compile("install|download|plugin|upload|import|exec|eval|shell|restart|kill")
    harmless = {"/internal/sysinfo-download", "/agent-scheduler/v1/import"}
    """The one sends a report; the other stores jobs, each read as any other, and unpickles nothing."""
    paths = {path for _, path, _ in operations(clients["ada"].app)}
    assert harmless < paths
    door = "/api/v1/extensions/install"
    assert [path for path in paths - harmless if words.search(path)] == [door]
    for body in ({"address": "https://evil.example/x.git"}, {"archive": "AAAA"}, {}):
        for name, client in clients.items():
            status = 422 if name == "ada" else 403
            assert client.post(door, json={**body, "address": ""}).status_code == status
        assert rig.client(clients["ada"].app).post(door, json=body).status_code == 401
    alone = make_rig().client()
    assert alone.get("/api/v1/extensions").status_code == 200
    assert alone.post(door, json={"address": "https://evil.example/x.git"}).status_code == 403
    assert clients["ada"].get("/sdapi/v1/extensions").json() == []


def test_comfyui_manager_cve_2025_67303_nothing_that_is_read_as_code_lies_where_requests_write(make_rig, tmp_path):
    rig = make_rig(gallery=True)
    client = rig.client()
    job = made(client, prompt={"text": "../../x.py"})["id"]
    rig.queue.handle(job).wait(20)
    for method, path in changing(client.app):
        client.request(method, path, json={"path": "../x.py", "name": "x.py", "config.ini": "[x]", "startup": "x"})
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".png" for path in written)
    endings = re.compile(r"\.(png|webp|json|sqlite3(\.lanes)?(-wal|-shm|-journal)?)$|^styles\.csv(\.bak)?$")
    assert [path.name for path in written if not endings.search(path.name)] == []
    assert [path.name for path in written if path.stat().st_mode & (stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)] == []


def test_comfyui_manager_cve_2025_67303_settings_are_those_that_are_declared(make_rig):
    rig = make_rig()
    answer = rig.client().post("/sdapi/v1/options", json={"security_level": "weak", "pip_url": "x", "jpeg_quality": 80})
    assert answer.status_code == 200
    known = {item.key for item in CORE_SETTINGS}
    assert set(rig.settings.public()) <= known
    assert rig.settings["jpeg_quality"] == 80


def test_invokeai_6_13_7_and_sdnext_secrets_have_a_file_of_their_own_that_only_the_owner_reads(tmp_path):
    settings = Settings(CORE_SETTINGS, tmp_path)
    settings.update({"jpeg_quality": 80})
    settings.set_secret("hub_token", SECRET)
    kept = tmp_path / "secrets.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert SECRET in kept.read_text()
    assert SECRET not in (tmp_path / "settings.json").read_text()
    assert "hub_token" not in settings.public()


@pytest.mark.parametrize("name", ["../x.json", "/etc/x", "a/../../x.json", "C:\\x.json", "a\\..\\x", "x\0.json", ""])
def test_invokeai_6_13_8_a_hub_names_no_file_outside_the_folder_that_it_belongs_to(name):
    with pytest.raises(BrokenModel, match="no safe path"):
        check_name(name)
    with pytest.raises(InvalidRequest):
        check_id(f"{name}/..", None)


def test_iopaint_656_what_is_fetched_is_what_its_checksum_says(tmp_path):
    name = "unet/diffusion_pytorch_model.safetensors"
    files = {"model_index.json": json.dumps({"unet": ["diffusers", "UNet2DConditionModel"]}).encode()}
    with serving(FakeHub({**files, "unet/config.json": b"{}", name: b"weights" * 100})) as server:
        hub = Hub(tmp_path / "hub", endpoint=server.endpoint, pause=lambda seconds: None)
        server.damaged.add(name)
        with pytest.raises(BrokenModel, match="arrived damaged"):
            hub.download(hub.plan_download("owner/model"))
    assert [path for path in (tmp_path / "hub").rglob("*.safetensors") if path.is_file()] == []


def test_a1111_16500_nothing_runs_what_a_request_says():
    """No `eval`, `exec`, shell or import of a name that is not written in the program."""
    wrong = []
    for path in SOURCES:
        place = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            owner = getattr(getattr(node.func, "value", None), "id", "")
            shell = any(word.arg == "shell" and getattr(word.value, "value", True) for word in node.keywords)
            if (isinstance(node.func, ast.Name) and name in ("eval", "exec", "__import__", "compile")) or shell:
                wrong.append(f"{place}:{node.lineno} {name}")
            if owner == "os" and name in ("system", "popen"):
                wrong.append(f"{place}:{node.lineno} os.{name}")
    assert wrong == []
