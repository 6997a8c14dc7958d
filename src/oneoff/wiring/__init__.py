"""The only place where adapters are built and handed to the verbs."""

from __future__ import annotations
