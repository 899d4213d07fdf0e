"""The pictures of one request, from the outside in: how many they are, how large, whether their owner may have such a
job at all, and only then what is in them. Nothing is decoded and nothing is fetched before that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from modules.api.fetched import fetches, source_for
from modules.api.images import PixelBudget, decode_base64, is_address, look_at, read_mask, read_picture
from modules.contracts.enlarging import Size, png_head, png_size
from modules.contracts.jobs import JobTerms
from modules.contracts.request import GenerationRequest
from modules.contracts.validation import validate
from modules.support.studio import Studio

UNSEEN = (1, 1)
"""The size of a picture that is not fetched yet, as far as limits go: the least that it can be."""
STAND_IN = b"mask"


@dataclass(frozen=True, slots=True)
class Given:
    """A picture that nobody has decoded."""

    name: str
    """The field that it stands in, for messages."""
    text: Any = field(repr=False)
    data: bytes | None = field(repr=False)
    """None of one that is named by its address."""
    size: Size

    @property
    def head(self) -> bytes:
        """What stands for it while its owner is asked about."""
        return png_head(self.size)


class Intake:
    """Takes in the pictures of one request. `key` is its idempotency key, where one counts."""

    def __init__(self, studio: Studio, owner: str, key: str | None = None) -> None:
        self._studio, self._owner = studio, owner
        self._terms = JobTerms(idempotency_key=key or None)
        self._budget = PixelBudget()
        self._source = source_for(studio, self._budget)

    def look(self, text: Any, name: str) -> Given:
        """A picture in base64 by its head; of an address only that it is one. Raises `InvalidRequest`."""
        if is_address(text) and fetches(self._studio):
            return Given(name, text, None, UNSEEN)
        return self.look_at(decode_base64(text, name), name)

    def look_at(self, data: bytes, name: str) -> Given:
        """A file by its head. Raises `InvalidRequest` for no picture, and where all together are too large."""
        size = look_at(data, name)
        self._budget.take(size, name)
        return Given(name, None, data, size)

    def ask(self, draft: GenerationRequest) -> None:
        """Raise what the queue would raise for this request, heads standing for its pictures."""
        self._studio.queue.check(draft, self._owner, self._terms)

    def read(self, given: Given, name: str = "") -> bytes:
        """The file itself, fetched where it is an address. Blocks."""
        return self._source(given.text, given.name) if given.data is None else given.data

    def fill(
        self,
        asked: GenerationRequest,
        texts: Sequence[Any],
        name: str,
        mask: Any = None,
        mask_name: str = "mask",
        *,
        latent: Any = None,
    ) -> GenerationRequest:
        """The request with pictures to start from, upright and encoded anew, and with its masks where it repaints.

        `name` and `mask_name` are the fields; `latent` is the mask of the latents, if they have their own. Blocks.
        Raises `InvalidRequest`, and what the queue would raise.
        """
        assert asked.image is not None
        inpaint = None if asked.inpaint is None else dataclasses.replace(asked.inpaint, mask=STAND_IN)
        draft = dataclasses.replace(asked, image=_with(asked, [b""] * len(texts)), inpaint=inpaint)
        validate(draft)  # how many there may be depends on the batch
        given = [self.look(text, f"{name}[{place}]") for place, text in enumerate(texts)]
        given_mask = None if inpaint is None else self.look(mask, mask_name)
        latent_name = mask_name.rpartition("mask")[0] + "latent_mask"
        given_latent = None if inpaint is None or not latent else self.look(latent, latent_name)
        self.ask(dataclasses.replace(draft, image=_with(asked, [item.head for item in given])))
        images = [read_picture(item, item.name, self.read) for item in given]
        if inpaint is not None and given_mask is not None:
            inpaint = dataclasses.replace(inpaint, mask=read_mask(given_mask, mask_name, self.read))
        if inpaint is not None and given_latent is not None:
            inpaint = dataclasses.replace(inpaint, latent_mask=read_mask(given_latent, latent_name, self.read))
        return dataclasses.replace(asked, image=_with(asked, images), inpaint=inpaint)

    def fill_first(self, asked: GenerationRequest, text: Any, name: str) -> GenerationRequest:
        """The request with a picture in place of the first pass, whose size stands for one that was left out.

        `name` is the field. Blocks. Raises `InvalidRequest`, and what the queue would raise.
        """
        given = self.look(text, name)
        if given.data is not None:
            asked = _sized(asked, given.size)
        self.ask(dataclasses.replace(asked, first_pass=given.head))
        picture = read_picture(given, name, self.read)
        return dataclasses.replace(_sized(asked, png_size(picture) or given.size), first_pass=picture)

    def fill_style(self, asked: GenerationRequest, text: Any, name: str) -> GenerationRequest:
        """The request with its style picture. `name` is the field. Blocks. Raises as `fill_first` does."""
        given = self.look(text, name)
        style = asked.style
        self.ask(dataclasses.replace(asked, style=dataclasses.replace(style, image=given.head)))
        picture = read_picture(given, name, self.read)
        return dataclasses.replace(asked, style=dataclasses.replace(style, image=picture))


def _sized(asked: GenerationRequest, size: Size) -> GenerationRequest:
    canvas = asked.canvas
    width, height = canvas.width or size[0], canvas.height or size[1]
    return dataclasses.replace(asked, canvas=dataclasses.replace(canvas, width=width, height=height))


def _with(asked: GenerationRequest, images: Sequence[bytes]) -> Any:
    assert asked.image is not None
    return dataclasses.replace(asked.image, images=tuple(images))
