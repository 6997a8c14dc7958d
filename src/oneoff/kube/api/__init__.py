"""The API server: the seam to it, and the one client behind the seam."""

from __future__ import annotations
