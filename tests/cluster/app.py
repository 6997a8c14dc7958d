"""The app of the tests: what its pods have, and what a laptop has."""

from __future__ import annotations

from oneoff.kube.objects import Object

FOLDER = "/srv/app"
"""Where the app's files are, from a ConfigMap."""
RECORDS = "/records"
"""Where the folder of the node is."""
LABELS = {"app": "web"}
PORT = 8080

ADMIN = '''
import os
import sqlite3
from contextlib import closing
from datetime import timedelta

import oneoff


def connect() -> sqlite3.Connection:
    return sqlite3.connect(os.environ["SHOP_DATABASE"])


def prepare() -> None:
    with closing(connect()) as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY)")
        db.execute("INSERT OR IGNORE INTO orders VALUES (1), (2)")


admin = oneoff.App("shop", database=connect)


@admin.task
def count(ctx: oneoff.Context, up_to: int = 3, pause: float = 0.0) -> None:
    """Count."""
    for number in range(up_to):
        print(f"tick {number}", flush=True)
        ctx.sleep(pause)
        if ctx.should_stop:
            return


@admin.task(nature="resumable")
def recount(ctx: oneoff.Context, up_to: int = 3, pause: float = 0.0) -> None:
    """Count, which does no harm when it is repeated."""
    count(ctx, up_to, pause)


@admin.task(timeout=timedelta(seconds=5))
def dawdle(ctx: oneoff.Context) -> None:
    """Take longer than it may."""
    while not ctx.should_stop:
        ctx.sleep(1)


@admin.task
def purge(ctx: oneoff.Context) -> None:
    """Delete all orders."""
    with closing(ctx.db()) as db, db:
        db.execute("DELETE FROM orders")


@admin.task
def gobble(ctx: oneoff.Context) -> None:
    """Take more memory than the pod has."""
    held = []
    for _ in range(64):
        held.append(b"x" * (16 << 20))


@admin.task(schedule="* * * * *", time_zone="UTC")
def tidy(ctx: oneoff.Context) -> None:
    """Tidy up."""
    print("tidied")
'''

SERVE = """
import http.server
import json
import os
import signal
import sys

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("ENVIRONMENT " + json.dumps(dict(os.environ)), flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["HOSTNAME"].encode())

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
"""

APP = '[tool.oneoff]\napp = "admin:admin"\n'

SETTINGS = """
[tool.oneoff.environments.cluster.kubernetes]
namespace = "{namespace}"
workload = "deployment/web"
start_within = {patience}

# As cluster, for those who do not wait long.
[tool.oneoff.environments.hasty.kubernetes]
namespace = "{namespace}"
workload = "deployment/web"
start_within = {haste}

[tool.oneoff.tasks.db-migrate]
command = ["python", "-c", "import sys; print('migrating', flush=True); sys.exit(3 if sys.argv[1:] else 0)"]
runner = false

[tool.oneoff.tasks.db-fail]
command = ["python", "-c", "import sys; print('migrating', flush=True); sys.exit(3)"]
runner = false

[tool.oneoff.tasks.db-stall]
command = ["python", "-c", "import time; print('stalling', flush=True); time.sleep(3600)"]
runner = false
timeout = 5
"""


def configuration(settings: str) -> list[Object]:
    """The files of the app, and what its variables refer to."""
    files = {"admin.py": ADMIN, "serve.py": SERVE, "oneoff.toml": APP + settings}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app"}, "data": files},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "configuration"},
            "data": {"MODE": "1e3", "GREETING": "grüß dich"},
        },
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "credentials"},
            "stringData": {"token": "s3cr3t-0777"},
        },
    ]


def service() -> Object:
    """It sends requests to the app's pods."""
    ports = [{"port": 80, "targetPort": PORT}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": LABELS, "ports": ports},
    }


def deployment(pod: Object) -> Object:
    """The app's workload."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": LABELS},
            "template": {"metadata": {"labels": LABELS}, "spec": pod},
        },
    }


def pod(
    image: str,
    pull: str | None,
    *,
    records: str | None,
    node: str | None,
    store_url: str | None,
    port: int = PORT,
) -> Object:
    """The spec of the app's pods: on one node, with a folder of it, unless records go to a URL.

    Args:
        port: Where it listens, as an argument: an image may bring a variable ``PORT`` of its own.
    """
    mounts = [
        {"name": "app", "mountPath": FOLDER, "readOnly": True},
        {"name": "tmp", "mountPath": "/scratch"},
    ]
    volumes: list[Object] = [
        {"name": "app", "configMap": {"name": "app"}},
        {"name": "tmp", "emptyDir": {}},
    ]
    kept = "/scratch"
    if records is not None:
        kept = RECORDS
        mounts.append({"name": "records", "mountPath": RECORDS})
        volumes.append({"name": "records", "hostPath": {"path": records, "type": "DirectoryOrCreate"}})
    container: Object = {
        "name": "web",
        "image": image,
        "command": ["python", "serve.py", str(port)],
        "workingDir": FOLDER,
        "env": [
            {"name": "ONEOFF_STORE", "value": store_url or f"{RECORDS}/store.db"},
            {"name": "SHOP_DATABASE", "value": f"{kept}/shop.db"},
            {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "credentials", "key": "token"}}},
            {"name": "NUMBER", "value": "0777"},
        ],
        "envFrom": [{"configMapRef": {"name": "configuration"}}],
        "ports": [{"containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/", "port": PORT}, "periodSeconds": 2},
        "resources": {
            "requests": {"cpu": "10m", "memory": "64Mi"},
            "limits": {"memory": "512Mi"},
        },
        "securityContext": {"allowPrivilegeEscalation": False},
        "volumeMounts": mounts,
    }
    kept_of = ("image", "workingDir", "env", "envFrom", "resources", "securityContext", "volumeMounts")
    before = {key: container[key] for key in kept_of} | {"name": "prepare"}
    before["command"] = ["python", "-c", "import admin; admin.prepare()"]
    found: Object = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 5,
        "initContainers": [before],
        "containers": [container],
        "volumes": volumes,
    }
    if pull is not None:
        container["imagePullPolicy"] = before["imagePullPolicy"] = pull
    if records is not None:  # a folder of a node belongs to root
        found["securityContext"] = {"runAsUser": 0, "runAsGroup": 0}
    if node is not None:
        found["affinity"] = only(node)
    return found


def only(node: str) -> Object:
    """An affinity to this one node, whatever its labels are."""
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    wanted = {"nodeSelectorTerms": [term]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": wanted}}


def script(image: str, pull: str | None, node: str | None, text: str, *argv: str) -> Object:
    """The spec of a pod that runs a script of Python once, in its one container ``main``."""
    container: Object = {"name": "main", "image": image, "command": ["python", "-c", text, *argv]}
    if pull is not None:
        container["imagePullPolicy"] = pull
    found: Object = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "containers": [container],
    }
    if node is not None:
        found["affinity"] = only(node)
    return found


def with_folder(spec: Object, folder: str) -> Object:
    """The same with a folder of the node at ``/node``, as root, whose it is."""
    (container,) = spec["containers"]
    mounted = {**container, "volumeMounts": [{"name": "node", "mountPath": "/node"}]}
    volume = {"name": "node", "hostPath": {"path": folder, "type": "Directory"}}
    root = {"runAsUser": 0, "runAsGroup": 0}
    return {**spec, "containers": [mounted], "volumes": [volume], "securityContext": root}
