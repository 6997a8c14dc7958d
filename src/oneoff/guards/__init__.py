"""What stops a dry run's task from having effects outside its database."""

from __future__ import annotations
