"""Pictures that stand among the words of a transformer's calls, as Redux makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from modules.contracts.control import ControlUnit

WORDS, PLACES = "encoder_hidden_states", "txt_ids"


@dataclass(frozen=True, eq=False, slots=True)
class ImageWords:
    """One unit, ready for one pass."""

    unit: ControlUnit
    said: torch.Tensor
    """(pictures, words, width), weighed."""

    def only(self, place: int) -> ImageWords:
        """For one picture of the batch."""
        return replace(self, said=self.said[place : place + 1])


def add_words(
    given: Mapping[str, Any], pictures: Sequence[ImageWords], rows: Sequence[int], done: float
) -> dict[str, Any]:
    """Arguments of a call with more words, when `done` of the steps lie behind; none where no picture acts.

    `rows` says which of the pipeline's rows each sample is, a multiple of the pictures.
    """
    acting = [one for one in pictures if one.unit.guidance_start <= done < one.unit.guidance_end]
    if not acting:
        return {}
    words, places = given[WORDS], given[PLACES]
    more = [one.said[[row % len(one.said) for row in rows]].to(words) for one in acting]
    longer = torch.cat([words, *more], dim=1)
    # All words stand at one place.
    return {WORDS: longer, PLACES: places.new_zeros(longer.shape[1], places.shape[-1])}
