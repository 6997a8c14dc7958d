"""Kubernetes objects as plain data: what is read out of them, what is derived from them, and how they end.

Raw JSON throughout, because a model of our own would drop what is younger than it.
"""

from __future__ import annotations
