"""Builds what ``audit selftest`` needs: throw-away stores, and keys that nobody else has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib.util import find_spec
from itertools import count
from pathlib import Path

from oneoff.commands.selftest.scene import Bench
from oneoff.errors import StoreUnavailable
from oneoff.protocols import Asker, Keys, Laboratory, Services, Store
from oneoff.scratch import scratch
from oneoff.settings import Settings
from oneoff.stores.sqlite_laboratory import SqliteLaboratory
from oneoff.wiring.services import around
from oneoff.wiring.store import needing_psycopg

_KEY = "selftest.example/audit"


@contextmanager
def sqlite_bench(asker: Asker) -> Iterator[Bench]:
    """A store in a folder of its own, which is gone at the end of the block, or by the next self-test or dry
    run where this one is killed.

    Raises:
        StoreUnavailable: there is no room for it.
    """
    with _folder() as folder:
        yield _bench(SqliteLaboratory(folder), folder, asker)


@contextmanager
def postgres_bench(url: str, asker: Asker) -> Iterator[Bench]:
    """The same in the database at this URL, which has to be empty and is empty again afterwards.

    Raises:
        StoreUnavailable: it is not empty, or a right is missing.
    """
    with needing_psycopg():
        from oneoff.stores.postgres_laboratory import laboratory
    with _folder() as folder, laboratory(url) as made:
        yield _bench(made, folder, asker)


@contextmanager
def _folder() -> Iterator[Path]:
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(scratch())
        except OSError as error:
            raise StoreUnavailable(
                f"no temporary folder can be made: {error.strerror}", next_step="set TMPDIR to another one"
            ) from error
        yield folder


def _bench(laboratory: Laboratory, folder: Path, asker: Asker) -> Bench:
    settings = Settings(root=folder, store=folder / "store.db", user_dir=folder / "user")
    numbers = count()

    def services(store: Store) -> Services:
        built = around(store, settings, asker=asker, say=lambda text: None, app=None)
        return replace(built, only_reads=True)

    def key(name: str) -> Keys:
        from oneoff.signing import KeyFile, generate

        file = folder / f"{next(numbers)}.key"
        generate(name, file)
        return KeyFile(file)

    signer = key(_KEY) if find_spec("cryptography") else None
    return Bench(laboratory=laboratory, services=services, signer=signer, stranger=key)
