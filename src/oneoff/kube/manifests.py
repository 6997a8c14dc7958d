"""Reads manifests: YAML with PyYAML, as kubectl would read it, or JSON. The only place that knows PyYAML."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from math import isfinite
from typing import TYPE_CHECKING, Any

from oneoff.errors import ManifestUnfit, UsageError

if TYPE_CHECKING:
    import yaml

_BARE = {
    "tag:yaml.org,2002:bool": r"(?i:y|n|yes|no|true|false|on|off)\Z",
    "tag:yaml.org,2002:int": r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)\Z",
    "tag:yaml.org,2002:float": r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z",
}
"""What a word without quotes is, besides ``null`` and ``<<``: the first that fits. All else is a text."""
_NOT_SO = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value", *_BARE}
_EXACT = 1e21
"""Below it, a whole number is written as one by kubectl, whatever form it had."""


def read_manifests(text: str, name: str) -> list[Any]:
    """The documents of a manifest, such as ``kubectl get``, ``helm template`` and ``kustomize build`` print.

    Args:
        name: What the text is called in errors.

    Raises:
        ManifestUnfit: it is neither YAML nor JSON.
        UsageError: it is YAML, and PyYAML is not installed.
    """
    if text.lstrip().startswith("{"):
        with suppress(ValueError, RecursionError):  # YAML may begin so as well
            return [json.loads(text)]
    try:
        import yaml
    except ImportError as error:
        raise UsageError(
            "reading YAML needs PyYAML", next_step="pip install 'oneoff[kubernetes]', or give JSON"
        ) from error
    try:
        base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it was compiled
        return [_plain(document, name) for document in yaml.load_all(text, _loader(base))]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ManifestUnfit(f"{name} is not valid YAML: {' '.join(str(error).split())}") from error


def _loader(base: type[yaml.SafeLoader]) -> type[yaml.SafeLoader]:
    """Reads bare words as kubectl does: dates and ``12:30`` stay texts, where PyYAML has a date and 750."""

    class Loader(base):  # type: ignore[valid-type,misc]  # a class that is a parameter
        yaml_implicit_resolvers = {  # noqa: RUF012  # as the base has it
            first: [(tag, form) for tag, form in resolvers if tag not in _NOT_SO]
            for first, resolvers in base.yaml_implicit_resolvers.items()
        }

    for tag, form in _BARE.items():
        Loader.add_implicit_resolver(tag, re.compile(form), None)
    Loader.bool_values = {**base.bool_values, "y": True, "n": False}
    return Loader


def _plain(value: Any, name: str) -> Any:
    """The value as JSON has it, whose keys are texts."""
    if isinstance(value, dict):
        return {_key(key, name): _plain(item, name) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, name) for item in value]
    if isinstance(value, float) and abs(value) < _EXACT and value.is_integer():
        return int(value)
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and isfinite(value)):
        return value
    raise ManifestUnfit(
        f"{name} holds a {type(value).__name__}, which no object of Kubernetes has: {value!r}"
    )


def _key(key: Any, name: str) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bool | int | float):
        return json.dumps(key)
    raise ManifestUnfit(f"{name} has a key that is no text: {key!r}")
