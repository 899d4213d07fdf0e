"""A studio of fakes around the real queue: a catalogue of a few rows and an engine that draws plain colours."""

from __future__ import annotations

import base64
import io
from functools import partial
from pathlib import Path

from PIL import Image

from modules.accounts.door import Door
from modules.accounts.service import StoredAccounts
from modules.bootstrap.options import DeviceOptions, NetworkOptions, Options, PathOptions
from modules.call_queue.database import open_database
from modules.call_queue.entrance import Entrance, room_of
from modules.call_queue.queue import CallQueue
from modules.call_queue.store import JobStore
from modules.contracts.catalog import FileEntry, ModelEntry, RestorerEntry, SamplerEntry, ScheduleEntry, UpscalerEntry
from modules.contracts.errors import BrokenModel, UnknownModel
from modules.control.catalog import ControlCatalog
from modules.detectors.catalog import DetectorCatalog
from modules.experiments.marks import marks_of
from modules.experiments.service import ExperimentService
from modules.experiments.store import ExperimentStore
from modules.outputs.store import DiskPictureStore
from modules.prompts.book import PromptBook
from modules.sd_models.families import load_families
from modules.support.bus import EventBus
from modules.support.options import CORE_SETTINGS
from modules.support.paths import Paths
from modules.support.preferences import Preferences
from modules.support.settings import Settings
from modules.support.studio import Status, Studio
from tests.call_queue.fakes import FakeEngine, MemoryPictures

FAMILIES = Path(__file__).resolve().parents[2] / "configs" / "families.json"
SECRET = "correct horse battery staple"
PASSWORD = "correct horse battery"
SMALL = {"prompt": {"text": "a cat"}, "canvas": {"width": 64, "height": 64}, "sampling": {"steps": 2}}
"""A job that is soon done."""


class FakeCatalog:
    """Three models, one distilled to four steps and one broken; a VAE; a handful of samplers."""

    def __init__(self, folder):
        self.rows = (
            ModelEntry("pocket", folder / "pocket", "diffusers", "sd15", 128),
            ModelEntry(
                "people/photo",
                folder / "photo.safetensors",
                "single_file",
                "sd15",
                512,
                "0123456789",
                "ab" * 32,
                details={"defaults": {"steps": 4}},
            ),
            ModelEntry("torn", folder / "torn.safetensors", "single_file", None, 512, problem="torn is cut off."),
        )
        self.refreshed = 0
        self.default = lambda: ""

    def models(self):
        return self.rows

    def find_model(self, name):
        name = name or self.default()
        for entry in self.rows:
            known = {entry.name, entry.title, entry.short_hash, entry.sha256, None if entry is not self.rows[0] else ""}
            if (name or "") in known:
                if entry.problem:
                    raise BrokenModel(entry.problem)
                return entry
        raise UnknownModel(f"There is no model {name!r}; there are pocket, people/photo.")

    def vaes(self):
        return (FileEntry("soft", Path("/secret/place/soft.safetensors"), "vae"),)

    def text_encoders(self):
        return (FileEntry("keen", Path("/secret/place/keen.safetensors"), "text-encoders"),)

    def default_vae(self):
        return None

    def samplers(self):
        names = ("DPM++ 2M", "Euler a", "Euler", "DDIM", "Restart", "PLMS")
        return tuple(SamplerEntry(name, (f"k_{name.lower()}",), True, {"order": 2}) for name in names)

    def schedulers(self):
        labels = ("Automatic", "Karras", "SGM Uniform", "Exponential")
        return tuple(ScheduleEntry(label.lower().replace(" ", "_"), label) for label in labels)

    def upscalers(self):
        return (
            UpscalerEntry("Latent", True),
            UpscalerEntry("Latent (nearest)", True),
            UpscalerEntry("Lanczos", False),
            UpscalerEntry("net-x2", False, 2.0, Path("/models/upscalers/net-x2.safetensors")),
            UpscalerEntry("old", False, 4.0, Path("/models/upscalers/old.pth"), "old.pth is a pickle."),
        )

    def restorers(self):
        folder = Path("/models/GFPGAN")
        return (
            RestorerEntry("GFPGANv1.4", "gfpgan", folder / "GFPGANv1.4.safetensors"),
            RestorerEntry("bad", None, folder / "bad.pth", "bad.pth is a pickle."),
        )

    def families(self):
        return ()

    def family(self, id):
        return next(family for family in load_families(FAMILIES) if family.id == id)

    def refresh(self):
        self.refreshed += 1


class Rig:
    """Everything a test may want to look at."""

    def __init__(self, folder, *, network=None, lanes=2, ready=True, gallery=False):
        """`gallery` keeps pictures on disk as the studio does, else they stay in memory."""
        self.engine, self.bus = FakeEngine(), EventBus()
        self.status, self.settings = Status(), Settings(CORE_SETTINGS)
        self.settings.set_secret("hub_token", SECRET)
        self.catalog = FakeCatalog(folder)
        self.catalog.default = lambda: self.settings["sd_model_checkpoint"]
        self.database = open_database(folder / "studio.sqlite3")
        store, self.accounts = JobStore(self.database), StoredAccounts(self.database)
        disk = DiskPictureStore(self.database, folder / "outputs", self.settings) if gallery else None
        self.pictures = disk or MemoryPictures()
        own = Preferences(self.settings, self.accounts).carried
        room = Entrance(room=partial(room_of, self.settings))
        self.queue = CallQueue(lambda: self.engine, store, self.bus, self.pictures, lanes, room, own)
        self.queue.start()
        marks = marks_of(self.catalog, Preferences(self.settings, self.accounts).public)
        self.experiments = ExperimentService(ExperimentStore(self.database), self.queue, self.pictures, self.bus, marks)
        if ready:
            self.status.set("ready", "Ready")
        self.hardware, self.loads = {}, []
        memory = {"ram": {"free": 1, "used": 2, "total": 3}, "cuda": {"error": "There is no CUDA device."}}
        self.studio = Studio(
            options=Options(
                network=network or NetworkOptions(), paths=PathOptions(folder, folder), device=DeviceOptions()
            ),
            paths=Paths(folder, folder),
            settings=self.settings,
            bus=self.bus,
            status=self.status,
            catalog=self.catalog,
            queue=self.queue,
            pictures=self.pictures,
            accounts=self.accounts,
            door=Door(self.accounts, (network or NetworkOptions()).api_auth),
            memory_report=lambda: memory,
            device_report=lambda: self.hardware,
            unload_models=lambda: self.loads.append("unload"),
            reload_model=lambda: self.loads.append("reload"),
            close=self.close,
            start_engine=lambda: None,
            versions={"atelier": "0.1.0"},
            controls=ControlCatalog(Paths(folder, folder, folder)),
            detectors=DetectorCatalog(Paths(folder, folder)),
            prompts=PromptBook(Paths(folder, folder), self.catalog),
            experiments=self.experiments,
        )

    def application(self):
        from fastapi import FastAPI

        from modules.api.app import add_api

        app = FastAPI(title="Atelier", version="0.1.0")
        add_api(app, self.studio)
        return app

    def client(self, app=None, **changes):
        from fastapi.testclient import TestClient

        return TestClient(app or self.application(), base_url="http://127.0.0.1:7860", **changes)

    @property
    def asked(self):
        """The request that reached the engine last."""
        return self.engine.seen[-1]

    def close(self):
        self.experiments.stop()
        self.queue.stop(5)
        self.engine.let_go()
        self.database.dispose()


def picture(size=(64, 64), color=(10, 20, 30), mode="RGB", form="PNG", **options):
    buffer = io.BytesIO()
    Image.new(mode, size, color).save(buffer, form, **options)
    return buffer.getvalue()


def b64(data):
    return base64.b64encode(data).decode()


def opened(text):
    image = Image.open(io.BytesIO(base64.b64decode(text)))
    image.load()
    return image


def made(client, **changes):
    """The job that was made of `SMALL` and some changes."""
    answer = client.post("/api/v1/jobs", json={**SMALL, **changes})
    assert answer.status_code == 202, answer.text
    return answer.json()
