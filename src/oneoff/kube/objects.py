"""The words for raw Kubernetes objects, and what every part looks up in them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, TypeAlias

Object: TypeAlias = dict[str, Any]
"""A Kubernetes object, or a part of one, as JSON has it."""

CANNOT_START: Final = frozenset(
    {
        *("CreateContainerConfigError", "CreateContainerError", "ErrImageNeverPull", "ErrImagePull"),
        *("ImageInspectError", "ImagePullBackOff", "InvalidImageName", "RunContainerError"),
    }
)
"""Reasons for which a container waits that do not go away by waiting a little."""


@dataclass(frozen=True)
class Change:
    """Something that a derived object has otherwise than its source, or something to know about it."""

    path: str
    """Where: ``spec.containers[web].ports``."""
    action: str
    """``dropped``, ``replaced``, ``added``, ``moved`` or ``kept``."""
    reason: str


def metadata(thing: Object) -> Object:
    """Its metadata; empty where it has none."""
    return thing.get("metadata") or {}


def annotations_of(thing: Object) -> Object:
    """Its annotations; empty where it has none."""
    return metadata(thing).get("annotations") or {}


def name_of(thing: Object) -> str:
    """Its name; empty where it has none."""
    return str(metadata(thing).get("name") or "")


def namespace_of(thing: Object) -> str | None:
    """Its namespace; None where a manifest leaves it to whoever applies it."""
    return metadata(thing).get("namespace")


def named(items: list[Object] | None, name: str) -> Object | None:
    """The entry of a list of Kubernetes with this ``name``."""
    return next((item for item in items or [] if item.get("name") == name), None)


def canonical(value: Any) -> str:
    """The same text for the same value: keys sorted, no blanks."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: Any) -> str:
    """``sha256:…`` of :func:`canonical`."""
    return f"sha256:{sha256(canonical(value).encode()).hexdigest()}"
