"""What is said of a Job is said once, and what can be done about it."""

from __future__ import annotations

from oneoff.errors import ClusterUnreachable
from oneoff.kube.following.telling import Teller
from oneoff.kube.following.verdict import Verdict
from oneoff.runs.status import Status


def waiting(reason: str, message: str) -> Verdict:
    return Verdict(status=Status.LAUNCHED, reason=reason, message=message)


def test_what_keeps_it_is_said_once_each() -> None:
    said: list[str] = []
    teller = Teller(said.append)
    for reason, message in [
        ("", ""),
        ("Pulling", 'Pulling image "app:1"'),
        ("Unschedulable", "no room"),
        ("Pulling", 'Pulling image "app:1"'),
        ("Unschedulable", "no room"),
        ("Unschedulable", "still no room"),
    ]:
        teller.waits(waiting(reason, message))
    assert said == [
        'it waits: Pulling image "app:1"',
        "it waits: Unschedulable: no room",
        "it waits: Unschedulable: still no room",
    ]


def test_each_absence_is_said_once() -> None:
    said: list[str] = []
    teller = Teller(said.append)
    for _ in range(2):
        teller.away(ClusterUnreachable("no answer"))
        teller.away(ClusterUnreachable("no route"))
        teller.back()
    assert [text.partition(";")[0] for text in said] == ["no answer", "the cluster answers again"] * 2


def test_a_sidecar_that_stays_comes_with_what_to_set() -> None:
    said: list[str] = []
    held = ("cloud-sql-proxy", "istio-proxy", "linkerd-proxy")
    Teller(said.append).ended(Verdict(status=Status.SUCCEEDED, held_by=held))
    assert "added when the pod was made" in said[0] and "app.kubernetes.io/component: oneoff" in said[0]
    assert 'sidecar.istio.io/nativeSidecar: "true"' in said[1] and "quitquitquit" in said[1]
    assert "config.beta.linkerd.io/proxy-enable-native-sidecar" in said[2]
