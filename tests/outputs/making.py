"""Pictures, stores and settings for these tests."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw
from sqlalchemy import create_engine, event

from modules.contracts.result import Picture
from modules.support.options import CORE_SETTINGS
from modules.support.settings import Settings

INFOTEXT = (
    "a cat, Größe 10:30\nNegative prompt: 猫\nSteps: 12, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, "
    "Seed: 42, Size: 48x32, Model hash: 0123456789, Model: some/model, Version: atelier-0.1.0"
)
RECIPE = {"format": 1, "prompt": "a <b> & 猫 \x07", "first": {"steps": 12, "cfg": 6.5}, "notes": ["x"], "none": None}


def image(mode="RGB", seed=0, size=(48, 32)):
    """A picture of noise in that mode."""
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


def picture(index=0, prompt="a cat", seed=42, **changes):
    """A finished picture."""
    values = {"image": image(seed=index), "subseed": -1, "negative": "", "infotext": INFOTEXT, "recipe": RECIPE}
    return Picture(index=index, seed=seed, prompt=prompt, **{**values, **changes})


def database(path):
    """An engine as the composition root makes it: a file, write-ahead log, several threads."""
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 30, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def prepare(connection, record):
        connection.execute("PRAGMA journal_mode=WAL")

    return engine


def settings(**changes):
    """Settings in memory."""
    made = Settings(CORE_SETTINGS)
    made.update(changes)
    return made


def drawing(kind="RGB", box=(16, 16, 48, 48)):
    """A red circle on grey as a PNG file, or a mask of it where `kind` is "L"."""
    image = Image.new(kind, (64, 64), 0 if kind == "L" else (230, 230, 240))
    ImageDraw.Draw(image).ellipse(box, fill=255 if kind == "L" else (200, 40, 40))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
