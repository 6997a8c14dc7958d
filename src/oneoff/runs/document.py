"""A run as the JSON object that stores keep and ``-o json`` shows; the field names are DESIGN's words."""

from __future__ import annotations
