"""A container as a local process: its arguments, environment, files, output and end."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.kubernetes.kinds import Key, Object
from tests.kubernetes.logs import Log
from tests.kubernetes.storage import Storage

LONGEST_MESSAGE = 4096
"""Bytes of a termination message that are kept."""
TERMINATION_LOG = "FAKE_TERMINATION_LOG"
"""Names, in every process, the file whose text becomes the container's termination message."""

_VARIABLE = re.compile(r"\$(\$|\(([A-Za-z_][-A-Za-z0-9_.]*)\))")
_LABEL = re.compile(r"^metadata\.(labels|annotations)\['(.+)'\]$")


class ConfigError(Exception):
    """A reference of the container leads nowhere: CreateContainerConfigError."""


class Place:
    """The folder that stands for the container's file system.

    A path of the container that lies under a mount, or is the termination message's, exists at
    ``root + path`` here. Where an argument or a variable is such a path, the process is given ours.
    """

    def __init__(self, folder: Path, pod: Object, container: Object) -> None:
        self.root: Path = folder / container["name"]
        self.root.mkdir(parents=True, exist_ok=True)
        self.container = container
        self._shared = folder / "volumes"
        self.termination_log = self.at(container["terminationMessagePath"])
        self.termination_log.parent.mkdir(parents=True, exist_ok=True)
        self._volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or []}
        self._mounts = [mount["mountPath"].rstrip("/") for mount in container.get("volumeMounts") or []]

    def at(self, path: str) -> Path:
        """Where a path of the container is on this machine."""
        return self.root / path.lstrip("/")

    def mapped(self, text: str) -> str:
        """A path of the container as ours, also behind the @ of an option; any other text as it is."""
        mark, path = ("@", text[1:]) if text.startswith("@/") else ("", text)
        mounted = any(path == mount or path.startswith(f"{mount}/") for mount in self._mounts)
        return (
            f"{mark}{self.at(path)}" if mounted or path == self.container["terminationMessagePath"] else text
        )

    def fill(self, storage: Storage, namespace: str) -> None:
        """Write the ConfigMaps and Secrets that are mounted; make the folders that pods share."""
        for mount in self.container.get("volumeMounts") or []:
            volume = self._volumes.get(mount["name"], {})
            target = self.at(mount["mountPath"])
            if "emptyDir" in volume or "hostPath" in volume:
                on_node = (volume.get("hostPath") or {}).get("path")
                shared = Path(on_node) if on_node else self._shared / mount["name"]
                shared.mkdir(parents=True, exist_ok=True)
                target.parent.mkdir(parents=True, exist_ok=True)
                if not target.exists():
                    target.symlink_to(shared)
                continue
            target.mkdir(parents=True, exist_ok=True)
            for kind, source in _sources(volume):
                name_of_source = str(source.get("name") or source.get("secretName"))
                found = _data(storage, kind, namespace, name_of_source, source.get("optional", False))
                for name, text in _items(source, found).items():
                    (target / name).write_text(text)

    def message(self, log: Log, exit_code: int) -> str:
        """The termination message."""
        found = ""
        if self.termination_log.exists():
            found = self.termination_log.read_bytes()[:LONGEST_MESSAGE].decode(errors="replace")
        falls_back = self.container["terminationMessagePolicy"] == "FallbackToLogsOnError"
        if not found and falls_back and exit_code != 0:
            return log.tail(80, 2048)
        return found


def _sources(volume: Object) -> Iterator[tuple[str, Object]]:
    """The ConfigMaps and Secrets of a volume, also of a projected one."""
    for part in [volume, *(volume.get("projected") or {}).get("sources", [])]:
        yield from ((kind, part[kind]) for kind in ("configMap", "secret") if kind in part)


def _items(source: Object, found: dict[str, str]) -> dict[str, str]:
    """The files by their names: all keys, or those that are chosen."""
    if "items" not in source:
        return found
    try:
        return {item["path"]: found[item["key"]] for item in source["items"]}
    except KeyError as error:
        raise ConfigError(f"references non-existent secret key: {error.args[0]}") from error


def _data(storage: Storage, source: str, namespace: str, name: str, optional: bool) -> dict[str, str]:
    """The values of a ConfigMap or Secret."""
    plural = "configmaps" if source == "configMap" else "secrets"
    found = storage.get(Key("", plural, namespace, name))
    if found is None:
        if optional:
            return {}
        raise ConfigError(f'{plural[:-1]} "{name}" not found')
    if plural == "configmaps":
        return dict(found.get("data") or {})
    data = {key: base64.b64decode(value).decode() for key, value in (found.get("data") or {}).items()}
    return data | (found.get("stringData") or {})


def _field(pod: Object, path: str) -> str:
    """A value of the downward API."""
    if found := _LABEL.match(path):
        section, name = found.groups()
        return str((pod["metadata"].get(section) or {}).get(name, ""))
    value: Any = pod
    for step in path.split("."):
        value = value.get(step, "") if isinstance(value, dict) else ""
    return str(value)


def _referenced(storage: Storage, pod: Object, source: Object) -> str | None:
    """The value of an ``env[].valueFrom``; None where it is optional and absent."""
    namespace = pod["metadata"]["namespace"]
    if "fieldRef" in source:
        return _field(pod, source["fieldRef"]["fieldPath"])
    for name in ("configMap", "secret"):
        reference = source.get(f"{name}KeyRef")
        if reference is None:
            continue
        optional = reference.get("optional", False)
        data = _data(storage, name, namespace, reference["name"], optional)
        if reference["key"] not in data:
            if optional:
                return None
            kind = "Secret" if name == "secret" else "ConfigMap"
            where = f"{namespace}/{reference['name']}"
            raise ConfigError(f"couldn't find key {reference['key']} in {kind} {where}")
        return data[reference["key"]]
    if "resourceFieldRef" in source:
        section, _, resource = source["resourceFieldRef"]["resource"].partition(".")
        resources = pod["spec"]["containers"][0]["resources"]
        return str(resources.get(section, {}).get(resource, "0"))
    raise ConfigError("a value from a source that the fake does not know")


def environment(storage: Storage, pod: Object, container: Object) -> dict[str, str]:
    """What the container's own spec sets, in its order."""
    namespace = pod["metadata"]["namespace"]
    found: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        for name in ("configMap", "secret"):
            reference = source.get(f"{name}Ref")
            if reference is not None:
                data = _data(storage, name, namespace, reference["name"], reference.get("optional", False))
                found |= {source.get("prefix", "") + key: value for key, value in data.items()}
    for variable in container.get("env") or []:
        if "valueFrom" in variable:
            value = _referenced(storage, pod, variable["valueFrom"])
            if value is not None:
                found[variable["name"]] = value
        else:
            found[variable["name"]] = expand(variable.get("value", ""), found)
    return found


def expand(text: str, known: Mapping[str, str]) -> str:
    """Replace ``$(NAME)``; an unknown name stays, and ``$$`` is one dollar sign."""

    def put(found: re.Match[str]) -> str:
        if found[1] == "$":
            return "$"
        return known.get(found[2], found[0])

    return _VARIABLE.sub(put, text)


class Process:
    """A running container: its output goes to its log, its end is told once."""

    def __init__(self, argv: list[str], env: Mapping[str, str], cwd: Path, ended: Callable[[], None]) -> None:
        self.log = Log()
        self.exit_code: int | None = None
        self._ended = ended
        self._popen = subprocess.Popen(
            argv,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._thread = threading.Thread(target=self._collect, name=f"log-{self._popen.pid}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        return self._popen.pid

    def terminate(self) -> None:
        """SIGTERM as the first process of a container gets it.

        The kernel delivers it to such a process only where a handler is installed: a program without one
        goes on until it is killed.
        """
        if _catches(self._popen.pid, signal.SIGTERM):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._popen.pid, signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to everything in the container."""
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)

    def wait(self, seconds: float | None = None) -> bool:
        """True if it has ended within the time."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _collect(self) -> None:
        assert self._popen.stdout is not None
        waiter = threading.Thread(target=self._reap, daemon=True)
        waiter.start()
        with self._popen.stdout as output:
            for line in output:
                self.log.add(line)
        waiter.join()
        self.log.close()
        code = self._popen.returncode
        self.exit_code = 128 - code if code < 0 else code
        self._ended()

    def _reap(self) -> None:
        """When the first process ends the container ends, with all that it left running."""
        self._popen.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)


def _catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal; True where the system does not tell."""
    status = Path(f"/proc/{pid}/status")
    try:
        text = status.read_text()
    except OSError:
        return not Path("/proc/self/status").exists()
    (mask,) = [int(line.split()[1], 16) for line in text.splitlines() if line.startswith("SigCgt:")]
    return bool(mask >> (number - 1) & 1)


def base_environment(pod: Object, place: Place, address: tuple[str, int]) -> Iterator[tuple[str, str]]:
    """What an image and the kubelet bring: nothing of the test's own environment."""
    yield "PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "/usr/bin:/bin")])
    yield "LANG", "C.UTF-8"
    yield "HOME", "/proc"  # a user without a name has / for a home, and may write nothing there
    yield "HOSTNAME", pod["spec"].get("hostname") or pod["metadata"]["name"]
    yield "KUBERNETES_SERVICE_HOST", address[0]
    yield "KUBERNETES_SERVICE_PORT", str(address[1])
    yield TERMINATION_LOG, str(place.termination_log)
