"""The release that a run is of: the workload, which of its revisions serves, its image by the digest."""

from __future__ import annotations
