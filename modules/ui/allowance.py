"""What whoever looks at the page has left, in one line; nothing for those whom nothing limits."""

from __future__ import annotations

from modules.contracts.errors import NotReady
from modules.support.studio import Studio

BETWEEN = " · "


def left_line(studio: Studio, owner: str) -> str:
    """Plain text, such as `480 credits left today · 9 pictures this minute · 3 more jobs may wait`. Blocks shortly."""
    left = studio.accounts.allowance(owner)
    words = []
    for value, span in ((left.left_today, "today"), (left.left_this_month, "this month")):
        if value is not None:
            words.append(f"{value:,.0f} credits left {span}")
    try:
        pictures = studio.accounts.left_this_minute(owner)
    except NotReady as error:
        words.append(error.message)
    else:
        if pictures is not None:
            words.append(f"{_many(pictures, 'picture')} this minute")
    depth = left.tier.queue_depth
    if depth is not None:
        words.append(f"{_many(max(0, depth - studio.queue.pending(owner)), 'more job')} may wait")
    return BETWEEN.join(words)


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
