"""All of them."""

from __future__ import annotations

from tests.acceptance.leaks.before import BEFORE, POSTGRES_BEFORE, SQLITE_BEFORE
from tests.acceptance.leaks.c_code import C_CODE
from tests.acceptance.leaks.django import DJANGO
from tests.acceptance.leaks.files import FILES
from tests.acceptance.leaks.network import NETWORK, OTHERS
from tests.acceptance.leaks.postgres import POSTGRES
from tests.acceptance.leaks.processes import PROCESSES
from tests.acceptance.leaks.sqlite import SQLITE
from tests.acceptance.leaks.undeclared import UNDECLARED
from tests.acceptance.leaks.way import Group

GROUPS: tuple[Group, ...] = (
    FILES,
    NETWORK,
    PROCESSES,
    OTHERS,
    SQLITE,
    POSTGRES,
    DJANGO,
    UNDECLARED,
    BEFORE,
    SQLITE_BEFORE,
    POSTGRES_BEFORE,
    C_CODE,
)
