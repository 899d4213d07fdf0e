"""Draws a kept picture again from its recipe, alone and among others, and says how far it comes out the same."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageSequence

from modules.contracts.errors import StudioError, UnknownName
from modules.contracts.jobs import JobHandle, JobQueue
from modules.contracts.pictures import PictureStore, StoredPicture
from modules.contracts.request import MAX_SEED, GenerationRequest
from modules.contracts.result import Picture
from modules.outputs import mp4
from modules.outputs.metadata import FILE, LOSSLESS, MEDIA_TYPES, encode
from modules.outputs.replay import Change, changes_between, request_of

COMPANY = 3
"""Further pictures drawn beside the one that is verified, with other seeds."""
TOLERANCE = 1
"""Levels of 255 by which a picture may differ and still counts as the same."""
LOSSY_TOLERANCE = 8
"""The same for files that lose a little: their encoders turn one level of one pixel into a few of its neighbours'."""
FILM_TOLERANCE = 32
"""The same for MP4: of 60 films with up to five values of their frames one level off, H.264 made up to 18 of it."""
PATIENCE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Difference:
    """How far two pictures are apart, in levels of 255 over all pixels and channels."""

    largest: int
    mean: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of drawing a picture again."""

    picture_id: str
    alone: Difference
    company: Difference
    changes: tuple[Change, ...]
    """Parts of the recipe that are not what they were."""
    tolerance: int = TOLERANCE
    """Levels of 255 within which both repetitions count as the same picture."""

    @property
    def same(self) -> bool:
        """Both repetitions are within the tolerance everywhere."""
        return max(self.alone.largest, self.company.largest) <= self.tolerance


@dataclass(frozen=True, slots=True)
class _Original:
    """The kept picture, and what draws it again."""

    stored: StoredPicture
    pixels: np.ndarray
    request: GenerationRequest


class Verifier:
    """Verifies pictures of a store through a queue, as jobs of whoever asks."""

    def __init__(self, pictures: PictureStore, queue: JobQueue, quality: Callable[[], int]) -> None:
        """`quality` is the setting for lossy files, for those whose recipe does not say theirs.

        A repetition is saved as the picture was before it is compared.
        """
        self._pictures = pictures
        self._queue = queue
        self._quality = quality

    def verify(self, picture_id: str, owner: str, company: int = COMPANY) -> Verdict:
        """The same as `repeat` for callers outside an event loop."""
        return asyncio.run(self.repeat(picture_id, owner, company))

    async def repeat(self, picture_id: str, owner: str, company: int = COMPANY) -> Verdict:
        """Draw the picture again: once by itself, and once beside `company` others.

        No thread waits meanwhile, however long the queue is. Jobs that are not needed any more when this ends, or when
        its task is cancelled, are cancelled. Raises `UnknownName` for a picture whose row or file is gone,
        `UnsupportedFeature` for one that cannot be drawn again, and whatever error the drawing ends with.
        """
        original = await asyncio.to_thread(self._find, picture_id)
        request = original.request
        seeds = range(1, company + 1)
        alone = await self._draw([request], owner)
        # The others begin first, so that the picture comes into their company.
        beside = await self._draw([*(_with_seed(request, number) for number in seeds), request], owner)
        return await asyncio.to_thread(self._judge, original, alone, beside)

    def _find(self, picture_id: str) -> _Original:
        stored = self._pictures.get(picture_id)
        data = self._pictures.read(picture_id) if stored is not None else None
        if stored is None or data is None:
            raise UnknownName(f"There is no picture {picture_id[:64]!r}.")
        return _Original(stored, pixels(data), request_of(stored, self._queue.request(stored.job_id)))

    async def _draw(self, requests: Sequence[GenerationRequest], owner: str) -> Picture:
        """Submit all of them and wait for the last; what is still open at the end is cancelled."""
        handles: list[JobHandle] = []
        submitting = asyncio.ensure_future(asyncio.to_thread(self._submit, requests, owner, handles))
        try:
            await asyncio.shield(submitting)
            try:
                result = await asyncio.wait_for(handles[-1].result(), PATIENCE_SECONDS)
            except TimeoutError as error:
                raise StudioError(f"The picture was not drawn again within {PATIENCE_SECONDS:.0f} s.") from error
            if not result.pictures:
                raise StudioError("Drawing the picture again was stopped.")
            return result.pictures[0]
        finally:
            await asyncio.wait((submitting,))  # a thread that has begun goes on, and what it submits is known then
            await asyncio.to_thread(_cancel, handles)

    def _submit(self, requests: Sequence[GenerationRequest], owner: str, handles: list[JobHandle]) -> None:
        """Submit one after the other, so that those before one that is refused are known."""
        for request in requests:
            handles.append(self._queue.submit(request, owner))

    def _judge(self, original: _Original, alone: Picture, beside: Picture) -> Verdict:
        stored = original.stored
        return Verdict(
            stored.id,
            difference(original.pixels, self._as_kept(alone, stored)),
            difference(original.pixels, self._as_kept(beside, stored)),
            changes_between(stored.recipe, alone.recipe),
            _tolerance(stored.media_type),
        )

    def _as_kept(self, picture: Picture, stored: StoredPicture) -> np.ndarray:
        fmt = next(name for name, kind in MEDIA_TYPES.items() if kind == stored.media_type)
        quality = stored.recipe.get(FILE, {}).get("quality") or self._quality()
        return pixels(encode(picture.content, fmt, infotext="", recipe={}, quality=quality))


def _tolerance(media_type: str) -> int:
    """Levels of 255 that files of that kind may differ by and still be of the same picture."""
    if media_type == MEDIA_TYPES["mp4"]:
        return FILM_TOLERANCE
    return TOLERANCE if media_type == LOSSLESS else LOSSY_TOLERANCE


def _cancel(handles: Sequence[JobHandle]) -> None:
    """Cancel all of them; those that have ended do not mind."""
    for handle in handles:
        handle.cancel()


def pixels(data: bytes) -> np.ndarray:
    """The picture in an encoded file, int16 of shape (height, width, 3), or of a film (frames, height, width, 3)."""
    if mp4.is_mp4(data):
        frames = [np.asarray(frame, np.int16) for frame in mp4.frames_of(data)]
        return frames[0] if len(frames) == 1 else np.stack(frames)
    with Image.open(io.BytesIO(data)) as image:
        frames = [np.asarray(frame.convert("RGB"), np.int16) for frame in ImageSequence.Iterator(image)]
        return frames[0] if len(frames) == 1 else np.stack(frames)


def difference(then: np.ndarray, now: np.ndarray) -> Difference:
    """How far apart two pictures or films are; of different sizes or lengths, as far as can be."""
    if then.shape != now.shape:
        return Difference(255, 255.0)
    off = np.abs(then - now)
    return Difference(int(off.max()), float(off.mean()))


def _with_seed(request: GenerationRequest, offset: int) -> GenerationRequest:
    return replace(request, seeds=replace(request.seeds, seed=(request.seeds.seed + offset) % MAX_SEED))
