"""Coroutines that are ours to run, whatever event loop the task has, and whether it has one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from oneoff import own
from oneoff.threads import Ours

T = TypeVar("T")


class _Executor(ThreadPoolExecutor):
    """A loop looks names up in threads of its own: here that is oneoff's own work."""

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        def call() -> T:
            with own.work() if function is socket.getaddrinfo else nullcontext():
                return function(*args, **kwargs)

        return super().submit(call)


def run(
    what: Callable[[], Coroutine[Any, Any, T]],
    *,
    around: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Future[T]:
    """What a coroutine gives, run in a thread and a plain loop of its own.

    Args:
        around: what the thread is in meanwhile.
    """
    future: Future[T] = Future()

    def work() -> None:
        try:
            with around(), asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                runner.get_loop().set_default_executor(_Executor())
                result = runner.run(what())
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    Ours(target=work, name="oneoff-asks", daemon=True).start()
    return future
