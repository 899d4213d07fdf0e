"""The recipe in an XMP packet, for formats without named text chunks."""

from __future__ import annotations

import html
import re

NAMESPACE = "urn:atelier:recipe:1"
_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    f'xmlns:atelier="{NAMESPACE}"><atelier:recipe>%s</atelier:recipe></rdf:Description></rdf:RDF></x:xmpmeta>'
    '<?xpacket end="w"?>'
)
_RECIPE = re.compile(r"<atelier:recipe>([^<]*)</atelier:recipe>")


def pack(text: str) -> bytes:
    """A packet that holds `text`, which has to be ASCII, as JSON is by default."""
    return (_PACKET % html.escape(text, quote=False)).encode()


def unpack(packet: bytes) -> str:
    """The text of our own field; empty when the packet has none. No XML parser sees it, so none can be abused."""
    found = _RECIPE.search(packet.decode("utf-8", "replace"))
    return html.unescape(found.group(1)) if found else ""
