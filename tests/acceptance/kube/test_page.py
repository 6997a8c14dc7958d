"""The page "From laptop to cluster", played from an empty cluster on.

Every command of the page is executed in its order, in a copy of the example, by somebody who has the rights
of its Roles and no more. What stands in for the world outside:

* ``kubectl`` is the `Kubectl` below over the fake cluster, and applies the example's own manifests. Pods of
  the app and of runs are processes of this machine; the image is a folder with what the Dockerfile copies,
  and its variables.
* PostgreSQL is a real one, set up by the page's own ``setup.sql``; its host in a URL is replaced by a socket.
* ``docker``, ``kind`` and ``pip`` are not run: what ``docker build`` names has to be there.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.test_docs import PROJECT, Command, Reader, blocks, commands, first_missing
from tests.kubernetes import FakeKubernetes
from tests.kubernetes.kinds import Object
from tests.postgres import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]

PAGE = PROJECT / "docs" / "how-to" / "from-laptop-to-cluster.md"
THIS = "tests/acceptance/kube/test_page.py"
IMAGE = "flights:1"
HOST = re.compile(r"(postgresql(?:\+psycopg)?://)(\w+)(:[\w-]+)?@postgresql\.flights-data/(\w+)")
SOME_FLIGHTS = 20_000
PATIENCE = 300.0
"""Seconds that the page's own ``kubectl wait`` has."""


@dataclass
class Kubectl:
    """What of kubectl the page needs, done by an administrator of the fake cluster."""

    cluster: FakeKubernetes
    postgres: Server
    folder: Path
    databases: list[str] = field(default_factory=list)

    def __call__(self, line: str) -> str:
        """What it prints."""
        words = shlex.split(line)[1:]
        namespace = self._option(words, "-n") or "default"
        match words:
            case ["create", "secret", "generic", name, *_]:
                file = self._option(words, "--from-env-file=")
                return self._secret(name, namespace, (self.folder / str(file)).read_text())
            case ["apply", *files]:
                return "\n".join(self._apply(self.folder / name) for name in files if name != "-f")
            case ["rollout", "status", named] | ["wait", _, named, *_]:
                kind, _, name = named.partition("/")
                return self._await(kind, name, namespace)
        raise AssertionError(f"the page has a command of kubectl that this test does not know: {line}")

    def _option(self, words: list[str], name: str) -> str | None:
        """The value of an option; taken out, where it is a word of its own."""
        if name in words:
            at = words.index(name)
            value = words[at + 1]
            del words[at : at + 2]
            return value
        return next((word.removeprefix(name) for word in words if word.startswith(name)), None)

    def _secret(self, name: str, namespace: str, text: str) -> str:
        lines = (line.partition("=") for line in text.splitlines())
        data = {key: self._reachable(value) for key, _, value in lines}
        head = {"name": name, "namespace": namespace}
        self.cluster.create(
            {"apiVersion": "v1", "kind": "Secret", "metadata": head, "stringData": data}, namespace
        )
        return f"secret/{name} created"

    def _reachable(self, text: str) -> str:
        return HOST.sub(rf"\1\2@/\4?host={self.postgres.socket}", text)

    def _apply(self, path: Path) -> str:
        return "\n".join(self._make(thing) for thing in yaml.safe_load_all(self._reachable(path.read_text())))

    def _make(self, thing: Object) -> str:
        meta, kind = thing["metadata"], self.cluster.kinds.of(thing)
        self.cluster.create(thing, meta.get("namespace", ""))
        if kind.kind == "Namespace":
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
            self.cluster.create(account, meta["name"])
        if kind.kind == "StatefulSet":
            self._set_up()
        return f"{kind.kind.lower()}{f'.{kind.group}' if kind.group else ''}/{meta['name']} created"

    def _set_up(self) -> None:
        """As the image of PostgreSQL does at its first start."""
        script = self.cluster.get("configmaps", "flights-data", "postgresql-setup")["data"]["setup.sql"]
        variables = self.cluster.get("secrets", "flights-data", "postgresql")["stringData"]
        subprocess.run(
            [
                *(str(self.postgres.binaries / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1"),
                *("-d", self.postgres.url("postgres")),
            ],
            input=script.encode(),
            env={**os.environ, **variables},
            check=True,
        )

    def _await(self, kind: str, name: str, namespace: str) -> str:
        if kind == "job":
            self.cluster.wait(lambda: _is(self.cluster.get("jobs", namespace, name), "Complete"), PATIENCE)
            return f"job.batch/{name} condition met"
        if kind == "deployment":
            self.cluster.wait(lambda: _settled(self.cluster.get("deployments", namespace, name)), PATIENCE)
        return f'{kind} "{name}" successfully rolled out'


def _is(thing: Object, condition: str) -> bool:
    found = (thing.get("status") or {}).get("conditions") or []
    return any(one["type"] == condition and one["status"] == "True" for one in found)


def _settled(deployment: Object) -> bool:
    return bool((deployment.get("status") or {}).get("readyReplicas") == deployment["spec"]["replicas"])


class Operator(Reader):
    """Somebody who does what the page says."""

    def __init__(self, folder: Path, kubectl: Kubectl, kubeconfigs: dict[str, Path]) -> None:
        super().__init__(folder)
        self._kubectl = kubectl
        self._kubeconfigs = kubeconfigs
        self._known: dict[str, Callable[[str], str]] = {
            "kubectl": kubectl,
            "docker": _checked(folder),
            "kind": lambda line: "",
            "pip": lambda line: "",
        }
        self.environ["XDG_STATE_HOME"] = str(folder.parent / "state")
        self.transcript: list[str] = []

    def play(self, page: Path) -> None:
        """All console blocks of the page; nothing on it is left out."""
        for block in blocks(page):
            if block.file is not None:
                (self._cwd / block.file).write_text(block.text)
            elif block.language == "console":
                assert block.tested_by == THIS, f"line {block.line}"
                for command in commands(block):
                    self._execute(command, f"{page.name}, block of line {block.line}")

    def _execute(self, command: Command, place: str) -> None:
        words = command.line.split()
        known = self._known.get(words[0])
        if known is not None:
            self._kubectl.folder = self._cwd
            printed = known(command.line)
            self.transcript.append(f"$ {command.line}\n{printed}")
            missing = first_missing(command.output, printed)
            assert missing is None, f"{place}\n$ {command.line}\n{printed}\nnot printed: {missing}"
            return
        who = "deployer" if words[:3] == ["oneoff", "kube", "sync"] else "developer"
        self.environ["KUBECONFIG"] = str(self._kubeconfigs[who])
        super()._execute(command, place)


def _checked(folder: Path) -> Callable[[str], str]:
    """What `docker build` names has to be there."""

    def build(line: str) -> str:
        words = shlex.split(line)
        assert (folder / words[words.index("-f") + 1]).is_file()
        assert words[words.index("-t") + 1] == IMAGE
        assert words[-1] == "."
        return ""

    return build


def image_environment() -> dict[str, str]:
    """The variables of the Dockerfile's last stage, save the path; each pod of the app takes a free port."""
    text = (PROJECT / "examples/flights/Dockerfile").read_text().replace("\\\n", " ")
    (line,) = [line for line in text.rpartition("FROM")[2].splitlines() if line.startswith("ENV ")]
    found = dict(word.split("=", 1) for word in shlex.split(line)[1:])
    del found["PATH"]
    return found | {"PORT": "0"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The part of a checkout that the page works in."""
    folder = tmp_path / "project"
    ignored = shutil.ignore_patterns("data", ".oneoff", "__pycache__")
    shutil.copytree(PROJECT / "examples" / "flights", folder / "examples" / "flights", ignore=ignored)
    return folder


@pytest.fixture
def image(project: Path, tmp_path: Path) -> Path:
    """The folder of the image, as the Dockerfile copies it; it loads fewer flights."""
    folder = tmp_path / "image"
    folder.mkdir()
    text = (PROJECT / "examples/flights/Dockerfile").read_text().rpartition("FROM")[2]
    for source in re.findall(r"^COPY (examples/\S+)", text, re.MULTILINE):
        path = project / source
        target = folder / path.name
        shutil.copytree(path, target) if path.is_dir() else shutil.copyfile(path, target)
    load = folder / "flights" / "load.py"
    load.write_text(load.read_text().replace("load(engine)", f"load(engine, limit={SOME_FLIGHTS})"))
    return folder


@pytest.fixture
def operator(tmp_path: Path, project: Path, image: Path, postgres: Server) -> Iterator[Operator]:
    """Somebody with a cluster that has nothing in it, and with the rights of the page's Roles."""
    with ExitStack() as stack:
        cluster = stack.enter_context(FakeKubernetes(tmp_path / "cluster", speed=20, limits=1))
        stack.callback(_drop, postgres)
        cluster.deployments.start()
        cluster.node.image_env |= image_environment()
        cluster.node.folders[IMAGE] = image
        developer = cluster.access.add("dana", "flights-developers")
        deployer = cluster.access.add("system:serviceaccount:flights:deployer")
        cluster.access.ruled.add("dana")
        kubeconfigs = {
            who: _kubeconfig(cluster, tmp_path / who, token)
            for who, token in (("developer", developer), ("deployer", deployer))
        }
        yield Operator(project, Kubectl(cluster, postgres, project), kubeconfigs)


def _drop(postgres: Server) -> None:
    """What setup.sql has made, and the store's owner, so that other tests find none of it."""
    for database in ("flights", "records"):
        postgres.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
    postgres.execute("DROP ROLE IF EXISTS flights", "DROP ROLE IF EXISTS records_owner")


def _kubeconfig(cluster: FakeKubernetes, path: Path, token: str) -> Path:
    """With the context that kind makes."""
    found: dict[str, Any] = yaml.safe_load(cluster.kubeconfig(path, token=token).read_text())
    found["contexts"][0]["name"] = found["current-context"] = "kind-flights"
    path.write_text(yaml.safe_dump(found))
    return path


def test_the_page_works(operator: Operator) -> None:
    """From an empty cluster to runs, schedules and their records."""
    operator.play(PAGE)
