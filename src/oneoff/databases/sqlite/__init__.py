"""SQLite, on a copy: the task runs for real, commits included, on a throw-away copy of the database file.

``sqlite3.connect`` opens the copy wherever the declared database is named; an audit hook refuses every other
road to the original that Python can see.
"""

from __future__ import annotations
