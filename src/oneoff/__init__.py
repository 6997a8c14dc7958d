"""oneoff runs an app's admin processes: previewed, confirmed, resumable, recorded.

Importing this package does nothing and loads nothing; a name is loaded when it is first used (PEP 562).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oneoff.app import App
    from oneoff.errors import ControlSignal, OneoffError, Refused, UsageError
    from oneoff.execution.context import Context, effect
    from oneoff.tasks.limits import Param
    from oneoff.tasks.secret import Secret
    from oneoff.version import __version__

__all__ = [
    "App",
    "Context",
    "ControlSignal",
    "OneoffError",
    "Param",
    "Refused",
    "Secret",
    "UsageError",
    "__version__",
    "effect",
]

_HOMES = {
    "App": "oneoff.app",
    "Context": "oneoff.execution.context",
    "ControlSignal": "oneoff.errors",
    "OneoffError": "oneoff.errors",
    "Param": "oneoff.tasks.limits",
    "Refused": "oneoff.errors",
    "Secret": "oneoff.tasks.secret",
    "UsageError": "oneoff.errors",
    "__version__": "oneoff.version",
    "effect": "oneoff.execution.context",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'oneoff' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
