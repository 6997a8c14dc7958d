"""Parameters that are a model of the app's own library: pydantic or msgspec, never imported here."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from oneoff.tasks.kind import Kind, Unfit, clean, shown
from oneoff.types import JSON, JSONObject


def model_kind(hint: type) -> Kind | None:
    """The kind of a pydantic model or msgspec Struct, None for any other class.

    Raises:
        Unfit: the model has no JSON Schema, or holds a secret.
    """
    if hasattr(hint, "model_validate_json") and hasattr(hint, "model_json_schema"):
        kind = _pydantic(hint)
    elif hasattr(hint, "__struct_fields__") and "msgspec" in sys.modules:
        kind = _msgspec(hint, sys.modules["msgspec"])
    else:
        return None
    try:
        schema = kind.describe("#")
    except Exception as error:  # whatever the library raises for a field that it cannot describe
        raise Unfit(f"{hint.__name__} has no JSON Schema: {error}") from error
    if '"writeOnly": true' in json.dumps(schema):
        # Recorded, its secret would be either readable or lost; nothing here could ask for it again.
        raise Unfit(f"{hint.__name__} holds a secret: make it a parameter of its own, of type oneoff.Secret")
    return kind


def _model(
    model: type,
    *,
    load: Callable[[str], Any],
    freeze: Callable[[Any], JSON],
    describe: Callable[[str], JSONObject],
) -> Kind:
    def accept(value: Any) -> Any:
        if not isinstance(value, model):
            raise TypeError
        return value

    return Kind(
        name="model",
        noun=f"a {model.__name__}",
        example="a JSON object, or @FILE with one",
        metavar="JSON|@FILE",
        parse=lambda text: load(clean(text)),
        thaw=lambda value: load(json.dumps(value)),
        accept=accept,
        freeze=freeze,
        describe=describe,
    )


def _pydantic(model: Any) -> Kind:
    def load(text: str) -> Any:
        try:
            return model.model_validate_json(text)
        except ValueError as error:
            details = tuple(_pydantic_detail(found) for found in error.errors())  # type: ignore[attr-defined] # of pydantic.ValidationError
        raise Unfit("does not fit", details=details)

    return _model(
        model,
        load=load,
        freeze=lambda value: json.loads(value.model_dump_json(by_alias=True, round_trip=True)),
        describe=lambda at: model.model_json_schema(ref_template=f"{at}/$defs/{{model}}"),
    )


def _pydantic_detail(found: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in found["loc"])
    # For a missing field the input is the object around it, and for broken JSON the whole text.
    value = "" if found["type"] in ("missing", "json_invalid") else f", not {shown(found['input'])}"
    return f"{where}: {found['msg']}{value}" if where else f"{found['msg']}{value}"


def _msgspec(struct: Any, msgspec: Any) -> Kind:
    def load(text: str) -> Any:
        try:
            return msgspec.json.decode(text, type=struct)
        except msgspec.MsgspecError as error:
            details = _msgspec_details(struct, msgspec, text) or (str(error),)
        raise Unfit("does not fit", details=details)

    def describe(at: str) -> JSONObject:
        schema: JSONObject = msgspec.json.schema(struct, ref_template=f"{at}/$defs/{{name}}")
        return schema

    return _model(
        struct,
        load=load,
        freeze=lambda value: json.loads(msgspec.json.encode(value)),
        describe=describe,
    )


def _msgspec_details(struct: Any, msgspec: Any, text: str) -> tuple[str, ...]:
    """msgspec stops at the first error; field by field, each can name its own."""
    try:
        given = msgspec.json.decode(text)
    except msgspec.MsgspecError:
        return ()
    if not isinstance(given, dict):
        return ()
    details = []
    for field in msgspec.structs.fields(struct):
        name = field.encode_name
        if name not in given:
            details += [f"{name}: Field required"] if field.required else []
            continue
        try:
            msgspec.json.decode(msgspec.json.encode(given[name]), type=field.type)
        except msgspec.MsgspecError as error:
            details.append(f"{name}: {error}, not {shown(given[name])}")
    return tuple(details)
