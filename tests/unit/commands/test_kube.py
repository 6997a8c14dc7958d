"""``oneoff kube render``, in process: no cluster, and no app that could be imported."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner, Result

from oneoff.cli.main import main
from oneoff.tasks.document import to_document
from oneoff.tasks.secret import Secret
from oneoff.tasks.signature import from_signature
from oneoff.tasks.task import Task
from oneoff.types import TaskName
from tests.recorded import RECORDINGS
from tests.unit.kube.samples import VERSIONS

SETTINGS = """
[tool.oneoff]
app = "no.such.module:app"
[tool.oneoff.environments.production]
protected = true
reason = 'OPS-\\d+'
[tool.oneoff.environments.production.kubernetes]
namespace = "shop"
workload = "deployment/web"
container = "web"
store = { secret = "db", key = "s" }
[tool.oneoff.environments.staging]
kubernetes = { workload = "deployment/web", container = "web", keep_entrypoint = false }
[tool.oneoff.environments.laptop]
[tool.oneoff.tasks.db-migrate]
command = ["npm", "run", "db:migrate"]
runner = false
schedule = "30 1 * * *"
time_zone = "Europe/Berlin"
timeout = 600
"""
OBJECTS = str(RECORDINGS / "workload-stable" / "objects.json")
MANIFEST = """
# Source: shop/templates/config.yaml
---
# an empty document
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop, tier: web}}
    spec:
      containers:
      - name: web
        image: shop@sha256:0a
        env:
        - {name: ONEOFF_STORE, value: x}
        - {name: SINCE, value: 2026-01-01}
        - {name: AT, value: 12:30}
        volumeMounts: [{name: cfg, mountPath: /cfg}]
      volumes:
      - name: cfg
        configMap: {name: cfg, defaultMode: 0444}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {tier: web}, ports: [{port: 80}]}
"""


def purge(key: Secret, older_than: timedelta | None = None) -> None:
    """Delete."""


CATALOGUE = [
    to_document(
        Task(
            name=TaskName("purge"),
            parameters=from_signature(purge)[0],
            confirm="Really?",
            timeout=timedelta(minutes=1),
            schedule="@daily",
            function=purge,
        )
    )
]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings, a manifest and a catalogue in a folder of their own."""
    (tmp_path / "oneoff.toml").write_text(SETTINGS)
    (tmp_path / "web.yaml").write_text(MANIFEST)
    (tmp_path / "tasks.json").write_text(json.dumps(CATALOGUE))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def render(*arguments: str, stdin: str | None = None) -> Result:
    """``oneoff kube render ARGUMENTS``."""
    return CliRunner().invoke(main, ["kube", "render", *arguments], input=stdin)


def rendered(*arguments: str, stdin: str | None = None) -> list[dict[str, Any]]:
    """The objects that it prints, each of them valid for every version."""
    result = render(*arguments, stdin=stdin)
    assert result.exit_code == 0, result.output
    made = list(yaml.safe_load_all(result.stdout))
    for one in made:
        for version in VERSIONS:
            kubernetes_validate.validate(one, version, strict=True)
    return made


def test_a_job_of_a_task_of_the_app() -> None:
    """From what a cluster holds; the app cannot be imported, and is not asked."""
    given = ("--env", "production", "-f", OBJECTS, "--run-id", "r1", "--confirm", "production")
    (made,) = rendered("purge_old", *given, "--reason", "OPS-1", "--", "--older-than", "90d")
    assert (made["kind"], made["metadata"]["name"], made["metadata"]["namespace"]) == (
        "Job",
        "purge-old-r1",
        "shop",
    )
    (container,) = made["spec"]["template"]["spec"]["containers"]
    assert container["command"][-6:] == [
        "--confirm",
        "production",
        "--reason",
        "OPS-1",
        "--older-than",
        "90d",
    ]
    assert rendered("purge_old", *given, "--reason", "OPS-1", "--", "--older-than", "90d") == [made]


def test_a_manifest_by_standard_input() -> None:
    """Several documents, some of them empty; texts stay the texts that they are for kubectl."""
    (made,) = rendered("purge", "--env", "staging", "-f", "-", "--run-id", "r1", stdin=MANIFEST)
    spec = made["spec"]["template"]["spec"]
    values = {one["name"]: one.get("value") for one in spec["containers"][0]["env"]}
    assert (values["SINCE"], values["AT"]) == ("2026-01-01", "12:30")
    assert spec["volumes"][0]["configMap"]["defaultMode"] == 0o444
    assert "namespace" not in made["metadata"]


def test_a_bare_command_with_its_schedule() -> None:
    """Both objects at once; the settings know the schedule."""
    job, cron = rendered("db-migrate", "--env", "staging", "-f", "web.yaml", "--job", "--schedule")
    assert (job["kind"], cron["kind"]) == ("Job", "CronJob")
    assert job["spec"]["activeDeadlineSeconds"] == 1200
    assert (cron["spec"]["schedule"], cron["spec"]["timeZone"]) == ("30 1 * * *", "Europe/Berlin")
    inner = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    assert inner["command"] == ["npm", "run", "db:migrate"]
    (alone,) = rendered("db-migrate", "--env", "staging", "-f", "web.yaml", "--schedule")
    assert alone == cron


def test_the_schedule_of_the_app_comes_by_the_catalogue() -> None:
    """And a schedule carries its confirmation."""
    given = ("purge", "--schedule", "--tasks", "tasks.json", "-f", "web.yaml")
    (cron,) = rendered(*given, "--env", "staging")
    (container,) = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"][-1] == "--yes"
    assert cron["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 660
    refused = render(*given, "--env", "production")
    assert refused.exit_code == 3
    assert "production wants a reason" in refused.stderr
    (cron,) = rendered(*given, "--env", "production", "--reason", "OPS-2")
    (container,) = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["args"][-4:] == ["--confirm", "production", "--reason", "OPS-2"]


def test_the_difference() -> None:
    """The pod beside its source, with the reason of each change."""
    shown = render("purge", "--env", "staging", "-f", "web.yaml", "--run-id", "r1", "--diff").stdout
    assert "# metadata.labels[app] dropped: a Service" in shown
    assert "--- deployment/web\n+++ job/purge-r1\n" in shown
    assert '-    tier: "web"\n' in shown
    assert '+  restartPolicy: "Never"\n' in shown
    assert "12:30" not in "".join(line for line in shown.splitlines() if line[:1] in "+-")


def test_json_for_programs() -> None:
    """The objects with the changes, and in what the run is not the app."""
    result = render("purge", "--env", "staging", "-f", "web.yaml", "--image", "shop:2", "-o", "json")
    document = json.loads(result.stdout)
    assert [one["kind"] for one in document["objects"]] == ["Job"]
    assert document["departures"] == ["image shop:2 in place of shop@sha256:0a"]
    assert document["differs"] == ["image"]
    assert {"path", "action", "reason"} == set(document["changes"][0])
    assert any("shop:2 is no digest" in note for note in document["notes"])


@pytest.mark.parametrize(
    ("arguments", "note"),
    [
        (("purge", "--env", "staging", "-f", "web.yaml"), "no time limit of purge is known"),
        (("purge", "--env", "staging", "-f", "web.yaml"), "whether the release has a task purge"),
        (("purge", "--env", "production", "-f", OBJECTS), "give --confirm production"),
        (("purge", "--env", "production", "-f", OBJECTS), "production wants a reason"),
        (("purge", "--env", "production", "-f", OBJECTS), "NetworkPolicy allow-db"),
        (("purge", "--env", "production", "-f", OBJECTS), "docker.io/local/python:3.11 is no digest"),
        (("purge", "--env", "staging", "-f", "web.yaml", "--tasks", "tasks.json"), "give --yes"),
    ],
)
def test_notes_for_whoever_applies_it(arguments: tuple[str, ...], note: str) -> None:
    """They are on standard error; the result is not disturbed."""
    result = render(*arguments)
    assert result.exit_code == 0
    assert note in result.stderr
    assert "note:" not in result.stdout


def test_a_dry_run_needs_no_confirmation() -> None:
    """Nothing stays of it."""
    result = render("purge", "--env", "production", "-f", OBJECTS, "--", "--dry-run")
    assert "refused" not in result.stderr
    assert '"--dry-run"' in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("purge", "--env", "laptop", "-f", "web.yaml"), 2, "laptop is not in Kubernetes"),
        (("purge", "--env", "stagin", "-f", "web.yaml"), 2, "did you mean 'staging'"),
        (("purge", "--env", "staging", "-f", "no.yaml"), 2, "no.yaml cannot be read"),
        (("purge", "--env", "staging", "-f", "."), 2, "cannot be read"),
        (("purge", "--env", "staging", "-f", "oneoff.toml"), 2, "oneoff.toml"),
        (("purge", "--env", "staging", "-f", "web.yaml", "--release", "target"), 2, "give one of them"),
        (("purge", "--env", "staging", "-f", "-", "-f", "-"), 2, "can be read once"),
        (
            ("purge", "--env", "staging", "-f", "web.yaml", "-f", "web.yaml"),
            2,
            "deployment/web is there 2 times",
        ),
        (("purge", "--env", "staging", "-f", "web.yaml", "--schedule"), 2, "no schedule of purge is known"),
        (("purge", "--env", "staging", "-f", "web.yaml", "--run-id", "A B"), 2, "is no run id"),
        (("Purge!", "--env", "staging", "-f", "web.yaml"), 2, "cannot name a task"),
        (("other", "--env", "staging", "-f", "web.yaml", "--tasks", "tasks.json"), 2, "no task other"),
        (("purge", "--env", "staging", "-f", "web.yaml", "--tasks", "web.yaml"), 2, "is no JSON"),
        (("db-migrate", "--env", "staging", "-f", "web.yaml", "--", "--x"), 2, "takes no options"),
        (
            ("purge", "--env", "staging", "-f", "web.yaml", "--tasks", "tasks.json", "--", "--key=1"),
            2,
            "--key is a secret",
        ),
    ],
)
def test_what_cannot_be_rendered(arguments: tuple[str, ...], code: int, words: str) -> None:
    """An error that says what to do, and nothing on standard output."""
    result = render(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert words in result.stderr


def test_a_run_that_a_service_would_count_is_refused(project: Path) -> None:
    """Labels that the network needs may be those that a Service selects by."""
    (project / "oneoff.toml").write_text(
        SETTINGS.replace("keep_entrypoint", 'network_labels = ["tier"], keep_entrypoint')
    )
    result = render("purge", "--env", "staging", "-f", "web.yaml")
    assert result.exit_code == 3
    assert "Service web would take the run for the app" in result.stderr


def test_a_catalogue_of_another_form(project: Path) -> None:
    """It is named, whatever is wrong in it."""
    wrong: list[dict[str, Any]] = [
        {"timeout_seconds": "x"},
        {"parameters": [1]},
        {"options": []},
    ]
    for entry in wrong:
        (project / "tasks.json").write_text(json.dumps([{**CATALOGUE[0], **entry}]))
        result = render("purge", "--env", "staging", "-f", "web.yaml", "--tasks", "tasks.json")
        assert (result.exit_code, result.stdout) == (2, "")
        assert "--tasks tasks.json: the task purge is not as oneoff prints it" in result.stderr


def test_a_schedule_that_cannot_work_is_named(project: Path) -> None:
    """With its task."""
    (project / "oneoff.toml").write_text(SETTINGS.replace("30 1 * * *", "30 1 * * 7"))
    result = render("db-migrate", "--env", "staging", "-f", "web.yaml", "--schedule")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "db-migrate] schedule = '30 1 * * 7': weekday '7'" in result.stderr
