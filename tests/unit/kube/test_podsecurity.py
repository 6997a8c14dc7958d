"""Each rule of the Pod Security Standards, with what it forbids and what it allows."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from oneoff.kube.checks.podsecurity import violations

Object = dict[str, Any]
PROBE: Object = {"httpGet": {"host": "10.0.0.1", "port": 1}}
SAFE: Object = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def pod(context: Object | None = None, *, container: Object | None = None, **spec: Any) -> Object:
    """A pod that the level restricted allows, save for what is given."""
    given = {"name": "app", "securityContext": {**SAFE, **(context or {})}, **(container or {})}
    secure = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    return {"metadata": {}, "spec": {"securityContext": secure, "containers": [given], **spec}}


def with_pod_context(**context: Any) -> Object:
    made = pod()
    made["spec"]["securityContext"] |= context
    return made


BASELINE = [
    pytest.param(pod(hostNetwork=True), "hostNetwork is true", id="hostNetwork"),
    pytest.param(pod(hostPID=True), "hostPID is true", id="hostPID"),
    pytest.param(pod(hostIPC=True), "hostIPC is true", id="hostIPC"),
    pytest.param(pod({"privileged": True}), "the container app is privileged", id="privileged"),
    pytest.param(
        pod({"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}), "SYS_ADMIN", id="capability"
    ),
    pytest.param(
        pod(volumes=[{"name": "host", "hostPath": {"path": "/"}}]), "host is a hostPath", id="hostPath"
    ),
    pytest.param(
        pod(container={"ports": [{"containerPort": 1, "hostPort": 1}]}), "has a hostPort", id="hostPort"
    ),
    pytest.param(pod({"procMount": "Unmasked"}), "procMount Unmasked", id="procMount"),
    pytest.param(pod({"seccompProfile": {"type": "Unconfined"}}), "seccomp profile Unconfined", id="seccomp"),
    pytest.param(with_pod_context(appArmorProfile={"type": "Unconfined"}), "AppArmor", id="appArmor"),
    pytest.param(
        {
            **pod(),
            "metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/app": "unconfined"}},
        },
        "container.apparmor.security.beta.kubernetes.io/app is unconfined",
        id="appArmor by annotation",
    ),
    pytest.param(pod({"seLinuxOptions": {"type": "spc_t"}}), "SELinux", id="SELinux type"),
    pytest.param(with_pod_context(seLinuxOptions={"user": "u"}), "the pod has SELinux", id="SELinux user"),
    pytest.param(
        with_pod_context(sysctls=[{"name": "kernel.msgmax", "value": "1"}]),
        "sysctl kernel.msgmax",
        id="sysctl",
    ),
    pytest.param(
        with_pod_context(windowsOptions={"hostProcess": True}), "a process of the host", id="hostProcess"
    ),
    pytest.param(
        pod(initContainers=[{"name": "s", "securityContext": SAFE, "livenessProbe": PROBE}]),
        "the container s names a host",
        id="probe",
    ),
]
RESTRICTED = [
    pytest.param(pod(volumes=[{"name": "n", "nfs": {}}]), "the volume n is of the type nfs", id="volume"),
    pytest.param(
        pod({"allowPrivilegeEscalation": None}), "set allowPrivilegeEscalation to false", id="escalation"
    ),
    pytest.param(pod({"capabilities": {}}), "drop ALL capabilities", id="drop"),
    pytest.param(
        pod({"capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}}), "adds the capabilities CHOWN", id="add"
    ),
    pytest.param(with_pod_context(runAsNonRoot=None), "set runAsNonRoot to true", id="root"),
    pytest.param(pod({"runAsNonRoot": False}), "set runAsNonRoot to true", id="root by a container"),
    pytest.param(with_pod_context(runAsUser=0), "the pod runs as user 0", id="user 0"),
    pytest.param(
        with_pod_context(seccompProfile=None), "set a seccomp profile: RuntimeDefault", id="no seccomp"
    ),
]


@pytest.mark.parametrize("level", ["baseline", "restricted"])
@pytest.mark.parametrize(("template", "said"), BASELINE)
def test_baseline_forbids(template: Object, said: str, level: str) -> None:
    """One thing each, by its name; restricted forbids it too, and privileged nothing."""
    found = violations(template, level, 36)
    assert any(said in one for one in found), found
    assert violations(template, "privileged", 36) == []


@pytest.mark.parametrize(("template", "said"), RESTRICTED)
def test_restricted_forbids_more(template: Object, said: str) -> None:
    """What baseline allows."""
    (found,) = violations(template, "restricted", 36)
    assert said in found
    assert violations(template, "baseline", 36) == []


@pytest.mark.parametrize(
    "template",
    [
        pod(),
        pod({"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}),
        pod({"seccompProfile": {"type": "Localhost", "localhostProfile": "x"}, "runAsUser": 1}),
        pod(volumes=[{"name": "a", "emptyDir": {}}, {"name": "b", "projected": {"sources": []}}]),
        with_pod_context(sysctls=[{"name": "net.ipv4.tcp_rmem", "value": "1"}]),
        with_pod_context(seLinuxOptions={"type": "container_t", "level": "s0"}),
    ],
)
def test_restricted_allows(template: Object) -> None:
    """What hardens, and what is harmless."""
    assert violations(template, "restricted", 36) == []


def test_rules_have_a_version() -> None:
    """A namespace may name an older one: what was allowed later is not, and what is forbidden later is."""
    keepalive = with_pod_context(sysctls=[{"name": "net.ipv4.tcp_keepalive_time", "value": "1"}])
    assert len(violations(keepalive, "baseline", 28)) == 1
    assert violations(keepalive, "baseline", 29) == []
    probe = pod(container={"readinessProbe": {"tcpSocket": {"host": "x", "port": 1}}})
    assert violations(probe, "baseline", 33) == []
    assert len(violations(probe, "baseline", 34)) == 1


def test_a_pod_of_windows_or_with_users_of_its_own_is_asked_less() -> None:
    """Windows knows no capabilities; root in a user namespace of the pod is nobody on the node."""
    windows = pod({"capabilities": None, "allowPrivilegeEscalation": None}, os={"name": "windows"})
    windows["spec"]["securityContext"]["seccompProfile"] = None
    assert violations(windows, "restricted", 36) == []
    apart = deepcopy(with_pod_context(runAsNonRoot=None, runAsUser=0))
    apart["spec"]["hostUsers"] = False
    assert violations(apart, "restricted", 36) == []
