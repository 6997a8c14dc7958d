"""Lost answers, restarts, dropped and silent streams, denials: what the client does about each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oneoff.errors import (
    ClusterError,
    ClusterUnreachable,
    CredentialsRefused,
    FieldConflict,
    LogNotReady,
    NotPermitted,
    ObjectExists,
    ObjectMissing,
    VersionGone,
)
from oneoff.kube.api import client as client_module
from oneoff.kube.api.client import connect
from oneoff.kube.api.cluster import (
    CONFIG_MAPS,
    CRONJOBS,
    DEPLOYMENTS,
    EVERYTHING,
    JOBS,
    PODS,
    ROLLOUTS,
    Cluster,
    Resource,
)
from oneoff.kube.api.connection.transport import Pace
from oneoff.settings.kubernetes import KubernetesSettings
from tests.integration.kube.servers import Scripted, http, kubeconfig
from tests.kubernetes import FakeKubernetes, certificates
from tests.kubernetes.objects import configmap, cronjob, job, pods, run, started

SOON = Pace(patience=5, at_first=0.5, first=0.01, longest=0.1)


class Clients:
    """Connects, and closes all when the test is over."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder, self._url = folder, url
        self.open: list[Cluster] = []

    def connect(
        self, token: str = "admin-token", *, url: str = "", namespace: str | None = None, pace: Pace = SOON
    ) -> Cluster:
        environ = kubeconfig(self._folder, url or self._url, {"token": token})
        made = connect(KubernetesSettings(namespace=namespace), environ, pace=pace)
        self.open.append(made)
        return made


@pytest.fixture
def clients(fake: FakeKubernetes, tmp_path: Path) -> Iterator[Clients]:
    clients = Clients(tmp_path, fake.url)
    yield clients
    for each in clients.open:
        each.close()


@pytest.fixture
def cluster(clients: Clients) -> Cluster:
    return clients.connect()


def asked(fake: FakeKubernetes, method: str) -> int:
    return len([each for each, _ in fake.server.requests if each == method])


# What is repeated, and what is not.


@pytest.mark.parametrize("code", [429, 500, 503, 504])
def test_a_read_is_repeated(fake: FakeKubernetes, cluster: Cluster, code: int) -> None:
    cluster.create(CONFIG_MAPS, configmap("m"))
    fake.faults.answer_next(code, 1 if code == 429 else 3, method="GET")
    assert cluster.get(CONFIG_MAPS, "m")["metadata"]["name"] == "m"


def test_as_long_as_the_server_says(fake: FakeKubernetes, clients: Clients) -> None:
    """``Retry-After: 1`` of a 429 is longer than the first pauses would be."""
    slept: list[float] = []
    pace = Pace(first=0.01, sleep=slept.append)
    cluster = clients.connect(pace=pace)
    fake.faults.answer_next(429, 2)
    cluster.list(CONFIG_MAPS)
    assert slept == [1.0, 1.0]


def test_for_so_long_and_no_longer(fake: FakeKubernetes, clients: Clients) -> None:
    """Ever more slowly, up to the longest pause; then it is an error with the server's words."""
    slept: list[float] = []

    def sleep(pause: float) -> None:
        slept.append(pause)
        time.sleep(pause)

    pace = Pace(patience=1.5, first=0.1, longest=0.2, sleep=sleep)
    cluster = clients.connect(pace=pace)
    cluster.version()
    fake.faults.answer_next(503, 1000)
    start = time.monotonic()
    with pytest.raises(ClusterUnreachable, match="cannot answer for now"):
        cluster.list(CONFIG_MAPS)
    assert 1.0 < time.monotonic() - start < 15
    assert max(slept) <= 0.2
    assert slept[0] <= 0.1


def test_a_lost_answer_to_a_read_is_asked_for_again(fake: FakeKubernetes, cluster: Cluster) -> None:
    fake.faults.lose_next_answer(2, method="GET")
    assert cluster.list(CONFIG_MAPS).items == []
    assert asked(fake, "GET") == 3


@pytest.mark.parametrize("code", [429, 503])
def test_a_write_is_repeated_where_nothing_was_done(
    fake: FakeKubernetes, cluster: Cluster, code: int
) -> None:
    fake.faults.answer_next(code, 1, method="POST")
    cluster.create(CONFIG_MAPS, configmap("m"))
    assert asked(fake, "POST") == 2


def test_a_proxy_that_lost_the_server_is_no_server_that_did_nothing(tmp_path: Path) -> None:
    lost = http("upstream connect error or disconnect", 503, {"Content-Type": "text/plain"})
    with Scripted(lost) as server:
        cluster = connect(KubernetesSettings(), kubeconfig(tmp_path, server.url), pace=SOON)
        with pytest.raises(ClusterUnreachable, match="upstream connect error"):
            cluster.create(CONFIG_MAPS, configmap("m"))
        cluster.close()
    assert len(server.requests) == 1


WRITES: dict[str, Callable[[Cluster, str], object]] = {
    "POST": lambda cluster, uid: cluster.create(CONFIG_MAPS, configmap("m")),
    "PATCH": lambda cluster, uid: cluster.patch(CONFIG_MAPS, "old", {"data": {"a": "1"}}),
    "DELETE": lambda cluster, uid: cluster.delete(CONFIG_MAPS, "old", uid=uid),
}


@pytest.mark.parametrize("method", WRITES)
@pytest.mark.parametrize("fault", ["lost", "500", "504"])
def test_a_write_is_not_repeated_where_nobody_knows(
    fake: FakeKubernetes, cluster: Cluster, method: str, fault: str
) -> None:
    uid = cluster.create(CONFIG_MAPS, configmap("old"))["metadata"]["uid"]
    before = asked(fake, method)
    if fault == "lost":
        fake.faults.lose_next_answer(method=method)
    else:
        fake.faults.answer_next(int(fault), method=method)
    with pytest.raises(ClusterUnreachable) as caught:
        WRITES[method](cluster, uid)
    assert asked(fake, method) == before + 1
    if fault == "lost":
        assert "whether it did what was asked is not known" in caught.value.message
        assert caught.value.next_step == "look before you repeat it"


def test_apply_after_a_lost_answer_can_be_said_again(fake: FakeKubernetes, cluster: Cluster) -> None:
    fake.faults.lose_next_answer(method="PATCH")
    with pytest.raises(ClusterUnreachable):
        cluster.apply(CONFIG_MAPS, configmap("m", a="1"))
    assert cluster.apply(CONFIG_MAPS, configmap("m", a="1"))["data"] == {"a": "1"}


def test_a_question_that_is_a_post_is_repeated(fake: FakeKubernetes, cluster: Cluster) -> None:
    fake.faults.lose_next_answer(method="POST")
    assert cluster.whoami().name == "admin"
    fake.faults.answer_next(500, method="POST")
    assert cluster.may("create", JOBS)


@pytest.mark.parametrize("write", [False, True])
def test_a_restart_is_waited_for(fake: FakeKubernetes, cluster: Cluster, write: bool) -> None:
    """A write too: a connection that was refused has carried nothing."""
    cluster.version()
    restart = threading.Thread(target=fake.server.restart, args=(1.0,))
    restart.start()
    time.sleep(0.3)
    if write:
        cluster.create(CONFIG_MAPS, configmap("m"))
    else:
        cluster.list(CONFIG_MAPS)
    restart.join()


def test_a_server_that_never_answered_is_not_waited_for_as_long(clients: Clients) -> None:
    start = time.monotonic()
    cluster = clients.connect(url="http://127.0.0.1:1")
    with pytest.raises(ClusterUnreachable, match="refuses connections"):
        cluster.version()
    assert time.monotonic() - start < 15


# Objects.


FUTURE = {"größe": ["Ω", 1, 2.5, None, True, 2**53 + 1, {"x": {}}]}
"""What no version of Kubernetes has yet."""


def test_what_nobody_knows_survives_on_the_way_in(fake: FakeKubernetes, cluster: Cluster) -> None:
    """A field of a server that is younger than we are."""
    version = cluster.list(DEPLOYMENTS).version
    given = {"uid": "u", "creationTimestamp": "2026-11-30T00:00:00Z", "futureM": FUTURE}
    meta = {"name": "web", "namespace": "shop"} | given
    thing = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {"futureField": FUTURE}}
    fake.load([thing])
    watch = cluster.watch(DEPLOYMENTS, EVERYTHING, version=version, seconds=1)
    for found in (cluster.get(DEPLOYMENTS, "web"), cluster.list(DEPLOYMENTS).items[0], next(iter(watch))[1]):
        del found["metadata"]["resourceVersion"]
        assert (found, type(found)) == (thing, dict)


def test_what_nobody_knows_survives_on_the_way_out(cluster: Cluster) -> None:
    """To a kind that takes any field."""
    meta = {"name": "web"}
    thing = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": meta, "spec": {"f": FUTURE}}
    assert cluster.create(ROLLOUTS, thing)["spec"] == {"f": FUTURE}
    assert cluster.patch(ROLLOUTS, "web", {"spec": {"g": {"h": "größe"}}})["spec"]["g"] == {"h": "größe"}
    thing["metadata"] = {"name": "other"}
    assert cluster.apply(ROLLOUTS, thing)["spec"] == {"f": FUTURE}


def test_many_come_in_pages(cluster: Cluster, fake: FakeKubernetes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_PAGE", 2)
    for number in range(5):
        cluster.create(CONFIG_MAPS, configmap(f"m{number}"))
    found = cluster.list(CONFIG_MAPS)
    assert [item["metadata"]["name"] for item in found.items] == [f"m{number}" for number in range(5)]
    assert len([path for _, path in fake.server.requests if "limit=2" in path]) == 3


# Watches.


def watched(cluster: Cluster, version: str, seconds: float = 1) -> list[str]:
    found = cluster.watch(CONFIG_MAPS, EVERYTHING, version=version, seconds=seconds)
    return [kind for kind, _ in found if kind != "BOOKMARK"]


def test_a_watch_ends_where_its_connection_is_cut(fake: FakeKubernetes, cluster: Cluster) -> None:
    version = cluster.list(CONFIG_MAPS).version
    for name in "abc":
        cluster.create(CONFIG_MAPS, configmap(name))
    fake.faults.drop_watch_after(2)
    start = time.monotonic()
    assert watched(cluster, version, seconds=30) == ["ADDED", "ADDED"]
    assert time.monotonic() - start < 15


def test_a_watch_that_is_silent_ends(
    fake: FakeKubernetes, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half open: the server would not even say that its time is over."""
    monkeypatch.setattr(client_module, "_GRACE", 0.5)
    fake.faults.mute_watch()
    start = time.monotonic()
    assert watched(cluster, cluster.list(CONFIG_MAPS).version) == []
    assert 1 < time.monotonic() - start < 15


@pytest.mark.slow
def test_a_watch_has_bookmarks(fake: FakeKubernetes, cluster: Cluster) -> None:
    version = cluster.list(CONFIG_MAPS).version
    seen = list(cluster.watch(CONFIG_MAPS, EVERYTHING, version=version, seconds=4))
    assert "BOOKMARK" in [kind for kind, _ in seen]


def test_a_version_that_is_gone(fake: FakeKubernetes, cluster: Cluster) -> None:
    fake.faults.gone_410_once()
    with pytest.raises(VersionGone, match="begin again with a list"):
        watched(cluster, "1")
    fake.faults.watch_progress_disabled()
    with pytest.raises(VersionGone, match="RequestWatchProgress is disabled"):
        watched(cluster, "")


def test_a_watch_that_is_given_up_leaves_nothing_open(fake: FakeKubernetes, cluster: Cluster) -> None:
    version = cluster.list(CONFIG_MAPS).version
    cluster.create(CONFIG_MAPS, configmap("a"))
    for _ in range(120):  # more than there are connections in the pool
        watch = cluster.watch(CONFIG_MAPS, EVERYTHING, version=version, seconds=60)
        assert next(iter(watch))[0] == "ADDED"
        del watch


# Logs.


def test_a_log_is_read_while_it_is_written(fake: FakeKubernetes, cluster: Cluster) -> None:
    cluster.create(JOBS, job("j", "echo one; sleep 0.5; echo two"))
    pod = started(fake, "j")["metadata"]["name"]
    came = [(time.monotonic(), line) for line in cluster.log(pod, "task", follow=True)]
    assert [line.partition(b" ")[2] for _, line in came] == [b"one\n", b"two\n"]
    assert came[1][0] - came[0][0] > 0.2


def test_a_log_that_was_cut_is_read_on(fake: FakeKubernetes, cluster: Cluster) -> None:
    run(fake, job("j", "seq 1 5"))
    pod = pods(fake, "j")[0]["metadata"]["name"]
    fake.faults.drop_log_after(2)
    got: list[bytes] = []
    with pytest.raises(ClusterUnreachable, match="was lost"):
        for line in cluster.log(pod, "task", follow=True):
            got.append(line)
    assert [line.partition(b" ")[2] for line in got] == [b"1\n", b"2\n"]
    since = got[-1].partition(b" ")[0].decode()
    rest = [line.partition(b" ")[2] for line in cluster.log(pod, "task", since=since)]
    assert set(rest) >= {b"2\n", b"3\n", b"4\n", b"5\n"}


def test_a_log_that_is_silent_for_too_long_is_lost(
    fake: FakeKubernetes, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "SILENCE", 0.5)
    cluster.create(JOBS, job("j", "echo one; sleep 30"))
    log = cluster.log(started(fake, "j")["metadata"]["name"], "task", follow=True)
    assert next(iter(log)).endswith(b" one\n")
    with pytest.raises(ClusterUnreachable, match="was lost"):
        next(iter(log))


def test_a_container_that_has_not_started(fake: FakeKubernetes, cluster: Cluster) -> None:
    fake.faults.start_delay(600)
    cluster.create(JOBS, job("j", "true"))
    fake.wait(lambda: bool(pods(fake, "j")) and "nodeName" in pods(fake, "j")[0]["spec"])
    with pytest.raises(LogNotReady, match="waiting to start"):
        list(cluster.log(pods(fake, "j")[0]["metadata"]["name"], "task", follow=True))
    with pytest.raises(ObjectMissing, match='pods "no" not found'):
        list(cluster.log("no", "task"))


# Who may.


def test_who_may_not_is_told_who_what_and_where(fake: FakeKubernetes, clients: Clients) -> None:
    fake.access.deny("create", "jobs", user="alice")
    alice = clients.connect(fake.access.add("alice"))
    with pytest.raises(
        NotPermitted, match=r"alice may not create jobs\.batch in the namespace shop"
    ) as caught:
        alice.create(JOBS, job("j", "true"))
    assert 'apiGroups: ["batch"], resources: ["jobs"], verbs: ["create"]' in caught.value.next_step
    assert not alice.may("create", JOBS)
    assert alice.may("list", JOBS)
    fake.access.deny("get", "pods/log", user="alice")
    assert not alice.may("get", PODS, subresource="log")
    fake.access.deny("watch", "jobs", user="alice")
    with pytest.raises(NotPermitted, match=r"may not watch jobs\.batch"):
        list(alice.watch(JOBS, EVERYTHING, version="1", seconds=1))


def test_a_token_that_expires_on_the_way(fake: FakeKubernetes, clients: Clients) -> None:
    alice = clients.connect(fake.access.add("alice"))
    assert alice.whoami().name == "alice"
    fake.access.expired.add("alice-token")
    with pytest.raises(CredentialsRefused, match="401") as caught:
        alice.list(JOBS)
    assert "log in again" in caught.value.next_step


def test_nobody_is_told_so(fake: FakeKubernetes, clients: Clients) -> None:
    nobody = clients.connect("")
    with pytest.raises(CredentialsRefused, match="takes you for nobody") as caught:
        nobody.list(JOBS)
    assert "no credentials at all" in caught.value.next_step


# What is refused.


def test_what_is_not_there_or_not_as_it_should_be(
    fake: FakeKubernetes, cluster: Cluster, clients: Clients
) -> None:
    with pytest.raises(ObjectMissing, match=r'deployments.apps "web" not found in the namespace shop'):
        cluster.get(DEPLOYMENTS, "web")
    with pytest.raises(ObjectMissing, match=r"has no things of example.org/v1"):
        cluster.list(Resource("example.org", "v1", "Thing", "things"))
    cluster.create(JOBS, job("j", "true"))
    with pytest.raises(ObjectExists, match=r'jobs\.batch "j" already exists'):
        cluster.create(JOBS, job("j", "true"))
    with pytest.raises(ClusterError, match=r"does not accept Job k: spec.template.spec.restartPolicy: "):
        cluster.create(JOBS, job("k", "true", pod={"restartPolicy": "Always"}))
    elsewhere = clients.connect(namespace="nope")
    with pytest.raises(ObjectMissing, match="has no namespace nope"):
        elsewhere.create(JOBS, job("j", "true"))
    cluster.apply(CRONJOBS, cronjob("c", "true"))
    cluster.patch(CRONJOBS, "c", {"spec": {"schedule": "1 1 * * *"}})
    with pytest.raises(FieldConflict, match=r"\.spec\.schedule \(.*using batch/v1"):
        cluster.apply(CRONJOBS, cronjob("c", "true"))


def test_a_server_is_known_by_its_certificate_and_comes_back(tmp_path: Path) -> None:
    files = certificates.make(tmp_path / "tls")
    with FakeKubernetes(tmp_path, tls=files) as fake:
        environ = {"KUBECONFIG": str(fake.kubeconfig(tmp_path / "kubeconfig"))}
        cluster = connect(KubernetesSettings(), environ, pace=SOON)
        cluster.create(CONFIG_MAPS, configmap("m"))
        fake.server.restart()
        assert cluster.get(CONFIG_MAPS, "m")["metadata"]["name"] == "m"
        cluster.close()
