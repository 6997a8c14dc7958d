"""Verbs on an environment in Kubernetes: launched, asked and followed from outside of it."""

from __future__ import annotations
