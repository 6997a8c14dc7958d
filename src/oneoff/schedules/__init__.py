"""When a task runs by itself: cron as Kubernetes reads it. Domain, no I/O."""

from __future__ import annotations
