"""What Django loads for it."""

from __future__ import annotations

import types

from django.db.backends.dummy import base


class DatabaseWrapper(base.DatabaseWrapper):  # type: ignore[misc]
    vendor = "oracle"
    Database = types.ModuleType("oracledb")
