"""Tags of networks that a request leaves out are read and change nothing."""

from __future__ import annotations

from modules.contracts.request import GenerationRequest, HiresParams, PromptParams
from modules.prompts.words import Resolver, Sources


def test_tags_are_read_and_nothing_is_asked_for():
    for no_networks, names in ((False, (["x"], ["y"])), (True, ([], []))):
        request = GenerationRequest(
            prompt=PromptParams("a cat <lora:x:0.5>", no_networks=no_networks),
            hires=HiresParams(enabled=True, prompt="a dog <lora:y>"),
        )
        said = Resolver(request, Sources(), []).resolve(1)
        assert ([tag.name for tag in said.networks], [tag.name for tag in said.hires_networks]) == names
        assert said.prompt == "a cat <lora:x:0.5>"
