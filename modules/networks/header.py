"""What the header of a network's file tells: method, rank, trigger words, alias, and for which models it was made.

Read with the standard library only; no weight is touched.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping

from modules.contracts.networks import NetworkFacts, NetworkKind
from modules.networks.parameters import METHODS, split_key
from modules.networks.vector_files import bundles_of

MAX_WORDS = 200
"""Trigger words that are kept."""
MAX_METADATA = 4000
"""Characters of one value of the metadata that are handed out."""
STAGED = 4
"""Axes of the blocks of a butterfly."""
Shapes = Mapping[str, tuple[int, ...]]

ARCHITECTURES = (
    ("stable-diffusion-xl", "sdxl"),
    ("sdxl", "sdxl"),
    ("stable-diffusion-v3", "sd3"),
    ("stable-diffusion-3", "sd3"),
    ("sd3", "sd3"),
    ("flux", "flux"),
    ("stable-diffusion-v2", "sd2"),
    ("sd_v2", "sd2"),
    ("sd_2", "sd2"),
    ("stable-diffusion-v1", "sd15"),
    ("sd_v1", "sd15"),
    ("sd_1", "sd15"),
)
"""Beginnings or parts of what trainers write for the base model, and the family's id."""
STATED = ("ss_base_model_version", "modelspec.architecture")


def facts_of(kind: NetworkKind, shapes: Shapes, metadata: Mapping[str, str]) -> NetworkFacts:
    """Everything that the header says. Metadata that makes no sense counts as none."""
    short = {key: value for key, value in metadata.items() if len(value) <= MAX_METADATA}
    if kind == "embedding":
        first = next(iter(shapes.values()))
        vectors = first[0] if len(first) > 1 else 1
        return NetworkFacts(("Textual inversion",), base_of_vectors(shapes), vectors, first[-1], (), short)
    base, bundled = base_of(shapes, metadata), bundles_of(shapes)
    words = (*((name, 0) for name in bundled), *words_of(metadata))[:MAX_WORDS]
    methods = methods_of(shapes) + (("Textual inversion",) if bundled else ())
    return NetworkFacts(methods, base, rank_of(shapes), None, words, short)


def methods_of(shapes: Shapes) -> tuple[str, ...]:
    """Names of the methods that a file's tensors belong to, in the order of the table."""
    found = set()
    for name, shape in shapes.items():
        part = split_key(name)
        if part and part[1] in METHODS:
            # A butterfly is OFT in several stages, under the same name.
            found.add("BOFT" if part[1] == "oft_blocks" and len(shape) == STAGED else METHODS[part[1]])
    return tuple(name for name in dict.fromkeys(METHODS.values()) if name in found)


def rank_of(shapes: Shapes) -> int | None:
    """The commonest rank of its low-rank pairs; None where it has none."""
    ranks: Counter[int] = Counter()
    for name, shape in shapes.items():
        part = split_key(name)
        if part and part[1] in ("down", "hada_w1_b", "lokr_w1_b", "lokr_w2_b") and shape:
            ranks[shape[0]] += 1
        elif part and part[1] == "a1" and len(shape) > 1:
            ranks[min(shape[:2])] += 1
    return ranks.most_common(1)[0][0] if ranks else None


def words_of(metadata: Mapping[str, str]) -> tuple[tuple[str, int], ...]:
    """Words of `ss_tag_frequency` (kohya's trainer) over all its folders; else those of `modelspec.trigger_phrase`."""
    counts: Counter[str] = Counter()
    try:
        folders = json.loads(metadata.get("ss_tag_frequency", "{}"))
    except (ValueError, RecursionError):
        folders = {}
    for words in folders.values() if isinstance(folders, dict) else ():
        for word, count in words.items() if isinstance(words, dict) else ():
            if type(count) is int and count > 0:
                counts[word.strip()] += count
    if not counts and (phrase := metadata.get("modelspec.trigger_phrase", "").strip()):
        return tuple((word.strip(), 1) for word in phrase.split(",") if word.strip())[:MAX_WORDS]
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MAX_WORDS])


def alias_of(name: str, metadata: Mapping[str, str]) -> str:
    """`ss_output_name`, else the title of modelspec, else the name."""
    for key in ("ss_output_name", "modelspec.title"):
        if alias := metadata.get(key, "").strip():
            return alias[:MAX_METADATA]
    return name


def base_of(shapes: Shapes, metadata: Mapping[str, str]) -> str | None:
    """The family's id: what the trainer wrote, else what names and widths of layers say."""
    for key in STATED:
        stated = metadata.get(key, "").lower()
        found = next((family for word, family in ARCHITECTURES if word in stated), None)
        if found:
            return found
    names = " ".join(shapes)
    if "joint_blocks" in names or "transformer_blocks_37_attn_add" in names:
        return "sd3"
    if "double_blocks" in names or "single_transformer_blocks" in names:
        return "flux"
    if "lora_te2_" in names or "text_encoder_2." in names or "input_blocks_8_1_transformer_blocks_9" in names:
        return "sdxl"
    for name, shape in shapes.items():
        part = split_key(name)
        if part and part[1] == "down" and "attn2" in name and ("to_k" in name or "to_v" in name):
            return {768: "sd15", 1024: "sd2", 2048: "sdxl"}.get(math.prod(shape[1:]))
    return None


def base_of_vectors(shapes: Shapes) -> str | None:
    """The family whose text encoder is as wide as these vectors."""
    if "clip_g" in shapes and "clip_l" in shapes:
        return "sdxl"
    widths = {shape[-1] for shape in shapes.values() if shape}
    return {768: "sd15", 1024: "sd2"}.get(widths.pop()) if len(widths) == 1 else None
