"""PostgreSQL, sealed: the task runs for real in one transaction that the server itself refuses to commit.

What holds is in the server: every connection of the process tree is read-only by default (``PGOPTIONS``), one
session has one read-write transaction, and a row in it violates a deferred foreign key, so that no COMMIT can
succeed by whatever road it comes. The classes over psycopg are comfort: they let code that commits and rolls
back run to its end, by savepoints; other drivers come by :mod:`.wire`. Needs psycopg 3 and the privilege
TEMP.
"""

from __future__ import annotations
