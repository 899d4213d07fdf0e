"""An engine that draws plain colours and can be held at any step, and a gallery in memory."""

from __future__ import annotations

import io
import itertools
import re
import threading
import unicodedata
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

from PIL import Image

from modules.contracts.enlarging import sizes_of
from modules.contracts.events import ImageReady, Preview, StageStarted, StepDone
from modules.contracts.infotext import parse
from modules.contracts.pictures import PictureFacets, PictureFilter, PicturePage, StoredPicture
from modules.contracts.result import Film, GenerationResult, Picture
from modules.outputs.metadata import MEDIA_TYPES, format_of
from modules.outputs.search import UNSPACED

FILM = MEDIA_TYPES["mp4"]


class FakeEngine:
    """Keeps to the contract of `modules.contracts.run.Engine`; `hold` makes runs wait before a step."""

    def __init__(self):
        self.gate = threading.Event()
        self.gate.set()
        self.first_held = 0
        self.entered = threading.Semaphore(0)
        """Released once for every batch that reaches its first step."""
        self.seen = []
        self.fail = {}
        """Prompt → exception to raise."""
        self.resolved = {}
        """Further values of what was resolved."""
        self.recipe = {}
        """Further entries of every recipe."""

    def hold(self, batch=0):
        """Make runs wait in that batch and the later ones."""
        self.first_held = batch
        self.gate.clear()

    def let_go(self):
        self.gate.set()

    def resolve(self, request):
        raise NotImplementedError

    def close(self):
        self.let_go()

    def generate(self, request, context):
        self.seen.append(request)
        if request.enlarge is not None:
            return self._enlarge(request, context)
        if request.prompt.text in self.fail:
            raise self.fail[request.prompt.text]
        pictures = []
        for batch in range(request.canvas.batch_count):
            context.emit(StageStarted(context.job_id, "denoise", batch, request.canvas.batch_count))
            if not self._denoise(request, context, batch):
                if context.cancelled.is_set():
                    return self._result(request, pictures, interrupted=True)
                continue
            for place in range(request.canvas.batch_size):
                picture = draw(request, batch * request.canvas.batch_size + place, self.recipe)
                context.finished(picture)
                context.emit(ImageReady(context.job_id, picture))
                pictures.append(picture)
        return self._result(request, pictures, interrupted=False)

    def _enlarge(self, request, context):
        """Every picture at its size by repeating pixels; one step each, at which it can be held."""
        pictures, sizes = [], sizes_of(request.enlarge)
        for index, (data, size) in enumerate(zip(request.enlarge.images, sizes, strict=True)):
            context.emit(StageStarted(context.job_id, "enlarge", index, len(sizes)))
            self.entered.release()
            while index >= self.first_held and not self.gate.wait(0.01) and not context.cancelled.is_set():
                pass
            if context.cancelled.is_set():
                return GenerationResult(tuple(pictures), {}, interrupted=True)
            with Image.open(io.BytesIO(data)) as image:
                large = image.resize(size.whole, Image.Resampling.NEAREST).crop(size.box)
            picture = Picture(index, large, 0, 0, "", "", "Postprocess", {"mode": "enlarge", **self.recipe})
            context.finished(picture)
            context.emit(ImageReady(context.job_id, picture))
            pictures.append(picture)
        return GenerationResult(tuple(pictures), {"enlarge.upscaler": request.enlarge.upscaler}, seconds=0.1)

    def _denoise(self, request, context, batch):
        steps, batches = request.sampling.steps, request.canvas.batch_count
        for step in range(1, steps + 1):
            if step == 1:
                self.entered.release()
            while batch >= self.first_held and not self.gate.wait(0.01):
                if context.cancelled.is_set() or context.skipped.is_set():
                    break
            if context.cancelled.is_set():
                return False
            if context.skipped.is_set():
                context.skipped.clear()
                return False
            done = (batch * steps + step) / (batches * steps)
            context.emit(StepDone(context.job_id, step, steps, batch, batches, done))
            if context.previews:
                context.emit(Preview(context.job_id, step, b"preview"))
        return True

    def _result(self, request, pictures, *, interrupted):
        resolved = {
            "model": request.model.checkpoint or "pocket",
            "model_hash": "0123456789",
            "sampling.sampler": request.sampling.sampler or "Euler",
            "sampling.steps": request.sampling.steps,
            "sampling.cfg_scale": request.sampling.cfg_scale,
            **self.resolved,
        }
        return GenerationResult(tuple(pictures), resolved, ("A note.",), 0.1, interrupted)


def draw(request, index, recipe):
    seed = request.seeds.seed + index
    size = (request.canvas.width or 64, request.canvas.height or 64)
    image = Image.new("RGB", size, (seed % 256, seed // 256 % 256, index))
    text = f"{request.prompt.text}\nSteps: {request.sampling.steps}, Sampler: {request.sampling.sampler}, Seed: {seed}"
    subseed = request.seeds.subseed + index
    recipe = {"seed": seed, **recipe}
    film = None
    if (request.film.frames or 1) > 1:
        frames = tuple(Image.new("RGB", size, (seed % 256, 0, 9 * number)) for number in range(request.film.frames))
        film, image = Film(frames, request.film.fps or 16, request.film.format), frames[0]
    return Picture(index, image, seed, subseed, request.prompt.text, request.prompt.negative, text, recipe, film)


class MemoryPictures:
    """`PictureStore` without files; saving the same job and index again gives the first row."""

    def __init__(self):
        self.rows = {}
        """By job and index, the oldest first."""
        self.asked = 0
        self.error = None
        self._numbers, self._next = {}, itertools.count(1)

    def save(self, picture, *, job_id, owner, output, own=None):
        self.asked += 1
        if self.error is not None:
            raise self.error
        key = (job_id, picture.index)
        if key not in self.rows:
            now, kind = datetime.now(UTC), MEDIA_TYPES[format_of(picture.content, output.format)]
            row = StoredPicture(
                f"{job_id}-{picture.index}", job_id, picture.index, owner, now, *picture.image.size,
                kind, picture.infotext, picture.recipe, "picture.png",
            )  # fmt: skip
            self._numbers[row.id] = next(self._next)
            self.rows[key] = row
        return self.rows[key]

    def get(self, picture_id):
        return next((row for row in self._newest() if row.id == picture_id), None)

    def read(self, picture_id):
        """As if somebody had taken every file away."""

    def thumbnail(self, picture_id, side):
        """As `read`."""

    def list(self, *, owner=None, job_id=None, limit=100, offset=0):
        shown = [row for row in self._newest() if job_id is not None or row.marks.binned is None]
        rows = [row for row in shown if job_id in (None, row.job_id) and owner in (None, row.owner)]
        return rows[offset : offset + limit]

    def count(self, *, owner=None, job_id=None):
        return len(self.list(owner=owner, job_id=job_id, limit=len(self.rows)))

    def search(self, wanted, *, limit=100, after=0, skip=0):
        found = [row for row in self._newest() if fits(row, wanted)]
        rest = [row for row in found if not after or self._numbers[row.id] < after][skip:]
        marks = [self._numbers[row.id] for row in rest[:limit]]
        return PicturePage(
            rest[:limit], len(found), marks[0] + 1 if marks else 0, marks[-1] if len(rest) > limit else None
        )

    def facets(self, owner=None):
        rows = [row for row in self._newest() if fits(row, PictureFilter(owner=owner))]
        said = [parse(row.infotext, defaults=False) for row in rows]
        models, samplers = ([found.get(key, "") for found in said] for key in ("Model", "Sampler"))
        return PictureFacets(
            models=[entry for entry in counted(models) if entry[0]],
            samplers=[entry for entry in counted(samplers) if entry[0]],
            sizes=[(*size, number) for size, number in counted((row.width, row.height) for row in rows)],
            films=sum(row.media_type == FILM for row in rows),
            favourites=sum(row.marks.favourite for row in rows),
            binned=sum(fits(row, PictureFilter(owner=owner, binned=True)) for row in self._newest()),
        )

    def mark(self, ids, *, favourite=None, binned=None):
        found = [row for row in self._newest() if row.id in ids]
        for row in found:
            marks = row.marks
            if favourite is not None:
                marks = replace(marks, favourite=favourite)
            if binned is not None:
                marks = replace(marks, binned=(marks.binned or datetime.now(UTC)) if binned else None)
            self.rows[row.job_id, row.index] = replace(row, marks=marks)
        return len(found)

    def empty_bin(self, *, owner=None, before=None):
        binned = [row for row in self._newest() if fits(row, PictureFilter(owner=owner, binned=True))]
        return sum(self.delete(row.id) for row in binned if before is None or row.marks.binned < before)

    def delete(self, picture_id):
        row = self.get(picture_id)
        return row is not None and self.rows.pop((row.job_id, row.index), None) is not None

    def _newest(self):
        return list(self.rows.values())[::-1]


def counted(values):
    """Each value with its number, the most frequent first."""
    return sorted(Counter(values).items(), key=lambda entry: (-entry[1], entry[0]))


def fits(row, wanted):
    """Whether a row is one of those of the filter."""
    said = parse(row.infotext, defaults=False)
    have = {
        "owner": row.owner,
        "job_id": row.job_id,
        "model": said.get("Model", ""),
        "sampler": said.get("Sampler", ""),
        "moves": row.media_type == FILM,
        "favourite": row.marks.favourite,
    }
    return (
        (row.marks.binned is not None) == wanted.binned
        and all(getattr(wanted, name) in (None, value) for name, value in have.items())
        and all(side in (None, own) for side, own in zip(wanted.size, (row.width, row.height), strict=True))
        and (wanted.since is None or row.created >= wanted.since)
        and (wanted.until is None or row.created < wanted.until)
        and all(holds(row.infotext, word) for word in wanted.text.split())
    )


def holds(infotext, word):
    """Whether a word of the text begins so, or is that one letter; all hold what has no letter at all."""
    pieces = re.findall(r"[^\W_]+", plain(word))
    if UNSPACED.search(word):
        return word in infotext
    end = "" if len(word) > 1 else r"(?![^\W_])"
    return re.search(r"(?<![^\W_])" + r"[\W_]+".join(pieces) + end, plain(infotext)) is not None


def plain(text):
    """Without capitals and accents."""
    parts = unicodedata.normalize("NFD", text.lower())
    return "".join(part for part in parts if not unicodedata.combining(part))
