"""The gallery's table as its code sees it, in the same database as the jobs. The scripts in `migrations` make it."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, MetaData, Table, Text, UniqueConstraint

METADATA = MetaData()
VERSION = "pictures_1"
"""The newest of the scripts."""

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
    UniqueConstraint("job_id", "position", name="one_row_a_picture"),
    Index("pictures_by_owner", "owner", "number"),
    sqlite_autoincrement=True,
)
