"""Texts through one text encoder: cut into pieces, read, weighted, and laid end to end."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch

from modules.prompts.chunks import Piece, Ruler, cut_pieces
from modules.prompts.emphasis import parse_emphasis
from modules.prompts.weighting import weigh

AT_ONCE = 4096
"""Tokens in one call of an encoder."""
MOST_REPEATED = 2
"""How many times as long as the longest text repeated ones may become so that they stand side by side."""
COMMAS = (",</w>", ",", "▁,")
"""How vocabularies write a comma that ends a word, best first."""


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """How a model family uses one of its text encoders."""

    tokenizer: str
    encoder: str
    """Names of the components."""
    depth: int | None = None
    """Which hidden state it takes, counted from the end; None is the encoder's finished output."""
    skips: bool = False
    """Clip skip takes an earlier one."""
    free_skips: int = 0
    """Clip skips that change nothing, because the family takes an earlier state anyway."""
    normed: bool = False
    """A hidden state that clip skip takes goes through the encoder's last norm."""
    pooled: bool = False
    """The denoiser also wants the encoder's one vector for the whole text."""
    length: int | None = None
    """Tokens of a piece with its ends; None is what the tokenizer says."""
    masked: bool = False
    """The encoder looks away from what fills a piece up, and the reading says which tokens that is."""
    heedful: bool = True
    """The encoder is told of the mask; else it reads what fills a piece up as well, and the denoiser alone is told."""

    def state(self, clip_skip: int) -> int | None:
        """Index of the hidden state, negative; None is the finished output."""
        if not self.skips or clip_skip - self.free_skips <= 1:
            return self.depth
        return (-1 if self.depth is None else self.depth) - (clip_skip - 1 - self.free_skips)


@dataclass(frozen=True, slots=True)
class Manner:
    """How texts are read: two texts read in the same manner by the same encoder give the same."""

    emphasis: str = "Original"
    backtrack: int = 20
    clip_skip: int = 1


@dataclass(frozen=True, slots=True)
class Reading:
    """What an encoder said of one text."""

    hidden: torch.Tensor
    """(tokens, width); all pieces end to end."""
    pooled: torch.Tensor | None = None
    """(width,), of the first piece."""
    pieces: int = 1
    mask: torch.Tensor | None = None
    """(tokens,): 1 for text and ends, 0 for what fills up; of encoders that are `masked`."""

    @property
    def bytes(self) -> int:
        """Size of its tensors."""
        tensors = [self.hidden] if self.pooled is None else [self.hidden, self.pooled]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def measure(tokenizer: Any, length: int | None) -> Ruler:
    """What pieces look like for that tokenizer; `length` as in `EncoderSpec`."""
    whole = length or int(tokenizer.model_max_length)
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    if end is None:  # BERT's have other words for where a text begins and ends
        begin, end = tokenizer.cls_token_id, tokenizer.sep_token_id
    pad = end if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    # T5's tokenizer has no begin; some versions name one all the same.
    begins = begin is not None and len(tokenizer("").input_ids) > 1
    unknown = getattr(tokenizer, "unk_token_id", None)
    commas = (tokenizer.convert_tokens_to_ids(comma) for comma in COMMAS)
    comma = next((found for found in commas if found is not None and found != unknown), None)
    return Ruler(whole - 1 - begins, end, pad, begin if begins else None, comma)


def cut_text(text: str, tokenizer: Any, ruler: Ruler, manner: Manner) -> tuple[Piece, ...]:
    """The pieces of a text for that tokenizer."""

    # A lane's tokenizer has a short way; the libraries' own makes three times as much of it.
    quick: Callable[[str], Sequence[int]] | None = getattr(tokenizer, "ids", None)

    def tokenize(words: str) -> Sequence[int]:
        if quick is not None:
            return quick(words)
        return tokenizer(words, truncation=False, add_special_tokens=False, verbose=False).input_ids

    return cut_pieces(parse_emphasis(text, manner.emphasis), tokenize, ruler, manner.backtrack)


def read_texts(
    texts: Sequence[str],
    tokenizer: Any,
    encoder: Callable[..., Any],
    spec: EncoderSpec,
    manner: Manner,
    ruler: Ruler | None = None,
) -> list[Reading]:
    """What the encoder says of each text. Equal pieces are read once, as many at a time as `AT_ONCE` allows.

    `encoder` takes ids of shape (pieces, length), and `output_hidden_states` where the family needs an earlier state.
    `ruler` is what `measure` says of the tokenizer, where that is known.
    """
    ruler = ruler or measure(tokenizer, spec.length)
    cut = [cut_text(text, tokenizer, ruler, manner) for text in texts]
    rows = list(dict.fromkeys(piece.ids for pieces in cut for piece in pieces))
    filled = {piece.ids: ruler.filled(piece) for pieces in cut for piece in pieces} if spec.masked else None
    hidden: dict[tuple[int, ...], torch.Tensor] = {}
    pooled: dict[tuple[int, ...], torch.Tensor | None] = {}
    most = max(AT_ONCE // len(rows[0]), 1)
    for begin in range(0, len(rows), most):
        portion = rows[begin : begin + most]
        masks = None if filled is None or not spec.heedful else [filled[ids] for ids in portion]
        states, vectors = _read(portion, encoder, spec, manner.clip_skip, masks)
        hidden.update(zip(portion, states.unbind(), strict=True))
        pooled.update(zip(portion, [None] * len(portion) if vectors is None else vectors.unbind(), strict=True))
    return [
        Reading(
            torch.cat([weigh(hidden[piece.ids], piece.weights, manner.emphasis) for piece in pieces]),
            pooled[pieces[0].ids],
            len(pieces),
            None if filled is None else torch.cat([_mask(piece.ids, filled[piece.ids]) for piece in pieces]),
        )
        for pieces in cut
    ]


def _mask(ids: Sequence[int], filled: int) -> torch.Tensor:
    """1 for the first tokens, 0 for the others."""
    return (torch.arange(len(ids)) < filled).float()


def _read(
    rows: Sequence[tuple[int, ...]], encoder: Any, spec: EncoderSpec, clip_skip: int, filled: Sequence[int] | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """One call of the encoder: the hidden state of each row, and the vector of each.

    `filled` says how many tokens of each row count, where the encoder is told.
    """
    state = spec.state(clip_skip)
    # Number by number torch needs as long for a thousand tokens as the rest of their way here.
    ids = torch.frombuffer(array("q", chain.from_iterable(rows)), dtype=torch.long).reshape(len(rows), -1)
    named: dict[str, Any] = {} if state is None else {"output_hidden_states": True}
    if filled is not None:
        masks = [_mask(row, count) for row, count in zip(rows, filled, strict=True)]
        named["attention_mask"] = torch.stack(masks).long().to(encoder.device)
    output = encoder(ids.to(encoder.device), **named)
    vectors = None
    if spec.pooled:
        vectors = getattr(output, "text_embeds", None)
        vectors = output.pooler_output if vectors is None else vectors
    if state is None:
        found = getattr(output, "last_hidden_state", None)
        return output[0] if found is None else found, vectors
    states = output.hidden_states
    early = states[max(state, -len(states))]  # a shallow encoder has nothing earlier to give
    if spec.normed and state != spec.depth:
        early = getattr(encoder, "text_model", encoder).final_layer_norm(early)
    return early, vectors


def repeat_to(tensor: torch.Tensor, length: int) -> torch.Tensor:
    """(tokens, width) repeated to a multiple of its length.

    Attention over keys and values that are all there twice gives what it gives over them once, so a shorter text may
    stand beside a longer one without a mask.
    """
    return tensor if tensor.shape[0] == length else tensor.repeat(length // tensor.shape[0], 1)


def common_length(lengths: Collection[int]) -> int | None:
    """The length to which texts of these lengths are repeated so that all stand side by side: their least common
    multiple. None where that is more than `MOST_REPEATED` times the longest of them, as repeating costs arithmetic."""
    found = math.lcm(*lengths)
    return found if found <= MOST_REPEATED * max(lengths) else None


def even_out(readings: Sequence[Reading], blank: Callable[[int], Reading]) -> list[torch.Tensor]:
    """Hidden states of several encoders of one text, those with fewer pieces filled up with pieces of an empty text.

    `blank` gives the reading of an empty text by the encoder of that place.
    """
    most = max(reading.pieces for reading in readings)
    found = []
    for place, reading in enumerate(readings):
        missing = most - reading.pieces
        found.append(torch.cat([reading.hidden, *[blank(place).hidden] * missing]) if missing else reading.hidden)
    return found
