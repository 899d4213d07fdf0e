"""The words of a request, and how they are read."""

from __future__ import annotations

from dataclasses import dataclass

from modules.contracts.parameters import param

EMPHASIS_MODES = ("None", "Ignore", "Original", "No norm")
AREAS = "Where each prompt that AND joins counts: columns 1:2:1, rows 1:1 or rectangles 0 0 0.5 1, 0.5 0 1 1."


@dataclass(frozen=True, slots=True)
class PromptParams:
    """The words."""

    text: str = param("", "Prompt", legacy="prompt")
    negative: str = param("", "Negative prompt", legacy="negative_prompt")
    styles: tuple[str, ...] = param((), "Styles", legacy="styles")
    clip_skip: int = param(
        1,
        "Clip skip",
        help="1 uses the text encoder's last layer, 2 the one before it, and so on.",
        minimum=1,
        maximum=12,
        step=1,
        legacy="clip_skip",
        override="CLIP_stop_at_last_layers",
        infotext="Clip skip",
    )
    second: str = param(
        "",
        "Prompt for the second text encoder",
        help="Empty gives it the prompt.",
        legacy="prompt_2",
        infotext="Prompt 2",
    )
    third: str = param(
        "",
        "Prompt for the third text encoder",
        help="Empty gives it the prompt.",
        legacy="prompt_3",
        infotext="Prompt 3",
    )
    negative_second: str = param(
        "",
        "Negative prompt for the second text encoder",
        help="Empty gives it the negative prompt.",
        legacy="negative_prompt_2",
        infotext="Negative prompt 2",
    )
    negative_third: str = param(
        "",
        "Negative prompt for the third text encoder",
        help="Empty gives it the negative prompt.",
        legacy="negative_prompt_3",
        infotext="Negative prompt 3",
    )
    emphasis: str = param(
        "Original",
        "Emphasis mode",
        help="How weights in prompts work: None reads brackets as characters, Ignore drops them, Original keeps the "
        "mean of what the encoder says, No norm does not.",
        choices=EMPHASIS_MODES,
        legacy="emphasis",
        override="emphasis",
        infotext="Emphasis",
    )
    comma_backtrack: int = param(
        20,
        "Comma backtracking, tokens",
        help="A piece of a long prompt ends at a comma that is at most so many tokens back; 0 cuts anywhere.",
        minimum=0,
        maximum=75,
        step=1,
        legacy="comma_padding_backtrack",
        override="comma_padding_backtrack",
        infotext="Comma padding backtrack",
    )
    no_networks: bool = param(
        False,
        "Leave extra networks out",
        help="Tags of networks in prompts are read and change nothing.",
        legacy="disable_extra_networks",
        infotext="Disable extra networks",
    )
    areas: str = param("", "Prompt areas", help=AREAS, legacy="prompt_areas", infotext="Prompt areas")


NO_WORDS = PromptParams()
