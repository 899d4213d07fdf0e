"""The OpenAPI document with a summary, a description of every answer and an example for every JSON body.

Examples are composed: a schema's own comes first (`examples` beside the field or model that it belongs to), then the
words of `modules.api.examples`, then the examples of its parts. Nothing is written down per route unless a route has an
answer without a model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from modules.api.examples import ANSWERS, FAILURES, FIELDS
from modules.api.messages import Complaint, Failure, Plain
from modules.api.openai import OpenAIFailure

JSON = "application/json"
METHODS = frozenset({"get", "post", "put", "patch", "delete"})
MUTE = "Successful Response"
"""What FastAPI says of an answer that nobody has described."""
MISSING = object()
SAID = (Failure, Complaint, Plain, OpenAIFailure)
"""Models of failures, which routes tell of by name; see `told`."""
PLACE = "#/components/schemas/{model}"


def document_of(app: FastAPI) -> dict[str, Any]:
    """The document, made once. What could not be composed is left without an example; a test finds it."""
    if app.openapi_schema is None:
        document = FastAPI.openapi(app)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        said = repr(document["paths"])
        schemas.update(_schemas_of(model for model in SAID if f"/schemas/{model.__name__}'" in said))
        for method, path, operation in operations_of(document):
            _describe(f"{method} {path}", operation, schemas)
    return FastAPI.openapi(app)


def _schemas_of(models: Iterable[type[BaseModel]]) -> dict[str, Any]:
    """Schemas of these models and of their parts, by name."""
    _, found = models_json_schema([(model, "serialization") for model in models], ref_template=PLACE)
    made: dict[str, Any] = found.get("$defs", {})
    return made


def operations_of(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(method, path, operation) of everything in a document."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield method, path, operation


def example_of(schema: Mapping[str, Any], schemas: Mapping[str, Any], *, asked: bool, owner: str = "") -> Any:
    """An example for a schema, or `MISSING`. Of what is `asked` for only parts that are needed, or have one, show."""
    if "examples" in schema:
        return schema["examples"][0]
    if "example" in schema:
        return schema["example"]
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return example_of(schemas[name], schemas, asked=asked, owner=name)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for choices in ("anyOf", "oneOf", "allOf"):
        if choices in schema:
            found = [example_of(item, schemas, asked=asked, owner=owner) for item in schema[choices]]
            return next(
                (item for item in found if item is not MISSING and item is not None), schema.get("default", found[-1])
            )
    if "default" in schema:
        return schema["default"]
    if schema.get("type") == "array":
        item = example_of(schema.get("items", {}), schemas, asked=asked, owner=owner)
        return MISSING if item is MISSING else [item]
    if "properties" in schema:
        return _whole(schema, schemas, asked, owner)
    return None if schema.get("type") == "null" else MISSING


def _whole(schema: Mapping[str, Any], schemas: Mapping[str, Any], asked: bool, owner: str) -> Any:
    """An object with an example for each of its parts; `MISSING` when one that is needed has none."""
    made: dict[str, Any] = {}
    needed = schema.get("required", ())
    for name, part in schema["properties"].items():
        own = f"{owner}.{name}"
        if asked and name not in needed and "examples" not in part and own not in FIELDS:
            continue
        value = part["examples"][0] if "examples" in part else FIELDS.get(own, MISSING)
        if value is MISSING and "$ref" not in repr(part):  # what has a model of its own is composed of that
            value = FIELDS.get(name, MISSING)
        if value is MISSING:
            value = example_of(part, schemas, asked=asked, owner=owner)
        if value is MISSING:
            return MISSING
        made[name] = value
    return made


def _describe(name: str, operation: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    told = " ".join(operation.get("description", "").split())
    if told:
        operation["summary"] = re.split(r"(?<=[^.])\. |[:;] ", told)[0].rstrip(".")
    body = operation.get("requestBody", {}).get("content", {}).get(JSON)
    if body is not None:
        _exemplify(body, schemas, asked=True)
    for status, answer in operation["responses"].items():
        content = answer.get("content", {}).get(JSON)
        if status.startswith("2"):
            given, text = ANSWERS.get(name, (MISSING, ""))
            if content is not None and given is not MISSING:
                content["example"] = given
            if answer.get("description") == MUTE:
                answer["description"] = text or _said_of(content, schemas) or MUTE
        elif content is not None and _is_failure(content.get("schema", {})):
            content["example"] = FAILURES.get(status, FAILURES["default"])
        if content is not None:
            _exemplify(content, schemas, asked=False)


def _is_failure(schema: Mapping[str, Any]) -> bool:
    """Whether an answer may be the one sentence in which almost everything that goes wrong is said."""
    return any(item.get("$ref", "").endswith("/Failure") for item in (schema, *schema.get("anyOf", ())))


def _exemplify(content: dict[str, Any], schemas: Mapping[str, Any], *, asked: bool) -> None:
    if "example" in content or "examples" in content:
        return
    schema = content.get("schema")
    found = example_of(schema, schemas, asked=asked) if schema else None  # an answer without a model is null
    if found is not MISSING:
        content["example"] = found


def _said_of(content: Mapping[str, Any] | None, schemas: Mapping[str, Any]) -> str:
    """What the model of an answer says of itself; of a list what it says of a row."""
    schema = (content or {}).get("schema", {})
    if not schema or schema.get("type") == "null":
        return "Done; there is nothing to say."
    several = schema.get("type") == "array"
    name = (schema.get("items", {}) if several else schema).get("$ref", "").rpartition("/")[2]
    text = " ".join(schemas.get(name, {}).get("description", "").split())
    return f"A list. {text}" if several and text else text
