"""What helps with prompts: styles, wildcards by name, and the number of tokens."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field, model_validator

from modules.api.fields import sound_text
from modules.api.jobs import REFUSED
from modules.api.services import Admin, Services
from modules.contracts.prompts import Style
from modules.contracts.validation import MAX_PROMPT_CHARACTERS

router = APIRouter(tags=["prompts"])


class PromptStyleItem(BaseModel):
    """A style. `{prompt}` in it is where the prompt goes; without it the style follows after a comma."""

    name: str = Field(examples=["oil"])
    prompt: str | None = Field(None, examples=["oil painting of {prompt}"])
    negative_prompt: str | None = Field(None, examples=["photo"])


class _Sound(BaseModel):
    @model_validator(mode="before")
    @classmethod
    def _sound(cls, data: Any) -> Any:
        return sound_text(data)


class StyleWanted(_Sound):
    """The words of a style."""

    prompt: str = Field("", max_length=MAX_PROMPT_CHARACTERS, examples=["oil painting of {prompt}"])
    negative_prompt: str = Field("", max_length=MAX_PROMPT_CHARACTERS, examples=["photo"])


class WildcardList(BaseModel):
    """Names that may stand between double underscores."""

    wildcards: list[str] = Field(examples=[["animals", "colours/warm"]])


class TokensWanted(_Sound):
    """A prompt to be counted."""

    text: str = Field("", max_length=MAX_PROMPT_CHARACTERS, examples=["a red circle on a white background"])
    model: str | None = Field(
        None, max_length=1000, description="Whose tokens; null is the default model.", examples=["pocket"]
    )
    steps: int = Field(20, ge=1, le=1000, description="Where the prompt changes with the steps, the longest counts.")


class TokensCounted(BaseModel):
    """What a prompt comes to."""

    tokens: int = Field(description="Its tokens; a piece that a break ends counts whole.", examples=[7])
    limit: int = Field(description="The room of the pieces that it takes.", examples=[75])
    pieces: int = Field(description="How many sequences the text encoder reads for it.", examples=[1])


@router.get("/sdapi/v1/prompt-styles")
def prompt_styles(studio: Services) -> list[PromptStyleItem]:
    """All styles. A request names them in `styles`."""
    return [
        PromptStyleItem(name=style.name, prompt=style.prompt, negative_prompt=style.negative)
        for style in studio.prompts.styles()
    ]


Name = Annotated[str, Path(max_length=200, description="The style's name.", examples=["oil"])]


@router.put("/api/v1/styles/{name}", responses={403: REFUSED[403]})
def keep_style(studio: Services, admin: Admin, name: Name, wanted: StyleWanted) -> PromptStyleItem:
    """Keep a style, in place of one of that name. For admins: styles are everybody's."""
    sound_name = str(sound_text(name))
    studio.prompts.keep_style(Style(sound_name, wanted.prompt, wanted.negative_prompt))
    return PromptStyleItem(name=sound_name, prompt=wanted.prompt, negative_prompt=wanted.negative_prompt)


@router.delete("/api/v1/styles/{name}", responses={403: REFUSED[403], 404: REFUSED[404]})
def drop_style(studio: Services, admin: Admin, name: Name) -> PromptStyleItem:
    """Forget a style that the studio keeps itself; those of other files stay. For admins."""
    studio.prompts.drop_style(name)
    return PromptStyleItem(name=name, prompt=None, negative_prompt=None)


@router.get("/api/v1/wildcards")
def wildcards(studio: Services) -> WildcardList:
    """Names of all wildcards."""
    return WildcardList(wildcards=list(studio.prompts.wildcards()))


@router.post("/api/v1/tokens")
def tokens(studio: Services, wanted: TokensWanted) -> TokensCounted:
    """Count a prompt's tokens. The model need not be loaded."""
    counted = studio.prompts.count(wanted.text, wanted.model, wanted.steps)
    return TokensCounted(tokens=counted.tokens, limit=counted.limit, pieces=counted.pieces)
