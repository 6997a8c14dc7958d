"""A server inside the dry run's process that speaks PostgreSQL's wire protocol, for every other driver.

Each client is a tenant of the one sealed session: its messages go to the real server as they are, over the
socket of the session's own libpq connection, and its transactions are translated by the ledger. Nothing of
the enforcement rests on it; what slips by meets the seal in the server.

Source: https://www.postgresql.org/docs/current/protocol.html
"""

from __future__ import annotations
