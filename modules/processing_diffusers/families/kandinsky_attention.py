"""Attention of Kandinsky 5 that passes over what fills texts up, so that texts of several lengths may share a call.

The library's own knows no mask, and rounds what it turns by place to bfloat16 whatever the precision; here it stays in
that of the model, so that a call for several jobs says to each what its own call would have said.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from diffusers.models.attention_dispatch import dispatch_attention_fn

_seen: contextvars.ContextVar[torch.Tensor | None] = contextvars.ContextVar("words that are seen", default=None)


@contextlib.contextmanager
def words_hidden(mask: torch.Tensor) -> Iterator[None]:
    """Within the block, of this thread, forwards see those words alone for which `mask` (B, tokens) holds."""
    token = _seen.set(None if bool(mask.all()) else mask[:, None, None, :])
    try:
        yield
    finally:
        _seen.reset(token)


def hear_texts(denoiser: Any) -> None:
    """Give every layer of a `Kandinsky5Transformer3DModel` this attention; without a mask it computes what it did."""
    for block in denoiser.text_transformer_blocks:
        block.self_attention.set_processor(WordAttention(of_words=True))
    for block in denoiser.visual_transformer_blocks:
        block.self_attention.set_processor(WordAttention(of_words=False))
        block.cross_attention.set_processor(WordAttention(of_words=True))


class WordAttention:
    """A processor of `Kandinsky5Attention`."""

    _attention_backend: ClassVar[Any] = None
    _parallel_config: ClassVar[Any] = None

    def __init__(self, *, of_words: bool) -> None:
        """`of_words`: what is looked at are words."""
        self._of_words = of_words

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        rotary_emb: torch.Tensor | None = None,
        sparse_params: Any = None,
    ) -> torch.Tensor:
        """What the layer says of (B, tokens, width) `hidden_states` that look at each other, or at the words."""
        seen = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        given = ((attn.to_query, hidden_states), (attn.to_key, seen), (attn.to_value, seen))
        query, key, value = (layer(tokens).unflatten(-1, (attn.num_heads, -1)) for layer, tokens in given)
        query, key = attn.query_norm(wide(query)).type_as(query), attn.key_norm(wide(key)).type_as(key)
        if rotary_emb is not None:
            query, key = turned(query, rotary_emb), turned(key, rotary_emb)
        answer = dispatch_attention_fn(
            query,
            key,
            value,
            attn_mask=_seen.get() if self._of_words else None,
            backend=self._attention_backend,
            parallel_config=self._parallel_config,
        )
        said: torch.Tensor = attn.out_layer(answer.flatten(-2))
        return said


def wide(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in 32 bits at least."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def turned(heads: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """(B, tokens, heads, width) with neighbouring numbers turned by the two by two matrices of each token's place."""
    pairs = wide(heads).unflatten(-1, (-1, 1, 2))
    return (places * pairs).sum(dim=-1).flatten(-2).type_as(heads)
