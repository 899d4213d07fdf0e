"""What encoders are given and what is made of it, against a plain re-statement of the method, on the pocket encoder."""

from __future__ import annotations

import re

import pytest
import torch

from modules.prompts.encoding import EncoderSpec, Manner, read_texts, repeat_to
from modules.prompts.weighting import weigh
from modules.support.paths import ROOT

POCKET = ROOT / "models" / "pocket"
PROMPTS = {
    "plain": "a red circle on a white background",
    "empty": "",
    "weights": "a (red:1.4) circle on a [white] ((background))",
    "long": "a large red circle, two blue squares, " * 12 + "on a white background",
    "broken": "a red circle BREAK (a blue square:1.3) BREAK on white",
    "escaped": r"a \(red\) circle (on \[white\]:0.7)",
    "negative": "a (red:-1) circle",
}


@pytest.fixture(scope="module")
def clip():
    from transformers import CLIPTextModel, CLIPTokenizer

    encoder = CLIPTextModel.from_pretrained(POCKET / "text_encoder", dtype=torch.float32).eval()
    return CLIPTokenizer.from_pretrained(POCKET / "tokenizer"), encoder


def state(prompt):
    """Weighted words of a prompt whose brackets all close, by hand: a stack of factors, characters one by one."""
    factors, found, place = [1.0], [], 0
    while place < len(prompt):
        rest = prompt[place:]
        close = re.match(r":(-?[\d.]+)\)", rest)
        if rest[0] == "\\":
            found.append([rest[1], list(factors)])
            place += 2
        elif rest[0] in "([":
            # What the bracket multiplies with is only known at its end, so it is put in as a list that is filled there.
            factors = [*factors, [None, rest[0]]]
            place += 1
        elif close or rest[0] in ")]":
            factors[-1][0] = float(close[1]) if close else (1.1 if rest[0] == ")" else 1 / 1.1)
            factors = factors[:-1]
            place += close.end() if close else 1
        else:
            found.append([rest[0], list(factors)])
            place += 1
    runs = []
    for letter, chain in found:
        weight = 1.0
        for factor in chain:
            weight *= factor if isinstance(factor, float) else factor[0]
        if runs and runs[-1][1] == weight:
            runs[-1][0] += letter
        else:
            runs.append([letter, weight])
    return runs


def restated(prompt, tokenizer, encoder, backtrack=20, norm=True, skip=1):
    """A1111's method, said again: runs of weight, tokens one after the other, pieces, means kept."""
    room = tokenizer.model_max_length - 2
    comma = tokenizer.convert_tokens_to_ids(",</w>")
    pieces, piece = [], []
    for text, weight in state(prompt) or [["", 1.0]]:
        for number, part in enumerate(re.split(r"\s*\bBREAK\b\s*", text)):
            if number:
                pieces.append(piece)
                piece = []
            for token in tokenizer(part, add_special_tokens=False).input_ids:
                if len(piece) == room:
                    at = max((n for n, (known, _) in enumerate(piece) if known == comma), default=None)
                    if token != comma and at is not None and room - at <= backtrack:
                        pieces.append(piece[: at + 1])
                        piece = piece[at + 1 :]
                    if len(piece) == room:
                        pieces.append(piece)
                        piece = []
                piece.append((token, weight))
    if piece or not pieces:
        pieces.append(piece)
    done = []
    for each in pieces:
        fill = room - len(each)
        end = tokenizer.eos_token_id
        ids = [tokenizer.bos_token_id, *(token for token, _ in each), end, *[end] * fill]
        weights = torch.tensor([1.0, *(weight for _, weight in each), 1.0, *[1.0] * fill])
        with torch.no_grad():
            output = encoder(torch.tensor([ids]), output_hidden_states=True)
            z = output.last_hidden_state
            if skip > 1:
                z = getattr(encoder, "text_model", encoder).final_layer_norm(output.hidden_states[-skip])
        mean = z.mean()
        z = z * weights[None, :, None]
        if norm:
            z = z * (mean / z.mean())
        done.append(z)
    return torch.hstack(done)[0]


SPEC = EncoderSpec("tokenizer", "text_encoder", skips=True, normed=True)


@pytest.mark.parametrize("name", PROMPTS)
@pytest.mark.parametrize(
    "manner", [Manner(), Manner("No norm"), Manner(clip_skip=2), Manner(backtrack=0), Manner(backtrack=6)]
)
def test_encodings_are_those_of_the_method(clip, name, manner):
    tokenizer, encoder = clip
    with torch.no_grad():
        (reading,) = read_texts([PROMPTS[name]], tokenizer, encoder, SPEC, manner)
    wanted = restated(
        PROMPTS[name], tokenizer, encoder, manner.backtrack, manner.emphasis == "Original", manner.clip_skip
    )
    assert reading.hidden.shape == wanted.shape
    torch.testing.assert_close(reading.hidden, wanted, rtol=0, atol=1e-4)


def test_ignored_and_literal_emphasis(clip):
    tokenizer, encoder = clip

    def read(text, mode):
        with torch.no_grad():
            return read_texts([text], tokenizer, encoder, SPEC, Manner(mode))[0].hidden

    plain = read("a red circle", "Original")
    torch.testing.assert_close(read("a (red:1.4) circle", "Ignore"), plain)
    assert (read("a (red:1.4) circle", "Original") - plain).abs().max() > 0.01
    literal = read("a (red:1.4) circle", "None")
    assert literal.shape == plain.shape
    torch.testing.assert_close(literal, restated(r"a \(red:1.4\) circle", tokenizer, encoder))


def test_a_thousand_tokens_and_equal_pieces_once(clip):
    tokenizer, encoder = clip
    calls = []

    class Counting:
        device = torch.device("cpu")

        def __call__(self, ids, **named):
            calls.append(tuple(ids.shape))
            return encoder(ids, **named)

    text = "red " * 1000
    with torch.no_grad():
        first, second = read_texts([text, f"{text} BREAK blue"], tokenizer, Counting(), SPEC, Manner())
    assert first.pieces == 27
    assert first.hidden.shape[0] == 27 * 40
    assert second.pieces == 28
    # All full pieces are the same, so there are a full one, the one that is left over, and the one behind the break.
    assert sum(rows for rows, _ in calls) == 3


def test_pooled_vectors_are_the_first_pieces(clip):
    tokenizer, encoder = clip
    spec = EncoderSpec("tokenizer", "text_encoder", pooled=True)
    with torch.no_grad():
        short, long = read_texts(["a red", "a red BREAK a blue"], tokenizer, encoder, spec, Manner())
        whole = encoder(tokenizer("a red", padding="max_length", return_tensors="pt").input_ids).pooler_output[0]
    torch.testing.assert_close(short.pooled, whole)
    torch.testing.assert_close(long.pooled, whole)


def test_weights_that_weigh_nothing_change_no_bit():
    hidden = torch.randn(4, 3)
    assert weigh(hidden, (1.0, 1.0, 1.0, 1.0), "Original") is hidden
    still = weigh(torch.zeros(4, 3), (1.0, 2.0, 1.0, 1.0), "Original")
    assert torch.isfinite(still).all()


def test_attention_over_a_text_that_is_there_twice_is_the_same():
    query, text = torch.randn(1, 5, 8), torch.randn(3, 8)
    once = torch.nn.functional.scaled_dot_product_attention(query, text[None], text[None])
    twice = repeat_to(text, 9)[None]
    again = torch.nn.functional.scaled_dot_product_attention(query, twice, twice)
    torch.testing.assert_close(once, again)
