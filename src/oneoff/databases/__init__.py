"""The app's databases: what a handle is, and how each kind is sealed for a dry run.

Every driver is imported here only, and only once a seal or the task needs it. SQLAlchemy and Django are the
app's own: they are used where the app imports them, and never imported by us for ourselves.
"""

from __future__ import annotations
