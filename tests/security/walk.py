"""Every route of an application, with an address that can be asked."""

from __future__ import annotations

import re

READING = {"get", "head", "options"}


def operations(app):
    """(method, path, operation) of everything in the OpenAPI document."""
    for path, item in sorted(app.openapi()["paths"].items()):
        for method, operation in item.items():
            yield method, path, operation


def flat(routes):
    """Every route, those of routers that were included as well."""
    for route in routes:
        yield route
        inner = getattr(route, "original_router", route)  # what FastAPI keeps of a router that was included
        yield from flat(getattr(inner, "routes", None) or [])


def sockets_of(app):
    """Paths of all WebSockets, which the document cannot name."""
    return {route.path for route in flat(app.router.routes) if "WebSocket" in type(route).__name__}


def mounts_of(app):
    """Paths of all applications within the application, whose inside the document cannot name."""
    return {route.path for route in flat(app.router.routes) if type(route).__name__ == "Mount"}


def changing(app):
    """Addresses of everything that may change something, ids filled in with one that is not there."""
    return [(method, re.sub(r"\{.*?\}", "1", path)) for method, path, _ in operations(app) if method not in READING]


def request_fields(app):
    """(schema, field) of everything that a client can send: bodies with all that they hold, and parameters."""
    document = app.openapi()
    schemas, pending, seen = document["components"]["schemas"], [], set()
    for method, path, operation in operations(app):
        for parameter in operation.get("parameters", []):
            yield f"{method} {path}", parameter["name"]
        for content in operation.get("requestBody", {}).get("content", {}).values():
            pending.append(content["schema"])
    while pending:
        item = pending.pop()
        name = item.get("$ref", "").rpartition("/")[2]
        if name and name not in seen:
            seen.add(name)
            for field, schema in schemas[name].get("properties", {}).items():
                yield name, field
                pending.append(schema)
        pending += [*item.get("anyOf", []), *item.get("allOf", []), *([item["items"]] if "items" in item else [])]
