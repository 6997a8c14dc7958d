"""What the Pod Security Standards say against a pod: the levels baseline and restricted.

The rules are those of https://kubernetes.io/docs/concepts/security/pod-security-standards/ since Kubernetes
1.25. Admission enforces them on Pods alone: a Job of such a pod is taken, and never gets one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from oneoff.kube.objects import Object, annotations_of

ENFORCE: Final = "pod-security.kubernetes.io/enforce"
"""The label of a namespace that names the level; with ``-version`` behind it, whose rules are meant."""

Rule = Callable[[Object, int], Iterator[str]]
"""Takes a pod template and the minor version of the rules."""

_CAPABILITIES: Final = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
        *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    }
)
_SYSCTLS: Final = {
    0: {
        *("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start"),
        *("net.ipv4.ping_group_range", "net.ipv4.tcp_syncookies"),
    },
    27: {"net.ipv4.ip_local_reserved_ports"},
    29: {
        *("net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl"),
        *("net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time"),
    },
    32: {"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"},
    37: {"net.ipv4.tcp_notsent_lowat", "net.ipv4.tcp_slow_start_after_idle"},
}
"""Those that are allowed, by the minor version since when."""
_SELINUX: Final = {0: {"", "container_t", "container_init_t", "container_kvm_t"}, 31: {"container_engine_t"}}
_VOLUMES: Final = frozenset(
    {
        *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral"),
        *("persistentVolumeClaim", "projected", "secret"),
    }
)
_APPARMOR: Final = "container.apparmor.security.beta.kubernetes.io/"
_ALLOWED_PROFILES: Final = (None, "RuntimeDefault", "Localhost")


def violations(template: Object, level: str, minor: int) -> list[str]:
    """What the level forbids of this pod template, a sentence each; empty where it is allowed.

    Args:
        level: ``baseline`` or ``restricted``; every other one allows all.
        minor: Of the version of Kubernetes whose rules hold: 36 for 1.36.
    """
    return [said for rule in _LEVELS.get(level, ()) for said in rule(template, minor)]


def _containers(template: Object) -> list[Object]:
    spec = template["spec"]
    return [*(spec.get("initContainers") or []), *spec["containers"]]


def _context(thing: Object) -> Object:
    return thing.get("securityContext") or {}


def _contexts(template: Object) -> Iterator[tuple[str, Object]]:
    """The security context of the pod and of each container, with what it is called."""
    yield "the pod", _context(template["spec"])
    for container in _containers(template):
        yield f"the container {container['name']}", _context(container)


def _since(table: dict[int, set[str]], minor: int) -> set[str]:
    return set().union(*(names for version, names in table.items() if version <= minor))


def _windows(template: Object) -> bool:
    return (template["spec"].get("os") or {}).get("name") == "windows"


def _users_apart(template: Object) -> bool:
    """In a user namespace of its own, root in the pod is not root on the node."""
    return template["spec"].get("hostUsers") is False


def _host_namespaces(template: Object, minor: int) -> Iterator[str]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if template["spec"].get(field):
            yield f"{field} is true"


def _host_volumes(template: Object, minor: int) -> Iterator[str]:
    for volume in template["spec"].get("volumes") or []:
        if "hostPath" in volume:
            yield f"the volume {volume['name']} is a hostPath"


def _containers_baseline(template: Object, minor: int) -> Iterator[str]:
    for container in _containers(template):
        name, context = f"the container {container['name']}", _context(container)
        if context.get("privileged"):
            yield f"{name} is privileged"
        added = set((context.get("capabilities") or {}).get("add") or ()) - _CAPABILITIES
        if added:
            yield f"{name} adds the capabilities {', '.join(sorted(added))}"
        if any(port.get("hostPort") for port in container.get("ports") or []):
            yield f"{name} has a hostPort"
        if context.get("procMount") not in (None, "", "Default") and not _users_apart(template):
            yield f"{name} has procMount {context['procMount']}"
        if minor >= 34 and _names_a_host(container):
            yield f"{name} names a host in a probe or a hook"


def _names_a_host(container: Object) -> bool:
    hooks = container.get("lifecycle") or {}
    handlers: list[Any] = [
        container.get(probe) for probe in ("livenessProbe", "readinessProbe", "startupProbe")
    ]
    handlers += [hooks.get("postStart"), hooks.get("preStop")]
    return any(
        (handler.get(action) or {}).get("host")
        for handler in handlers
        if handler
        for action in ("httpGet", "tcpSocket")
    )


def _profiles(template: Object, minor: int) -> Iterator[str]:
    for name, context in _contexts(template):
        if (context.get("seccompProfile") or {}).get("type") not in _ALLOWED_PROFILES:
            yield f"{name} has the seccomp profile {context['seccompProfile']['type']}"
        if (context.get("appArmorProfile") or {}).get("type") not in _ALLOWED_PROFILES:
            yield f"{name} has the AppArmor profile {context['appArmorProfile']['type']}"
        options = context.get("seLinuxOptions") or {}
        if (
            (options.get("type") or "") not in _since(_SELINUX, minor)
            or options.get("user")
            or options.get("role")
        ):
            yield f"{name} has SELinux options of its own"
        if (context.get("windowsOptions") or {}).get("hostProcess"):
            yield f"{name} is a process of the host"
    for key, value in annotations_of(template).items():
        if (
            key.startswith(_APPARMOR)
            and value not in ("", "runtime/default")
            and not value.startswith("localhost/")
        ):
            yield f"{key} is {value}"


def _sysctls(template: Object, minor: int) -> Iterator[str]:
    allowed = _since(_SYSCTLS, minor)
    for sysctl in _context(template["spec"]).get("sysctls") or []:
        if sysctl.get("name") not in allowed:
            yield f"it sets the sysctl {sysctl.get('name')}"


def _volume_types(template: Object, minor: int) -> Iterator[str]:
    for volume in template["spec"].get("volumes") or []:
        kinds = volume.keys() - {"name"}
        if not kinds <= _VOLUMES:
            yield f"the volume {volume['name']} is of the type {', '.join(sorted(kinds))}"


def _escalation(template: Object, minor: int) -> Iterator[str]:
    if _windows(template):
        return
    for container in _containers(template):
        name, context = container["name"], _context(container)
        if context.get("allowPrivilegeEscalation") is not False:
            yield f"the container {name} has to set allowPrivilegeEscalation to false"
        capabilities = context.get("capabilities") or {}
        if "ALL" not in (capabilities.get("drop") or ()):
            yield f"the container {name} has to drop ALL capabilities"
        added = set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}
        if added:
            yield f"the container {name} adds the capabilities {', '.join(sorted(added))}"


def _root(template: Object, minor: int) -> Iterator[str]:
    if _users_apart(template):
        return
    pod = _context(template["spec"])
    if pod.get("runAsNonRoot") is False:
        yield "the pod sets runAsNonRoot to false"
    for container in _containers(template):
        said = _context(container).get("runAsNonRoot")
        if (pod.get("runAsNonRoot") if said is None else said) is not True:
            yield f"the container {container['name']} has to set runAsNonRoot to true"
    for name, context in _contexts(template):
        if context.get("runAsUser") == 0:
            yield f"{name} runs as user 0"


def _seccomp(template: Object, minor: int) -> Iterator[str]:
    if _windows(template):
        return
    pod = _context(template["spec"]).get("seccompProfile")
    for container in _containers(template):
        profile = _context(container).get("seccompProfile") or pod or {}
        if profile.get("type") is None:
            yield f"the container {container['name']} has to set a seccomp profile: RuntimeDefault, Localhost"


_BASELINE: Final[tuple[Rule, ...]] = (
    _host_namespaces,
    _host_volumes,
    _containers_baseline,
    _profiles,
    _sysctls,
)
_LEVELS: Final[dict[str, tuple[Rule, ...]]] = {
    "baseline": _BASELINE,
    "restricted": (*_BASELINE, _volume_types, _escalation, _root, _seccomp),
}
