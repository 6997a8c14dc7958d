"""The app's databases: what a handle is, and how each kind is sealed for a dry run.

Every driver is imported here only, and only once a seal needs it. SQLAlchemy is the app's own: it is used
where the app has imported it, and never imported by us.
"""

from __future__ import annotations
