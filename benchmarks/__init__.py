"""Speed as ratios of whole processes, measured in one run: absolute times of a shared machine mean little."""

from __future__ import annotations
