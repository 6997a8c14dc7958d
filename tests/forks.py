"""Runs a piece of a test in a forked child, as a user whom permissions bind."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Callable

NOBODY = 65534


def in_child(work: Callable[[], str], *, as_nobody: bool = False) -> str:
    """What ``work`` returns in a child; an exception there is raised here as RuntimeError.

    With ``as_nobody`` the child of root is nobody: root may write where permissions say no.
    """
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: forking beside threads
        pid = os.fork()
    if pid == 0:
        try:
            if as_nobody and os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            result: tuple[bool, str] = (True, work())
        except BaseException as error:
            result = (False, repr(error))
        os.write(writer, pickle.dumps(result))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        content = stream.read()
    os.waitpid(pid, 0)
    good, text = pickle.loads(content)
    if not good:
        raise RuntimeError(text)
    return str(text)
