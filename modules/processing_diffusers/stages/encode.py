"""From words to what the denoiser is conditioned on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from modules.processing_diffusers.embeddings import Encoded
from modules.processing_diffusers.families.base import Embedding
from modules.processing_diffusers.job import Job

SPECIAL = 2
"""Tokens that begin and end a sequence."""


@dataclass(frozen=True, slots=True)
class Words:
    """Prompt and negative prompt of each picture of a batch."""

    prompts: Sequence[str]
    negatives: Sequence[str]


def encode_words(job: Job, words: Words, cfg_scale: float) -> dict[str, Any]:
    """Arguments of the pipeline's call. Texts that were encoded lately are taken from memory.

    What is too long for the text encoder is left out, and the person is told.
    """
    adapter = job.model.adapter
    guided = adapter.is_guided(cfg_scale)
    texts = list(dict.fromkeys([*words.prompts, *(words.negatives if guided else ())]))
    known = _encode(job, texts, job.plan.request.prompt.clip_skip)
    for text in texts:
        if known[text].left_out:
            job.strand.note(
                f"The prompt is too long for {job.model.family.label}; this was left out: {known[text].left_out}"
            )
    positive = [known[text].embedding for text in words.prompts]
    if not guided:
        return adapter.condition(positive, None)
    negative = [known[text].embedding if text else adapter.empty(known[text].embedding) for text in words.negatives]
    return adapter.condition(positive, negative)


def _encode(job: Job, texts: Sequence[str], clip_skip: int) -> dict[str, Encoded]:
    cache, known = job.model.embeddings, {}
    for text in texts:
        found = cache.get((text, clip_skip))
        if found is not None:
            known[text] = found
    missing = [text for text in texts if text not in known]
    if missing:
        with torch.no_grad():
            embedded: list[Embedding] = job.model.adapter.embed(job.pipeline, missing, clip_skip)
        for text, embedding in zip(missing, embedded, strict=True):
            known[text] = Encoded({key: value.clone() for key, value in embedding.items()}, find_left_out(job, text))
            cache.put((text, clip_skip), known[text])
    return known


def find_left_out(job: Job, text: str) -> str:
    """The end of a text that its encoder does not see; empty when all fits."""
    adapter = job.model.adapter
    names = adapter.word_tokenizers
    name = next((each for each in names if getattr(job.pipeline, each, None) is not None), None)
    if name is None:
        return ""
    tokenizer = getattr(job.pipeline, name)
    limit = int(tokenizer.model_max_length)
    if adapter.longest is not None and name == names[0]:  # it does not hold for what stands in for the best one
        limit = min(limit, adapter.longest)
    if len(text) <= limit - SPECIAL:  # a token is at least one character
        return ""
    tokens = tokenizer(text, truncation=False, add_special_tokens=False, verbose=False).input_ids
    room = limit - SPECIAL
    return str(tokenizer.batch_decode([tokens[room:]])[0]).strip() if len(tokens) > room else ""
