"""Where the parts of a model that is one file come from, when some of them are elsewhere.

What the file lacks is looked for in the folder beside it, `<name>.config`, which may hold for each part a folder
(config and weights, or a tokenizer) or weights alone as `<part>.safetensors`; text encoders also among the shared files
of the folder `text-encoders`, where they are known by their shapes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.contracts.errors import BrokenModel
from modules.sd_models.detect import DENOISER_ROOTS, below
from modules.sd_models.folders import DENOISERS, EYES, find_weights, read_weights
from modules.sd_models.header import SIDECAR, Header, read_header, read_json
from modules.sd_models.places import locate, naming_of, readers_of
from modules.support.paths import ROOT

CONFIGS = ROOT / "configs" / "model-configs"
SHARED = "text-encoders"
FOLDERS = {EYES: "image_encoder"}
"""What parts are called beside a file where that is not their name."""
FIRST = "stage_c"
STAGES = {"decoder": "stage_b", "vae": "stage_a"}
"""What the files of Stable Cascade are called, which draws by stage C first."""
LEVELS_UP = 4
"""How far above a file its installation's folder of shared text encoders is looked for."""
WIDTHS = {
    "sd3": {"text_encoder": 768, "text_encoder_2": 1280, "text_encoder_3": 4096},
    "flux": {"text_encoder": 768, "text_encoder_2": 4096},
    "flux-schnell": {"text_encoder": 768, "text_encoder_2": 4096},
    "flux-kontext": {"text_encoder": 768, "text_encoder_2": 4096},
    "flux-fill": {"text_encoder": 768, "text_encoder_2": 4096},
    "chroma": {"text_encoder": 4096},
    "pixart": {"text_encoder": 4096},
    "z-image": {"text_encoder": 2560},
    "lumina2": {"text_encoder": 2304},
    "hunyuan-dit": {"text_encoder": 1024, "text_encoder_2": 2048},
    "flux2": {"text_encoder": 5120},
    "flux2-klein": {"text_encoder": 2560},
    "kolors": {"text_encoder": 4096},
    "kandinsky5": {"text_encoder": 3584, "text_encoder_2": 768},
    "auraflow": {"text_encoder": 2048},
    "wan": {"text_encoder": 4096},
    "wan-ti2v": {"text_encoder": 4096},
    "wan-i2v": {"text_encoder": 4096},
    "ltx": {"text_encoder": 4096},
    "sana": {"text_encoder": 2304},
    "qwen-image": {"text_encoder": 3584},
    "qwen-image-edit": {"text_encoder": 3584},
    "qwen-image-edit-plus": {"text_encoder": 3584},
    "stable-cascade": {"text_encoder": 1280},
    "sdxl": {"text_encoder": 768, "text_encoder_2": 1280},
}
"""Widths of the text encoders that files of these families are often shared without."""
EMBEDDINGS = (
    "text_model.embeddings.token_embedding.weight",
    "embeddings.token_embedding.weight",
    "token_embedding.weight",
    "shared.weight",
    "encoder.embed_tokens.weight",
    "embed_tokens.weight",
    "embeddings.word_embeddings.weight",
    "embedding.word_embeddings.weight",
    "model.embed_tokens.weight",
    "model.language_model.embed_tokens.weight",
    "language_model.embed_tokens.weight",
)
BARE = (
    *("", "first_stage_model.", "vae.", "transformer.", "text_model.", "model.", "bert."),
    *("language_model.model.", "model.language_model."),
)
"""Levels above the names of files that are one part alone."""
PLAIN_MARKS = ("conv_in.weight", "transformer_blocks.", "visual_transformer_blocks.", "layers.")
"""Beginnings of names that every denoiser in the naming of diffusers has one of."""

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Source:
    """The weights of one part: a checked header, what the part's names begin with, and how they go on."""

    header: Header
    prefix: str
    naming: str
    folder: Path | None = None
    """The part's own folder, when it has one."""

    @property
    def shapes(self) -> Shapes:
        """Shapes of the part, names without the prefix."""
        return below(self.header.shapes, self.prefix)

    @property
    def bytes(self) -> int:
        """Bytes of the part in its files."""
        return sum(info.stop - info.start for info in below(self.header.tensors, self.prefix).values())


class Sources:
    """Finds the parts of the model in the file at `path`, of the given family."""

    def __init__(self, path: Path, family: str, folders: Sequence[Path] = ()) -> None:
        """`folders` hold shared text encoders; none given means those of the installation the file stands in."""
        self.path, self.family = path, family
        self.sidecar = path.with_suffix(SIDECAR)
        self.folders = tuple(folders) or tuple(_shared_folders(path))
        self._header = read_header(path)
        self.recipe = read_recipe(family)

    def find(self, part: str) -> Source | None:
        """Where the weights of `part` are; None when nowhere. Raises `BrokenModel` for what is there but broken."""
        if part in DENOISERS:
            return self._denoiser(part)
        place = locate(self._header.tensors, part, self.family)
        if place is not None:
            return Source(self._header, place.prefix, place.naming, self.config_folder(part))
        return self._beside(part) or self._stage(part) or self._among_shared(part)

    def config_folder(self, part: str) -> Path | None:
        """The part's folder beside the file."""
        folder = self._folder(part)
        return folder if folder.is_dir() else None

    def _folder(self, part: str) -> Path:
        return self.sidecar / FOLDERS.get(part, part)

    def missing(self, part: str) -> str:
        """The sentence for a person whose file lacks a part."""
        where = f"{self.sidecar.name}/{part}.safetensors beside it"
        if part == EYES:
            where = f"{self.sidecar.name}/{FOLDERS[part]} beside it, as it is in a diffusers folder"
        if part.startswith("text_encoder"):
            where += f", or into the folder {SHARED}"
        return f"{self.path.name} holds no {part}; put one into {where}."

    def _denoiser(self, part: str) -> Source | None:
        names = self._header.tensors
        marks = {
            "ldm": (
                "input_blocks.0.0.weight",
                "joint_blocks.",
                "double_blocks.",
                "double_layers.",
                "blocks.",
                "layers.0.attention.qkv.",
                "embedding.1.weight",
                "patchify_proj.",
            )
        }
        for naming, roots in DENOISER_ROOTS.items():
            for root in roots:
                begins = marks.get(naming, PLAIN_MARKS)
                if any(name.startswith(tuple(root + mark for mark in begins)) for name in names):
                    return Source(self._header, root, naming, self.config_folder(part))
        return None

    def _beside(self, part: str) -> Source | None:
        folder = self._folder(part)
        if folder.is_dir():
            try:
                find_weights(folder)
            except BrokenModel:
                return None  # only a config stands there
            header = read_weights(folder)
            return Source(header, "", naming_of(header.tensors) or "diffusers", folder)
        file = self.sidecar / f"{part}.safetensors"
        return read_bare(read_header(file)) if file.is_file() else None

    def _stage(self, part: str) -> Source | None:
        """The file of a further stage, which stands beside that of stage C under a name that is otherwise the same, or
        under its bare one."""
        letter = STAGES.get(part)
        if letter is None or FIRST not in self.path.stem:
            return None
        names = (self.path.name.replace(FIRST, letter), f"{letter}{self.path.suffix}")
        files = (self.path.with_name(name) for name in names)
        file = next((file for file in files if file.is_file()), None)
        return None if file is None else read_bare(read_header(file))

    def _among_shared(self, part: str) -> Source | None:
        width = WIDTHS.get(self.family, {}).get(part)
        if width is None:
            return None
        readers = readers_of(part, self.family)
        for folder in self.folders:
            for file in sorted(folder.glob("*.safetensors")):
                try:
                    source = read_bare(read_header(file))
                except BrokenModel:
                    continue  # the catalogue reports it; here another file may do
                if source is not None and source.naming in readers and _width(source.shapes) == width:
                    return source
        return None


def read_bare(header: Header) -> Source | None:
    """A file that is one part alone, with or without a level above its names; None for what is no part."""
    for prefix in BARE:
        naming = naming_of(below(header.tensors, prefix))
        if naming is not None:
            return Source(header, prefix, naming)
    return None


def _width(shapes: Shapes) -> int:
    return next((shapes[name][1] for name in EMBEDDINGS if name in shapes), 0)


def _shared_folders(path: Path) -> Iterator[Path]:
    for parent in [*list(path.parents)[:LEVELS_UP], ROOT / "models"]:
        if (parent / SHARED).is_dir():
            yield parent / SHARED


def read_recipe(family: str) -> dict[str, Any]:
    """The row of `configs/model-configs` for a family; one without its own shares that of what its name begins with:
    `sdxl-inpaint` has that of `sdxl`."""
    file = CONFIGS / f"{family}.json"
    if not file.is_file():
        file = CONFIGS / f"{family.partition('-')[0]}.json"
    if not file.is_file():
        raise BrokenModel(f"single files of the family {family} cannot be loaded; there is no configs/{file.name}.")
    return read_json(file)
