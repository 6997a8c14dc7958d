"""What a dry run found, and how it is shown. Pure; the sealing itself is in ``databases``."""

from __future__ import annotations
