"""``oneoff audit``: read, verify and prove what is recorded."""

from __future__ import annotations

from oneoff.cli.lazy import LazyGroup

COMMANDS = {
    "log": ("oneoff.cli.audit.log", "Print the events, oldest first."),
    "prune": ("oneoff.cli.audit.prune", "Delete the oldest events, once they are old enough."),
    "erase": ("oneoff.cli.audit.erase", "Remove a person's name from the records."),
    "review": ("oneoff.cli.audit.review", "Record that you looked at a run that broke the glass."),
    "verify": ("oneoff.cli.audit.verify", "Compute the log again from its bytes."),
}

audit_command = LazyGroup("audit", table=COMMANDS, help="Read and verify the audit log.")
