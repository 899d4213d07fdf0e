"""Networks beside a model, LoRA and its kin and embeddings, in A1111's words and in ours. Rows name no places."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from modules.api.jobs import CLEAN, REFUSED
from modules.api.paging import Page, Paging, cut, matches
from modules.api.services import Member, Services
from modules.contracts.errors import UnknownModel
from modules.contracts.networks import NetworkEntry
from modules.support.studio import Studio

router = APIRouter(tags=["catalogue"])
PROBLEM = "Why it cannot be used, as one sentence; null when it can."
WORDS_IN_LIST = 20
"""Trigger words of one row of a list; the row by itself has them all."""
Kind = Literal["lora", "embedding"]


class LoraItem(BaseModel):
    """A network as A1111 lists it. Prompts name it by `name` or `alias`."""

    name: str = Field(examples=["watercolour"])
    alias: str = Field(examples=["Watercolour v2"])
    path: str = Field(description="Name of the file.", examples=["watercolour.safetensors"])
    metadata: dict[str, str] = Field(examples=[{"ss_network_dim": "8"}])


class EmbeddingItem(BaseModel):
    """A textual inversion as A1111 lists it."""

    step: int | None = Field(default=None, examples=[None])
    sd_checkpoint: str | None = Field(default=None, examples=[None])
    sd_checkpoint_name: str | None = Field(default=None, examples=[None])
    shape: int | None = Field(description="Width of its vectors.", examples=[768])
    vectors: int | None = Field(description="How many vectors stand for the word.", examples=[2])


class EmbeddingsResponse(BaseModel):
    """Textual inversions by name."""

    loaded: dict[str, EmbeddingItem] = Field(examples=[{"mascot": {"shape": 768, "vectors": 2}}])
    skipped: dict[str, EmbeddingItem] = Field(description="Files that cannot be used.", examples=[{}])


class WordRow(BaseModel):
    """A word of the captions that a network was trained on."""

    word: str = Field(examples=["watercolour"])
    count: int = Field(description="How often it was seen.", examples=[120])


class NetworkRow(BaseModel):
    """A network. Prompts name a LoRA in a tag, `<lora:NAME:WEIGHT>`, and an embedding by writing its name."""

    model_config = ConfigDict(protected_namespaces=())
    name: str = Field(examples=["watercolour"])
    kind: Kind = Field(examples=["lora"])
    alias: str = Field(description="What its maker called it; prompts may, too.", examples=["Watercolour v2"])
    methods: list[str] = Field(
        description="LoRA, LoHa, LoKr, OFT, BOFT, GLoRA, IA3, Full, DoRA; Textual inversion.", examples=[["LoRA"]]
    )
    base: str | None = Field(description="Id of the family that it was made for, if that is known.", examples=["sdxl"])
    size: int | None = Field(description="Rank, or number of vectors.", examples=[16])
    words: list[WordRow] = Field(description="Trigger words, the most frequent first.")
    hash: str | None = Field(description="As infotext writes it, once known.", examples=["0123456789ab"])
    sha256: str | None = Field(description="Of the file, once known.", examples=["ab" * 32])
    size_bytes: int = Field(examples=[37_000_000])
    usable: bool = Field(examples=[True])
    problem: str | None = Field(description=PROBLEM, examples=[None])


class NetworkDetails(NetworkRow):
    """A network with all that its header says."""

    metadata: dict[str, str] = Field(examples=[{"ss_network_dim": "16"}])


class NetworkList(Page):
    """A page of networks, usable ones first."""

    networks: list[NetworkRow]


class NetworksWanted(Paging):
    """Which networks to list."""

    text: str = Field("", max_length=200, pattern=CLEAN, description="Stands in name, alias or words, case aside.")
    kind: Kind | None = Field(None, description="Only LoRA and its kin, or only embeddings.")
    base: str | None = Field(None, max_length=64, pattern=CLEAN, description="Id of the family they were made for.")
    usable: bool | None = Field(None, description="Only those that can be used, or only those that cannot.")


@router.get("/sdapi/v1/loras", response_model=list[LoraItem])
def loras(studio: Services) -> list[LoraItem]:
    """Networks that prompts can name in tags: LoRA and its kin."""
    return [
        LoraItem(name=entry.name, alias=entry.alias, path=entry.path.name, metadata=dict(entry.facts.metadata))
        for entry in studio.networks.list("lora")
        if entry.problem is None
    ]


@router.get("/sdapi/v1/embeddings", response_model=EmbeddingsResponse)
def embeddings(studio: Services) -> EmbeddingsResponse:
    """Textual inversions, which prompts call by name."""
    found: dict[bool, dict[str, EmbeddingItem]] = {True: {}, False: {}}
    for entry in studio.networks.list("embedding"):
        item = EmbeddingItem(shape=entry.facts.width, vectors=entry.facts.size)
        found[entry.problem is None][entry.name] = item
    return EmbeddingsResponse(loaded=found[True], skipped=found[False])


@router.get("/api/v1/networks", responses=REFUSED)
def list_networks(studio: Services, wanted: Annotated[NetworksWanted, Query()]) -> NetworkList:
    """Networks, LoRA and its kin before embeddings."""
    rows = [entry for entry in _all(studio) if _fits(entry, wanted)]
    page, following = cut(rows, wanted)
    return NetworkList(networks=[_row(entry, WORDS_IN_LIST) for entry in page], following=following, total=len(rows))


@router.post("/api/v1/networks/refresh", responses=REFUSED)
def refresh_networks(studio: Services, member: Member) -> NetworkList:
    """Look at the folders again, at most every two seconds; answers with the first page. Not for guests."""
    studio.networks.refresh()
    return list_networks(studio, NetworksWanted.model_validate({}))


@router.get("/api/v1/networks/{kind}/{name:path}", responses=REFUSED)
def get_network(kind: Kind, studio: Services, name: Annotated[str, Path(max_length=500)]) -> NetworkDetails:
    """One network by its name, which may hold a slash, with the metadata of its header."""
    for entry in studio.networks.list(kind):
        if entry.name == name:
            row = _row(entry, None).model_dump()
            return NetworkDetails(**row, metadata=dict(entry.facts.metadata))
    raise UnknownModel(f"There is no {kind} {name[:64]!r} in the catalogue; /api/v1/networks lists them.")


def _all(studio: Studio) -> tuple[NetworkEntry, ...]:
    return (*studio.networks.list("lora"), *studio.networks.list("embedding"))


def _fits(entry: NetworkEntry, wanted: NetworksWanted) -> bool:
    words = (word for word, _ in entry.facts.words)
    return (
        wanted.kind in (None, entry.kind)
        and wanted.base in (None, entry.facts.base)
        and wanted.usable in (None, entry.problem is None)
        and matches(wanted.text, entry.name, entry.alias, *words)
    )


def _row(entry: NetworkEntry, words: int | None) -> NetworkRow:
    facts: Any = entry.facts
    return NetworkRow(
        name=entry.name,
        kind=entry.kind,
        alias=entry.alias,
        methods=list(facts.methods),
        base=facts.base,
        size=facts.size,
        words=[WordRow(word=word, count=count) for word, count in facts.words[:words]],
        hash=entry.short_hash,
        sha256=entry.sha256,
        size_bytes=entry.size_bytes,
        usable=entry.problem is None,
        problem=entry.problem,
    )
