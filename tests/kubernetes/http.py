"""The wire: one thread for each connection, chunks for streams, Status objects for errors; JSON and YAML."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import yaml

from tests.kubernetes import answers, reviews, routes
from tests.kubernetes.access import Access, User
from tests.kubernetes.answers import Refused
from tests.kubernetes.clock import Clock
from tests.kubernetes.eviction import evict
from tests.kubernetes.faults import Faults
from tests.kubernetes.kinds import Key, Object
from tests.kubernetes.pods import Kubelet
from tests.kubernetes.removal import Removal
from tests.kubernetes.resources import Caller, Resources
from tests.kubernetes.routes import Route
from tests.kubernetes.watch import Dropped, Watch

_CREATED = 201


@dataclass
class Parts:
    """Everything that a request may need."""

    resources: Resources
    access: Access
    removal: Removal
    kubelet: Kubelet
    clock: Clock
    faults: Faults


class ApiServer:
    """Listens on a port of its own, and can go away and come back on the same one."""

    def __init__(self, parts: Parts, tls: ssl.SSLContext | None = None) -> None:
        self.parts = parts
        self.tls = tls
        self.requests: list[tuple[str, str]] = []
        """Every request: method and path with query."""
        self._server = _Server(("127.0.0.1", 0), self)
        self.port: int = self._server.server_address[1]
        self._thread = self._serve()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def restart(self, down: float = 0.0) -> None:
        """Cut every connection, stay away for ``down`` seconds, and listen on the same port again."""
        self.stop()
        time.sleep(down)
        self._server = _Server(("127.0.0.1", self.port), self)
        self._thread = self._serve()

    def stop(self) -> None:
        self._server.stopped = True
        self._server.shutdown()
        self._server.server_close()
        self._server.cut()
        with self.parts.resources.storage.changed:
            self.parts.resources.storage.changed.notify_all()
        self._thread.join()

    def _serve(self) -> threading.Thread:
        thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="api-server", daemon=True
        )
        thread.start()
        return thread


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], api: ApiServer) -> None:
        self.api = api
        self.stopped = False
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def get_request(self) -> tuple[Any, Any]:
        """The handshake comes later, in the connection's own thread."""
        connection, address = super().get_request()
        if self.api.tls is not None:
            connection = self.api.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no error; everything else is told as usual."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def cut(self) -> None:
        """Close every connection in the middle of whatever it does."""
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def api(self) -> ApiServer:
        return cast(_Server, self.server).api

    @property
    def parts(self) -> Parts:
        return self.api.parts

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Say nothing: a test that wants to know reads ``requests``."""

    def stopped(self) -> bool:
        return cast(_Server, self.server).stopped

    def _answer(self) -> None:
        """One request: read it whole, then answer it or say why not."""
        given = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.api.requests.append((self.command, self.path))
        self.lost = self.parts.faults.loses(self.command, parts.path)
        try:
            if (fault := self.parts.faults.answer(self.command, parts.path)) is not None:
                raise fault
            user = self.parts.access.user(self.headers.get("Authorization"))
            self._dispatch(user, [unquote(step) for step in parts.path.strip("/").split("/")], given)
        except Refused as refused:
            self._send(refused.code, refused.body, refused.headers)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

    def _dispatch(self, user: User, path: list[str], given: bytes) -> None:
        if path == ["version"]:
            return self._send(200, reviews.VERSION)
        if path[0] in ("healthz", "livez", "readyz"):
            return self._stream("text/plain", iter([b"ok"]))
        found = reviews.discovery(self.parts.resources.storage.kinds, path)
        if found is not None:
            return self._send(200, found)
        body = self._body(given)
        if self.command == "POST":
            answer = reviews.review(self.parts.access, user, path, body)
            if answer is not None:
                return self._send(_CREATED, answer)
        watches = self.query.get("watch") in ("1", "true", "True")
        route = routes.find(self.parts.resources.storage.kinds, self.command, path, watches=watches)
        if route is None:
            raise Refused(404, "NotFound", "the server could not find the requested resource", {})
        # Who asks for a namespace is asked for rights inside of it.
        place = route.name if route.kind.kind == "Namespace" else route.namespace
        self.parts.access.check(user, route.verb, route.kind, place, route.name, route.subresource)
        if route.verb in ("create", "update") and route.subresource not in ("eviction", "token"):
            _check_body(route, body)
        caller = Caller(user, _program(self.headers.get("User-Agent", "")), self.query)
        return self._serve_route(route, body, caller)

    def _body(self, given: bytes) -> Any:
        """JSON, or YAML, which is what an apply patch may be; Refused with 415 for protobuf."""
        if not given:
            return {}
        content_type = self.headers.get("Content-Type", "")
        if "protobuf" in content_type:
            message = "the body of the request was in an unknown format - accepted media types include: "
            raise Refused(415, "UnsupportedMediaType", message + "application/json, application/yaml")
        try:
            if "yaml" in content_type:
                return yaml.safe_load(given)
            return json.loads(given)
        except (ValueError, yaml.YAMLError) as error:
            raise answers.bad_request(f"couldn't get version/kind; json parse error: {error}") from error

    def _serve_route(self, route: Route, body: Any, caller: Caller) -> None:
        kind, namespace, name = route.kind, route.namespace, route.name
        resources = self.parts.resources
        match route.verb, route.subresource:
            case "get", "log":
                self._log(namespace, name)
            case "create", "eviction":
                self._send(
                    _CREATED,
                    evict(resources.storage, self.parts.removal, namespace, name, body, caller.dry_run),
                )
            case "create", "token":
                resources.get(kind, namespace, name)
                account = f"system:serviceaccount:{namespace}:{name}"
                token = self.parts.access.add(account, "system:serviceaccounts")
                self._send(_CREATED, {**body, "status": {"token": token}})
            case "watch", _:
                self._watch(route)
            case "list", _:
                self._send(200, resources.list(kind, namespace, self.query))
            case "get", _:
                self._send(200, resources.get(kind, namespace, name))
            case "create", _:
                made = resources.create(kind, namespace, body, caller)
                said = filter(None, (warn(kind, body) for warn in resources.warn))
                self._send(_CREATED, made, _warnings(said))
            case "update", subresource:
                self._send(200, resources.update(kind, namespace, body, caller, subresource))
            case "patch", subresource:
                patch = (self.headers.get("Content-Type", "").partition(";")[0], body)
                obj, created = resources.patch(kind, namespace, name, patch, caller, subresource)
                self._send(_CREATED if created else 200, obj)
            case "delete", _:
                self._send(200, self._delete(kind.key(namespace, name), route, body, caller))
            case "deletecollection", _:
                found = resources.list(kind, namespace, self.query)
                for obj in found["items"]:
                    key = kind.key(obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
                    self._delete(key, route, body, caller)
                self._send(200, found)
            case _:
                raise Refused(
                    405, "MethodNotAllowed", "the server does not allow this method on the resource"
                )

    def _delete(self, key: Key, route: Route, body: Object, caller: Caller) -> Object:
        options = {
            "propagationPolicy": self.query.get("propagationPolicy"),
            "gracePeriodSeconds": (
                int(self.query["gracePeriodSeconds"]) if "gracePeriodSeconds" in self.query else None
            ),
        }
        options |= {name: value for name, value in body.items() if value is not None}
        dry_run = caller.dry_run or body.get("dryRun") == ["All"]
        return self.parts.removal.delete(route.kind, key, options, dry_run=dry_run)

    # Streams.

    def _watch(self, route: Route) -> None:
        query = dict(self.query)
        if route.name:
            query["fieldSelector"] = f"metadata.name={route.name}"
        watch = Watch(
            self.parts.resources.storage,
            route.kind,
            route.namespace,
            query,
            clock=self.parts.clock,
            faults=self.parts.faults,
            stopped=self.stopped,
        )
        lines = (json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in watch)
        self._stream("application/json", lines)

    def _log(self, namespace: str, name: str) -> None:
        kind = self.parts.resources.storage.kinds.named("Pod")
        pod = self.parts.resources.get(kind, namespace, name)
        container = _container(pod, self.query.get("container"))
        if not pod["spec"].get("nodeName"):
            return self._stream("text/plain", iter([]))
        if self.query.get("previous") == "true":
            why = f'previous terminated container "{container}" in pod "{name}" not found'
            raise answers.bad_request(why)
        log = self.parts.kubelet.log(pod["metadata"]["uid"], container)
        if log is None:
            raise answers.bad_request(_not_started(pod, container))
        lines = log.read(self.query, self.stopped)
        return self._stream("text/plain", _cut(lines, self.parts.faults.log_limit()))

    def _stream(self, content_type: str, chunks: Iterator[bytes]) -> None:
        """Chunks as they come; cut off without an end where the server goes away."""
        self._head(200, {"Content-Type": content_type, "Transfer-Encoding": "chunked"})
        self.wfile.flush()
        try:
            for chunk in _joined(chunks):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            if self.stopped():
                raise Dropped
            self.wfile.write(b"0\r\n\r\n")
        except (Dropped, OSError):
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.connection, socket.SHUT_RDWR)

    def _send(self, code: int, obj: Object, headers: Mapping[str, str] | None = None) -> None:
        if self.lost:
            return self._hang_up()
        text = json.dumps(obj, indent=2).encode() + b"\n"
        length = {"Content-Type": "application/json", "Content-Length": str(len(text))}
        self._head(code, length | dict(headers or {}))
        self.wfile.write(text)
        return None

    def _head(self, code: int, headers: Mapping[str, str]) -> None:
        self.send_response_only(code)
        fixed = {"Audit-Id": str(uuid.uuid4()), "Cache-Control": "no-cache, private"}
        flow = {f"X-Kubernetes-Pf-{name}-Uid": str(uuid.uuid4()) for name in ("Flowschema", "Prioritylevel")}
        for name, value in (fixed | flow | dict(headers)).items():
            self.send_header(name, value)
        self.send_header("Date", self.date_time_string())
        self.end_headers()


def _warnings(said: Iterable[str]) -> dict[str, str]:
    """The header that carries them, of RFC 7234."""
    quoted = [text.replace("\\", "\\\\").replace('"', '\\"') for text in said]
    return {"Warning": ", ".join(f'299 - "{text}"' for text in quoted)} if quoted else {}


def _check_body(route: Route, body: Any) -> None:
    """Refused with 400 for a body that is not of the kind, or not of the name, that the path says."""
    kind = route.kind
    given = body if isinstance(body, dict) else {}
    if (given.get("apiVersion"), given.get("kind")) != (kind.api_version, kind.kind):
        said = f"{given.get('kind')} in version {given.get('apiVersion')}"
        raise answers.bad_request(f"{said} cannot be handled as a {kind.kind}")
    name = (given.get("metadata") or {}).get("name")
    if route.verb == "update" and name != route.name:
        raise answers.bad_request(
            f"the name of the object ({name}) does not match the name on the URL ({route.name})"
        )


def _cut(lines: Iterator[bytes], limit: int | None) -> Iterator[bytes]:
    """The lines; Dropped after so many, where there is a limit."""
    for number, line in enumerate(lines):
        if number == limit:
            raise Dropped
        yield line


def _joined(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Chunks that are not empty: an empty one would end the stream."""
    return (chunk for chunk in chunks if chunk)


def _program(agent: str) -> str:
    """The name that a client's program has as a field manager."""
    return agent.partition("/")[0][:128] or "unknown"


def _container(pod: Object, asked: str | None) -> str:
    """The container whose log is meant; Refused with 400 where that is not clear."""
    name, spec = pod["metadata"]["name"], pod["spec"]
    known = [each["name"] for section in ("initContainers", "containers") for each in spec.get(section) or []]
    main = [each["name"] for each in spec["containers"]]
    if asked:
        if asked not in known:
            raise answers.bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    if len(main) > 1:
        listed = " ".join(main)
        raise answers.bad_request(
            f"a container name must be specified for pod {name}, choose one of: [{listed}]"
        )
    return str(main[0])


def _not_started(pod: Object, container: str) -> str:
    reason = "ContainerCreating"
    for section in ("initContainerStatuses", "containerStatuses"):
        for status in pod["status"].get(section) or []:
            if status["name"] == container:
                reason = status["state"].get("waiting", {}).get("reason", reason)
    if reason in ("ErrImagePull", "ImagePullBackOff"):
        reason = "trying and failing to pull image"
    return f'container "{container}" in pod "{pod["metadata"]["name"]}" is waiting to start: {reason}'
