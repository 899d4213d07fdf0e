"""What the gallery is searched by: model and sampler of each picture, favourites, the bin, and an index of words."""

from __future__ import annotations

import json
import re

import sqlalchemy as sa
from alembic import op

revision = "pictures_2"
down_revision = "pictures_1"
branch_labels = None
depends_on = None

PAIR = re.compile(r'[ \-/]*+(?:(\w[\w \-/]++):\s*("(?:\\.|[^"\\])++"(?=,|$)|[^,]*+)(?:,|$)|[\w \-/]*+(?:.|$))')
"""A key and its raw value as infotext wrote them when this script was; what is none of that is passed by, without key.
Takes time in proportion to the line."""
FEWEST_PAIRS = 3
"""A last line with fewer of them is part of the prompt."""
SIZE = re.compile(r"\d+x\d+")
"""Values that readers take apart, whatever their key is."""
MOST = (500, 1000)
"""Characters, and bytes of UTF-8, of a name that the index takes."""
PORTION = 500


def upgrade() -> None:
    """Add the columns, fill them from the infotext of pictures that are there, and index both."""
    for name in ("model", "sampler"):
        op.add_column("pictures", sa.Column(name, sa.Text, nullable=False, server_default=""))
    op.add_column("pictures", sa.Column("favourite", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("pictures", sa.Column("binned", sa.Float, nullable=True))
    connection = op.get_bind()
    _fill(connection)
    listed = ("owner", "binned", "number", "ready", "favourite", "model", "sampler", "created", "width", "height")
    op.create_index("pictures_listed", "pictures", [*listed, "format"])
    if connection.dialect.name == "sqlite" and _has_fts(connection):
        _index_words()


def _fill(connection: sa.Connection) -> None:
    pictures = sa.table(
        "pictures", sa.column("number", sa.Integer), sa.column("infotext"), sa.column("model"), sa.column("sampler")
    )
    last = 0
    while True:
        query = sa.select(pictures.c.number, pictures.c.infotext).where(pictures.c.number > last)
        rows = connection.execute(query.order_by(pictures.c.number).limit(PORTION)).all()
        if not rows:
            return
        for number, infotext in rows:
            said = _said(infotext)
            if said:
                connection.execute(sa.update(pictures).where(pictures.c.number == number).values(said))
        last = rows[-1].number


def _said(infotext: str) -> dict[str, str]:
    """Model and sampler as the last line of the text names them; what it does not name is missing."""
    line = infotext.strip().rpartition("\n")[2]
    pairs = [(key, _unquoted(text.strip())) for key, text in PAIR.findall(line) if key]
    if len(pairs) < FEWEST_PAIRS:
        return {}
    named = [(key.lower(), text) for key, text in pairs if key in ("Model", "Sampler")]
    return {key: _cut(text) for key, text in named if text and not SIZE.fullmatch(text)}


def _cut(name: str) -> str:
    return name[: MOST[0]].encode(errors="replace")[: MOST[1]].decode(errors="ignore")


def _unquoted(text: str) -> str:
    """The value of a JSON string; any other text as it is."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text


def _has_fts(connection: sa.Connection) -> bool:
    """Whether this SQLite was built with full text search."""
    return bool(connection.exec_driver_sql("SELECT sqlite_compileoption_used('ENABLE_FTS5')").scalar())


def _index_words() -> None:
    """An index beside the table, which the database itself keeps in step with it."""
    op.execute(
        "CREATE VIRTUAL TABLE pictures_words USING fts5(infotext, content='pictures', content_rowid='number', "
        "tokenize='unicode61 remove_diacritics 2', prefix='2 3')"
    )
    op.execute(
        "CREATE TRIGGER pictures_words_in AFTER INSERT ON pictures BEGIN "
        "INSERT INTO pictures_words(rowid, infotext) VALUES (new.number, new.infotext); END"
    )
    op.execute(
        "CREATE TRIGGER pictures_words_out AFTER DELETE ON pictures BEGIN "
        "INSERT INTO pictures_words(pictures_words, rowid, infotext) VALUES ('delete', old.number, old.infotext); END"
    )
    op.execute("INSERT INTO pictures_words(pictures_words) VALUES ('rebuild')")
