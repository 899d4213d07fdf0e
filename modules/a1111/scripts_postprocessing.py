"""A1111's `modules.scripts_postprocessing`: the base of scripts for the extras tab, and the picture they work on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class PostprocessedImageSharedInfo:
    """What scripts tell each other of a picture: the size that it is to have, in pixels, where one knows it."""

    target_width: int | None = None
    target_height: int | None = None


class PostprocessedImage:
    """One picture on its way through all scripts. `image` is PIL, `info` goes into its infotext."""

    def __init__(self, image: Any) -> None:
        self.image = image
        self.info: dict[str, Any] = {}
        self.shared = PostprocessedImageSharedInfo()
        self.extra_images: list[Any] = []
        self.nametags: list[str] = []
        self.disable_processing = False
        self.caption: str | None = None

    def get_suffix(self, used_suffixes: dict[str, int] | None = None) -> str:
        """The nametags joined, with a number where `used_suffixes` has them already; it is noted there."""
        used = {} if used_suffixes is None else used_suffixes
        suffix = "-".join(self.nametags)
        head = f"-{suffix}" if suffix else ""
        if suffix not in used:
            used[suffix] = 1
            return head
        while f"{suffix}-{used[suffix]}" in used:
            used[suffix] += 1
        numbered = f"{suffix}-{used[suffix]}" if suffix else str(used[suffix])
        used[numbered] = 1
        return f"-{numbered}"

    def create_copy(self, new_image: Any, *, nametags: Any = None, disable_processing: bool = False) -> Any:
        """Another picture with the same facts, for `extra_images`."""
        made = PostprocessedImage(new_image)
        made.shared, made.info = self.shared, dict(self.info)
        made.nametags = [*self.nametags, *(nametags or ())]
        made.disable_processing = disable_processing
        return made


class ScriptPostprocessing:
    """Base of such scripts; lower orders come first, and A1111's own upscaler is 1000."""

    filename: str | None = None
    controls: Any = None
    args_from: int | None = None
    args_to: int | None = None
    order = 1000
    name: str | None = None
    group: Any = None

    def ui(self) -> Any:
        """Its inputs by the names that `process` has for them."""

    def process(self, pp: PostprocessedImage, **args: Any) -> None:
        """Change the picture."""

    def process_firstpass(self, pp: PostprocessedImage, **args: Any) -> None:
        """Look at the picture as it was given, before any script's `process`."""

    def image_changed(self) -> None:
        """The person has chosen another picture; never called here."""
