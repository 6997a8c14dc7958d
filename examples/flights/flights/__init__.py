"""A small web app over every flight that left New York City in 2013, and its admin tasks."""

from __future__ import annotations

__version__ = "1.4.0"
