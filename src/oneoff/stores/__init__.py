"""Where runs and the audit log are kept: adapters behind ``protocols.Store`` and ``protocols.Spool``."""

from __future__ import annotations
