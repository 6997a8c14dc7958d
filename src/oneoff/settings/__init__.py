"""Settings: one frozen object, read once from the settings file and the environment, passed down from there.

This is the only reader of environment variables. ``ONEOFF_APP``, ``ONEOFF_STORE``, ``ONEOFF_STATE`` and
``ONEOFF_AUDIT_KEY`` say where things are, and so do ``XDG_STATE_HOME`` and ``HOME`` for what this user keeps,
and ``DJANGO_SETTINGS_MODULE`` and ``FLASK_APP`` for a project whose framework reads them; all others are
claims about who is at work, recorded and never believed.
"""

from __future__ import annotations

from oneoff.settings.kubernetes import KubernetesSettings, SecretKey
from oneoff.settings.model import (
    DEFAULT_STORE,
    FILES,
    OTHER_CLAIMS,
    PERSON_CLAIMS,
    RETENTION,
    AnchorSettings,
    AuditSettings,
    CommandSettings,
    EnvironmentSettings,
    Settings,
)
from oneoff.settings.reading import load
from oneoff.settings.values import GUARDS, LEVELS

__all__ = [
    "DEFAULT_STORE",
    "FILES",
    "GUARDS",
    "LEVELS",
    "OTHER_CLAIMS",
    "PERSON_CLAIMS",
    "RETENTION",
    "AnchorSettings",
    "AuditSettings",
    "CommandSettings",
    "EnvironmentSettings",
    "KubernetesSettings",
    "SecretKey",
    "Settings",
    "load",
]
