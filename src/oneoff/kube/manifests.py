"""Reads manifests: YAML with PyYAML, as kubectl would read it, or JSON. The only place that knows PyYAML."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from oneoff.errors import ManifestUnfit, UsageError

if TYPE_CHECKING:
    import yaml

_INT = re.compile(r"[-+]?(?:0b[01_]+|0[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)\Z")
_FLOAT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))\Z"
    r"|\.(?:nan|NaN|NAN)\Z"
)
_OTHERWISE = {"tag:yaml.org,2002:" + kind for kind in ("timestamp", "int", "float", "value")}


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
    """Dates and ``12:30`` stay texts, as they do for kubectl: PyYAML would make a date, and 750, of them."""

    class Loader(base):  # type: ignore[valid-type,misc]  # a class that is a parameter
        yaml_implicit_resolvers = {  # noqa: RUF012  # as the base has it
            first: [(tag, form) for tag, form in resolvers if tag not in _OTHERWISE]
            for first, resolvers in base.yaml_implicit_resolvers.items()
        }

    Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
    return Loader


def _plain(value: Any, name: str) -> Any:
    """The value as JSON has it, whose keys are texts."""
    if isinstance(value, dict):
        return {_key(key, name): _plain(item, name) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, name) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ManifestUnfit(f"{name} holds a {type(value).__name__}, which no object of Kubernetes has")


def _key(key: Any, name: str) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bool | int | float):
        return json.dumps(key)
    raise ManifestUnfit(f"{name} has a key that is no text: {key!r}")
