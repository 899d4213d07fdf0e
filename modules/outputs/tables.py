"""The gallery's table as its code sees it, in the same database as the jobs. The scripts in `migrations` make it."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, MetaData, Table, Text, UniqueConstraint, false

METADATA = MetaData()
WORDS = "pictures_words"
"""An index of all words in the infotexts, where SQLite has full text search; triggers keep it in step."""
VERSION = "pictures_2"
"""The newest of the scripts."""
MOST_LISTED = (500, 1000)
"""Characters, and bytes of UTF-8, by which lists know a model or a sampler. An entry of PostgreSQL's index holds some
2700 bytes altogether, and a row with more is refused."""

PICTURES = Table(
    "pictures",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),  # never used twice; part of the file name
    Column("id", Text, nullable=False, unique=True),
    Column("job_id", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("owner", Text, nullable=False),
    Column("created", Float, nullable=False),  # seconds since 1970, UTC
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("format", Text, nullable=False),
    Column("infotext", Text, nullable=False),
    Column("recipe", Text, nullable=False),  # JSON
    Column("folder", Text, nullable=False),  # below the outputs folder, one for each day
    Column("name", Text, nullable=False),  # with ending
    Column("ready", Boolean, nullable=False),  # False from the claim of a name until the file stands under it
    Column("model", Text, nullable=False, server_default=""),  # `listed` of what the infotext names
    Column("sampler", Text, nullable=False, server_default=""),
    Column("favourite", Boolean, nullable=False, server_default=false()),
    Column("binned", Float),  # since when it is in the bin, seconds since 1970; null for most
    UniqueConstraint("job_id", "position", name="one_row_a_picture"),
    Index("pictures_by_owner", "owner", "number"),
    # Holds all that lists are narrowed by, so that counting never reads the long texts of the rows.
    Index(
        "pictures_listed",
        *("owner", "binned", "number", "ready", "favourite", "model", "sampler", "created", "width", "height"),
        "format",
    ),
    sqlite_autoincrement=True,
)


def listed(name: str) -> str:
    """The beginning of a model's or a sampler's name, as much of it as the index takes; of nearly all of them all."""
    characters, size = MOST_LISTED
    return name[:characters].encode(errors="replace")[:size].decode(errors="ignore")
