"""``oneoff audit``: read, verify and prove what is recorded."""

from __future__ import annotations

from oneoff.cli.lazy import LazyGroup

COMMANDS = {
    "log": ("oneoff.cli.audit.log", "Print the events, oldest first."),
    "prove": ("oneoff.cli.audit.prove", "Write a receipt that proves what the log holds of a run."),
    "check": ("oneoff.cli.audit.check", "Verify a receipt, without a store."),
    "accept": ("oneoff.cli.audit.accept", "Go on with a log that is not the one seen before."),
    "prune": ("oneoff.cli.audit.prune", "Delete the oldest events, once they are old enough."),
    "erase": ("oneoff.cli.audit.erase", "Remove a person's name from the records."),
    "review": ("oneoff.cli.audit.review", "Record that you looked at a run that broke the glass."),
    "verify": ("oneoff.cli.audit.verify", "Compute the log again from its bytes."),
    "checkpoint": ("oneoff.cli.audit.checkpoint", "Print size and root of the log, signed with your key."),
    "export": ("oneoff.cli.audit.export", "Write the events for other tools."),
    "selftest": ("oneoff.cli.audit.selftest", "Attack a throw-away log, and say what is seen."),
    "keygen": ("oneoff.cli.audit.keygen", "Make a key that signs checkpoints."),
}

audit_command = LazyGroup("audit", table=COMMANDS, help="Read and verify the audit log.")
