"""Asks an API server several questions at once: far away, each one costs a way there and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from oneoff.kube.api.cluster import Cluster

Answer = TypeVar("Answer")

AT_ONCE: Final = 8
"""Connections: more of them cost more than they save."""


def together(cluster: Cluster, questions: Sequence[Callable[[], Answer]]) -> list[Answer]:
    """The answers, in the order of the questions; the first that raises ends the others."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            return list(pool.map(lambda ask: ask(), questions))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            cluster.hang_up()
            raise
