"""The run inside its process: what surrounds a task while it is at work. Imports no adapter."""

from __future__ import annotations
