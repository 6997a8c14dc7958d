"""What is looked at before a run is launched, and what a user has to be allowed."""

from __future__ import annotations
