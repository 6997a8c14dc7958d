"""What can be run: tasks, their parameters and the registry that names them. Pure, standard library only."""

from __future__ import annotations
