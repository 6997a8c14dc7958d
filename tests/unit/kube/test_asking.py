"""Questions that are asked at once are answered in their order, and end together."""

from __future__ import annotations

import threading
from typing import cast

import pytest

from oneoff.errors import ClusterUnreachable
from oneoff.kube.api.cluster import Cluster
from oneoff.kube.checks.asking import AT_ONCE, together


class Hanging:
    """A cluster that answers nothing until it is hung up."""

    def __init__(self) -> None:
        self.hung_up = threading.Event()

    def hang_up(self) -> None:
        self.hung_up.set()


def test_answers_come_in_the_order_of_their_questions() -> None:
    """Also where the first one is answered last."""
    last = threading.Event()

    def first() -> int:
        assert last.wait(10)
        return 1

    def second() -> int:
        last.set()
        return 2

    assert together(cast(Cluster, Hanging()), [first, second]) == [1, 2]
    assert together(cast(Cluster, Hanging()), []) == []


def test_one_that_fails_ends_the_others() -> None:
    """Those under way are hung up on, and those that have not begun are not asked."""
    cluster, asked = Hanging(), list[int]()

    def fails() -> None:
        raise ClusterUnreachable("gone")

    def hangs() -> None:
        asked.append(1)
        assert cluster.hung_up.wait(10)

    with pytest.raises(ClusterUnreachable, match="gone"):
        together(cast(Cluster, cluster), [fails, *[hangs] * 50])
    assert cluster.hung_up.is_set()
    assert len(asked) <= AT_ONCE
