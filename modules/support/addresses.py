"""Which addresses of the network are everybody's, and which lead into this machine or its own network."""

from __future__ import annotations

import ipaddress

_INNER = tuple(
    ipaddress.ip_network(text)
    for text in (
        # Of IPv6: whatever carries an IPv4 address inside is refused whole, rather than taken apart.
        "::/96",  # IPv4-compatible, RFC 4291
        "::ffff:0:0/96",  # IPv4-mapped, RFC 4291
        "::ffff:0:0:0/96",  # IPv4-translated, RFC 2765
        "64:ff9b::/96",  # NAT64, RFC 6052
        "64:ff9b:1::/48",  # local NAT64, RFC 8215
        "2001::/32",  # Teredo, RFC 4380
        "2002::/16",  # 6to4, RFC 3056
        "fec0::/10",  # site-local, RFC 3879
        "100::/64",  # discard, RFC 6666
        "5f00::/16",  # segment routing, RFC 9602
        # Of IPv4: what Python's own table leaves to opinion.
        "100.64.0.0/10",  # shared by a provider's customers, RFC 6598
        "192.0.0.0/24",  # protocol assignments, RFC 6890
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
        "168.63.129.16/32",  # a cloud's own host, reachable from its machines only
    )
)


def is_public(text: str) -> bool:
    """Whether a numeric address is of the open internet. Anything that is no numeric address is not.

    Loopback, private, link-local, shared, multicast, reserved, documentation and unspecified addresses are not (the
    IANA special-purpose registries, by way of `ipaddress`), nor is one with a zone.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if getattr(address, "scope_id", None) is not None:
        return False
    if any(address.version == inner.version and address in inner for inner in _INNER):
        return False
    special = address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback
    return address.is_global and not special and not address.is_link_local
