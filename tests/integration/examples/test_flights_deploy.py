"""The example's image and manifests: what can be held of them without a container engine or a cluster."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from oneoff.kube.checks import network, podsecurity
from oneoff.kube.checks.rights import LAUNCH
from oneoff.kube.objects import Object, metadata, name_of
from oneoff.kube.selectors import counted_by
from tests.cli import Project

PROJECT = Path(__file__).resolve().parents[3]
EXAMPLE = PROJECT / "examples" / "flights"
DEPLOY = EXAMPLE / "deploy"
VERSIONS = [
    pytest.param(f"1.{minor}", marks=[pytest.mark.slow] if 30 < minor < 37 else []) for minor in range(30, 38)
]


def objects() -> list[Object]:
    """Everything in the folder."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(DEPLOY.glob("*.yaml"))]
    return [thing for text in texts for thing in yaml.safe_load_all(text)]


def of(kind: str, namespace: str = "flights") -> list[Object]:
    return [one for one in objects() if (one["kind"], metadata(one).get("namespace")) == (kind, namespace)]


def templates() -> Iterator[tuple[str, Object]]:
    for one in objects():
        if one["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield name_of(one), one["spec"]["template"]


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, each with its text on one line."""
    text = re.sub(r"^#.*\n", "", (EXAMPLE / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines) if word]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_valid(version: str) -> None:
    """Strictly: a misspelt field is an error."""
    for one in objects():
        kubernetes_validate.validate(one, version, strict=True)


def test_every_pod_is_restricted() -> None:
    """So is what the namespaces demand of them, and each has a limit of memory and no token."""
    for one in objects():
        if one["kind"] == "Namespace":
            assert metadata(one)["labels"][podsecurity.ENFORCE] == "restricted"
    for name, template in templates():
        for minor in (30, 37):
            assert podsecurity.violations(template, "restricted", minor) == [], name
        assert template["spec"]["automountServiceAccountToken"] is False
        for container in template["spec"]["containers"]:
            assert container["resources"]["limits"]["memory"]
            assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_no_file_holds_a_secret() -> None:
    """They are made by a command, and referred to."""
    assert "Secret" not in {one["kind"] for one in objects()}


def test_the_owner_of_the_store_is_out_of_the_apps_reach() -> None:
    """Their secrets are in another namespace: who may create Jobs in one can read all of its Secrets."""
    (app,) = of("Deployment")
    assert "records-owner" not in str(app)
    (job,) = of("Job", "flights-data")
    variable = job["spec"]["template"]["spec"]["containers"][0]["env"][0]
    assert variable["valueFrom"]["secretKeyRef"]["name"] == "records-owner"


def test_the_roles_are_enough_and_not_more() -> None:
    """All that a launch needs; no Secret, no shell, no pod of one's own, no wildcard."""
    rules = {name_of(role): role["rules"] for role in of("Role")}
    given = {
        (verb, f"{resource}.{group}".rstrip("."))
        for rule in rules["oneoff-launch"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    for right in LAUNCH:
        verb, resource = str(right).split()
        assert (verb, resource) in given, right
    everything = [rule for role in rules.values() for rule in role]
    for rule in everything:
        assert "*" not in rule["resources"] + rule["verbs"] + rule["apiGroups"]
        forbidden = {"secrets", "pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers"}
        assert not forbidden & set(rule["resources"])
        if "pods" in rule["resources"]:
            assert set(rule["verbs"]) <= {"get", "list", "watch"}


def test_a_run_reaches_the_database_and_is_not_the_app(tmp_path: Path) -> None:
    """With the label of network_labels it loses no policy, and no Service or budget counts it."""
    catalogue = tmp_path / "tasks.json"
    listed = Project(EXAMPLE)("tasks", "-o", "json", environ={"FLIGHTS_DATABASE_URL": "sqlite://"})
    catalogue.write_text(listed.out)
    ended = Project(EXAMPLE)(
        *("kube", "render", "purge-flights", "--env", "production", "--tasks", str(catalogue)),
        *(word for path in sorted(DEPLOY.glob("*.yaml")) for word in ("-f", str(path))),
        *("--confirm", "production", "--reason", "OPS-1 try", "-o", "json", "--", "--before", "2013-02-01"),
    )
    assert ended.code == 0, ended.err
    assert ended.json["differs"] == []
    (job,) = ended.json["objects"]
    template = job["spec"]["template"]
    assert podsecurity.violations(template, "restricted", 37) == []
    labels = metadata(template)["labels"]
    assert counted_by([*of("Service"), *of("PodDisruptionBudget")], labels) == []
    app = metadata(of("Deployment")[0]["spec"]["template"])["labels"]
    found = network.reach(of("NetworkPolicy"), app, labels, {})
    assert (found.lost, found.held, found.shut) == ((), (), ())


def test_the_image_starts_the_app_without_a_shell_and_without_root() -> None:
    """What the Deployment starts is what the image would, and no instruction after it is root's."""
    last = [index for index, (word, _) in enumerate(instructions()) if word == "FROM"][-1]
    final = instructions()[last:]
    words = dict(final)
    user, group = words["USER"].split(":")
    assert int(user) > 0 and int(group) > 0
    command: list[str] = json.loads(words["CMD"])
    container = of("Deployment")[0]["spec"]["template"]["spec"]["containers"][0]
    assert container["command"] == command
    assert "RUN" not in words
    images = {one["image"] for _, template in templates() for one in template["spec"]["containers"]}
    assert images == {"flights:1", "postgres:18"}


def test_the_image_has_what_it_copies() -> None:
    """Every file is there, and .dockerignore lets it through; a client of Kubernetes is not installed."""
    copied = [
        source
        for word, text in instructions()
        if word == "COPY" and not text.startswith("--from")
        for source in shlex.split(text)[:-1]
    ]
    assert len(copied) > 5
    for source in copied:
        assert (PROJECT / source).exists(), source
        assert not ignored(source), source
    for source in (".git", ".venv", "tests", "examples/flights/data", "examples/flights/.oneoff"):
        assert ignored(source), source
    assert ".[postgres]" in str(instructions())
    assert "kubernetes]" not in str(instructions())
    named = (EXAMPLE / "requirements.txt").read_text()
    assert {"flask", "sqlalchemy", "gunicorn"} <= set(re.findall(r"^\w+", named, re.MULTILINE))


def ignored(path: str) -> bool:
    """What .dockerignore makes of a path: the last pattern that fits it or a folder above it decides."""
    found = False
    for line in (PROJECT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        parents = [path, *(str(parent) for parent in Path(path).parents if str(parent) != ".")]
        if any(_fits(each, pattern) for each in parents):
            found = not line.startswith("!")
    return found


def _fits(path: str, pattern: str) -> bool:
    parts, wanted = path.split("/"), pattern.split("/")
    if wanted[0] == "**":
        return any(_fits("/".join(parts[at:]), "/".join(wanted[1:])) for at in range(len(parts)))
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatch, parts, wanted))
