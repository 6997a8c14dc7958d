"""Asks an API server several questions at once: far away, each one costs a way there and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, Protocol, TypeVar

from oneoff.kube.api.cluster import Cluster

Answer = TypeVar("Answer")

AT_ONCE: Final = 8


class Ask(Protocol):
    """Begins a question, whose answer is waited for later."""

    def __call__(self, question: Callable[[], Answer], /) -> Future[Answer]: ...


@contextmanager
def asking(cluster: Cluster) -> Iterator[Ask]:
    """What is asked in the block goes on beside it; the first error that leaves the block ends the others."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            yield pool.submit
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            cluster.hang_up()
            raise


def together(cluster: Cluster, questions: Sequence[Callable[[], Answer]]) -> list[Answer]:
    """The answers, in the order of the questions; the first that raises ends the others."""
    with asking(cluster) as ask:
        return [answer.result() for answer in [ask(question) for question in questions]]
