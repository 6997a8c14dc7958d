"""What a level does not hold, whatever the task: said in every report, and on the page of the ways out."""

from __future__ import annotations

PAGE = "docs/reference/leaks.md"
"""Where each is explained."""
_LEFT_FOR_THE_END = (
    "code that the task leaves for the end of the process (atexit, __del__),"
    " and threads that it starts below `threading` (_thread)"
)
"""What no seal holds: it runs when nobody can tell any more that it is the task's."""
SQLITE = (
    "drivers other than sqlite3 that open the real file",
    "rows that the live application writes while the dry run is under way are not seen by it",
    _LEFT_FOR_THE_END,
)
POSTGRES = (
    "sequences are not put back (nextval), and those that the role may not read are not looked at",
    "advisory locks of the session end with it",
    "what functions of the database do outside the transaction, where the statement does not show it",
    "NOTIFY is not delivered; one that a function or a trigger hides is not listed",
    "rolled back rows cost disk, write-ahead log and vacuum as real ones do, and were locked until the end",
    "all connections of the task share one session: they see each other's uncommitted work",
    "isolation levels are not applied",
    "functions, types, policies, grants, settings of roles: told by their statements, and not compared",
    "psycopg2's connection class, called instead of psycopg2.connect(): read-only, but not held",
    "pg8000 and other drivers that do not read PGOPTIONS",
    _LEFT_FOR_THE_END,
    "code that means to get around the seal: for that, give the dry run a role that can only read",
)
AUDIT_HOOK = (
    "what C code does by itself, past Python: ctypes with functions found before, cffi, pycurl, uvloop",
    "what is written to files that are open already, other than by mapping them into memory",
    "processes that C code starts (ctypes, extensions), and those that ran before the task began",
    "processes started at the end of this one (atexit, __del__), or by threads of `_thread`",
)
SIGNALS = "by C code: signals to other processes (the kernel is older than Linux 6.12)"
LANDLOCK = (
    "by C code: unix sockets, UDP, any host at a database's port, modes and times of files, shared memory",
    "what is written to files that are open already, other than by mapping them into memory",
    "threads that ran before the task began, as far as C code goes; processes that did, whatever they do",
    "by the audit hook: code that the task leaves for the end (atexit, __del__), and threads of `_thread`",
    "what the kernel refuses to C code is not listed: an error that the task swallows is not seen",
)
BY_LEVEL = {
    "copy": SQLITE,
    "sealed": POSTGRES,
    "audit hook": AUDIT_HOOK,
    "landlock": (SIGNALS, *LANDLOCK),
}
"""As the report calls the levels and the guards."""
STANDING = frozenset(limit for limits in BY_LEVEL.values() for limit in limits)
