"""Language models that read whole prompts: what they say is what the library's own pipelines make of the text."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from diffusers import Flux2Pipeline, KolorsPipeline
from transformers import Mistral3ForConditionalGeneration, PixtralProcessor

from modules.processing_diffusers.families.flux2 import Flux2Adapter
from modules.processing_diffusers.families.kolors import KolorsAdapter
from modules.sd_models.components import find_class
from modules.sd_models.vocabulary import read_tokenizer

TEXTS = ["a red circle", "", "the cat and [IMG] the dog, of " + "white and blue " * 40]


class Direct:
    """A text encoder that is heard through its adapter, as in a lane."""

    def __init__(self, adapter, encoder):
        self._adapter, self._encoder = adapter, encoder
        self.device = torch.device("cpu")

    def __call__(self, **arguments):
        with torch.no_grad():
            return self._adapter.hear(self._encoder, **arguments)


@pytest.mark.parametrize("text", TEXTS)
def test_mistral_is_asked_as_flux2_was_trained(tiny_flux2_folder, text):
    folder = tiny_flux2_folder
    whole = Mistral3ForConditionalGeneration.from_pretrained(folder / "text_encoder").eval()
    processor = PixtralProcessor.from_pretrained(folder / "tokenizer")
    adapter = Flux2Adapter()
    with torch.no_grad():
        theirs = Flux2Pipeline._get_mistral_3_small_prompt_embeds(
            whole, processor, text, hidden_states_layers=[1, 2, 3]
        )
    inner = whole.model.language_model
    assert type(inner) is find_class("Mistral3ForConditionalGeneration")
    parts = SimpleNamespace(
        tokenizer=read_tokenizer("PixtralProcessor", folder / "tokenizer"), text_encoder=Direct(adapter, inner)
    )
    (ours,) = adapter.embed(parts, [text], 1)
    assert torch.isfinite(theirs).all()
    assert torch.equal(ours["embeds"], theirs[0])


@pytest.mark.parametrize("text", TEXTS)
def test_chatglm_reads_as_for_kolors(tiny_kolors_folder, text):
    pipeline = KolorsPipeline.from_pretrained(tiny_kolors_folder)
    with torch.no_grad():
        words, _, whole, _ = pipeline.encode_prompt(text, do_classifier_free_guidance=False)
    adapter = KolorsAdapter()
    tokenizer = read_tokenizer("ChatGLMTokenizer", tiny_kolors_folder / "tokenizer")
    parts = SimpleNamespace(tokenizer=tokenizer, text_encoder=Direct(adapter, pipeline.text_encoder))
    (ours,) = adapter.embed(parts, [text], 1)
    assert torch.isfinite(words).all()
    assert torch.equal(ours["embeds"], words[0])
    assert torch.equal(ours["pooled"], whole[0])
