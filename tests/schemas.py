"""The words of JSON Schema that ours uses, checked; the registry's validators are no dependency of ours."""

import json
from importlib.resources import files
from typing import Any

TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
}
WORDS = {"type", "required", "properties", "items", "enum", "const", "anyOf", "$ref", "minItems", "maxItems"}
SAID = {"$schema", "$defs", "title", "description"}


def command_schema() -> dict[str, Any]:
    """Return the schema that is shipped."""
    found: dict[str, Any] = json.loads((files("likethat") / "schemas" / "command.schema.json").read_text("utf-8"))
    return found


def faults(value: Any, schema: dict[str, Any], root: dict[str, Any], place: str = "$") -> list[str]:
    """Return where a value does not fit a schema."""
    assert set(schema) <= WORDS | SAID, f"{place}: words that are not checked: {sorted(set(schema) - WORDS - SAID)}"
    if "$ref" in schema:
        return faults(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root, place)
    if "anyOf" in schema:
        each = [faults(value, one, root, place) for one in schema["anyOf"]]
        return [] if not all(each) else min(each, key=len)
    found = [] if _is_type(value, schema.get("type")) else [f"{place}: {value!r:.60} is no {schema['type']}"]
    if value not in schema.get("enum", [value]) or value != schema.get("const", value):
        found.append(f"{place}: {value!r:.60} is not allowed")
    if isinstance(value, dict):
        found += [f"{place}: lacks {name}" for name in schema.get("required", ()) if name not in value]
        inner = [(name, one) for name, one in schema.get("properties", {}).items() if name in value]
        found += [fault for name, one in inner for fault in faults(value[name], one, root, f"{place}.{name}")]
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            found.append(f"{place}: has {len(value)} items")
        for at, one in enumerate(value):
            found += faults(one, schema.get("items", {}), root, f"{place}[{at}]")
    return found


def _is_type(value: Any, kinds: str | list[str] | None) -> bool:
    each = [kinds] if isinstance(kinds, str) else kinds or []
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return (
        kinds is None
        or any(isinstance(value, TYPES[kind]) for kind in each if kind in TYPES)
        or ("number" in each and is_number)
        or ("integer" in each and is_number and isinstance(value, int))
    )
