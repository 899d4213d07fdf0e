"""The bodies of OpenAI's image API: what may be asked, what of it has an effect here, and what is answered with a note.

Words that OpenAI's clients send are taken; any other is an error, as there.
"""

from __future__ import annotations

from typing import Literal

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Field

from modules.contracts.errors import InvalidRequest, UnsupportedFeature

LONGEST_PROMPT = 32_000
MOST = 10
"""Pictures of one call, as in OpenAI's API."""
Format = Literal["png", "jpeg", "webp"]
Quality = Literal["auto", "standard", "hd", "low", "medium", "high"]
SHARE_OF_STEPS = {"low": 0.5, "hd": 2.0, "high": 2.0}
"""How much of the ordinary number of steps is taken; of a quality that is not here, all."""
OF_FILES = ("jpeg", "webp")
"""Formats that may be smaller and worse."""


class Wanted(BaseModel):
    """What words and pictures alike may be asked with."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())
    prompt: str = Field(min_length=1, max_length=LONGEST_PROMPT, examples=["a red circle on a white background"])
    model: str | None = Field(None, max_length=500, description="One of `/v1/models`; left out it is the current one.")
    n: int | None = Field(None, ge=1, le=MOST, description="Pictures.")
    size: str | None = Field(None, max_length=20, examples=["512x512"], description="Width x height, or auto.")
    quality: Quality | None = Field(None, description="low takes half the steps, high and hd take twice as many.")
    response_format: Literal["b64_json", "url"] | None = Field(
        None, description="With url pictures are kept in the gallery; their addresses ask for the same credentials."
    )
    output_format: Format | None = Field(None, description="As the settings say where it is left out.")
    output_compression: int | None = Field(None, ge=0, le=100, description="Quality of jpeg and webp; 100 is best.")
    background: Literal["auto", "opaque", "transparent"] | None = Field(None, description="Refused if transparent.")
    moderation: Literal["auto", "low"] | None = Field(None, description="There is none; a note says so.")
    user: str | None = Field(None, max_length=1000, description="Not looked at and not kept; a note says so.")

    def steps(self, usual: int) -> int:
        """Denoiser steps for the quality, of a model that is drawn with `usual` ones; at least one."""
        return max(1, round(usual * SHARE_OF_STEPS.get(self.quality or "auto", 1.0)))

    def told_quality(self) -> str:
        """The quality in the words of an answer."""
        return {"low": "low", "hd": "high", "high": "high"}.get(self.quality or "auto", "medium")

    def file_quality(self, form: str) -> int | None:
        """Quality of the files, 1 to 100; None leaves it to the settings. Raises `InvalidRequest` for one of `png`."""
        if self.output_compression is None:
            return None
        if form not in OF_FILES:
            raise InvalidRequest(f"output_compression is for {' and '.join(OF_FILES)}; the pictures are {form}.")
        return max(1, self.output_compression)

    def check(self) -> None:
        """Raise `UnsupportedFeature` for what would make another picture and cannot be made."""
        if self.background == "transparent":
            raise UnsupportedFeature("background is transparent; pictures are opaque here; auto and opaque are taken.")

    def notes(self) -> list[str]:
        """Sentences on what changes nothing."""
        notes = []
        if self.moderation is not None:
            notes.append("moderation: this studio moderates nothing, whatever is asked.")
        if self.user is not None:
            notes.append("user: it is not looked at and not kept; who asks is told by the credentials.")
        return notes


class ImagesWanted(Wanted):
    """Draw from words."""

    style: Literal["vivid", "natural"] | None = Field(None, description="Changes nothing; a note says so.")
    stream: bool | None = Field(None, description="Refused when true.")
    partial_images: int | None = Field(None, ge=0, le=3, description="Refused above 0, as there is no stream.")

    def check(self) -> None:
        """As of any; nor is there a stream."""
        super().check()
        if self.stream or self.partial_images:
            raise UnsupportedFeature("stream is true; follow the job's events instead (Prefer: respond-async).")

    def notes(self) -> list[str]:
        """As of any, and on the style."""
        style = [] if self.style is None else ["style: models have none to choose from; say it in the prompt."]
        return [*style, *super().notes()]


class EditWanted(Wanted):
    """Draw from words and a picture; with a mask, only where the mask is transparent."""

    image: list[UploadFile] = Field(min_length=1, max_length=1)
    mask: UploadFile | None = None
    input_fidelity: Literal["high", "low"] | None = Field(None, description="Changes nothing; a note says so.")

    def notes(self) -> list[str]:
        """As of any, and on the fidelity."""
        given = self.input_fidelity is not None
        fidelity = ["input_fidelity: it changed nothing; a mask keeps what it covers to the last bit."] if given else []
        return [*fidelity, *super().notes()]
