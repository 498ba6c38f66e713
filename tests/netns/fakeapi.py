# SPDX-License-Identifier: GPL-2.0-or-later
"""A scripted API server: lists, pages and watches of what a test puts into it, and every way to fail.

It speaks HTTP/1.1, with TLS when it has a certificate, and listens inside a network namespace while
its threads live in the test's process.  'requests' is what was asked.  A fault is a function that
answers a request in the place of the server; see fail() and the functions at the end.
"""
import ctypes
import json
import os
import re
import socket
import ssl
import struct
import threading
import time
import urllib.parse

PATHS = {"/api/v1/services": ("services", "Service", "v1"),
         "/apis/discovery.k8s.io/v1/endpointslices":
             ("endpointslices", "EndpointSlice", "discovery.k8s.io/v1"),
         "/api/v1/nodes": ("nodes", "Node", "v1"),
         "/apis/networking.k8s.io/v1/servicecidrs":
             ("servicecidrs", "ServiceCIDR", "networking.k8s.io/v1")}
EVENTS = re.compile("/apis/events.k8s.io/v1/namespaces/([^/]+)/events(?:/([^/]+))?$")
RESOURCES = {kind: resource for resource, kind, _ in PATHS.values()}
CLONE_NEWNET = 0x40000000


def listen_in(namespace, port):
    """A listening socket in a network namespace; only a thread of its own goes there."""
    result = []

    def work():
        with open(f"/run/netns/{namespace}", encoding="utf-8") as f:
            if ctypes.CDLL(None, use_errno=True).setns(f.fileno(), CLONE_NEWNET) < 0:
                raise OSError(ctypes.get_errno(), "setns")
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", port))
        s.listen(64)
        result.append(s)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return result[0]


def status(code, reason="", message="", **extra):
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message or reason, "reason": reason, "code": code, **extra}


class Request:
    """One request and its connection."""

    def __init__(self, server, sock, method, target, headers, body):
        self.server, self.sock, self.method, self.headers = server, sock, method, headers
        self.body = body
        url = urllib.parse.urlsplit(target)
        self.path = url.path
        self.query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        self.resource = PATHS.get(self.path, ("version", "", ""))[0]
        self.verb = "watch" if "watch" in self.query else "list"
        if method != "GET":
            self.verb, self.resource = {"POST": "create", "PATCH": "patch"}[method], "events"
        self.time = time.monotonic()

    def __repr__(self):
        return f"{self.verb} {self.resource} {self.query}"

    def answer(self, code, body, content_type="application/json", headers=()):
        self.server.thawed.wait()
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"HTTP/1.1 {code} x", f"Content-Type: {content_type}",
                 f"Content-Length: {len(data)}", *headers, "", ""]
        self.sock.sendall("\r\n".join(lines).encode() + data)

    def begin_stream(self, content_type="application/json"):
        self.sock.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n"
                          "Transfer-Encoding: chunked\r\n\r\n".encode())

    def chunk(self, data):
        if not isinstance(data, bytes):
            data = json.dumps(data).encode() + b"\n"
        self.server.thawed.wait()
        if data:
            self.sock.sendall(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def end_stream(self):
        self.sock.sendall(b"0\r\n\r\n")

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class FakeServer:
    def __init__(self, namespace, port=6443, certificate=None, minor="34"):
        self.address, self.certificate, self.minor = (namespace, port), certificate, minor
        self.lock = threading.Condition()
        self.version, self.first = 100, 100  # the newest, and the oldest that a watch may ask for
        self.objects, self.log = {}, []
        self.events = {}  # (namespace, name): object
        self.requests, self.faults, self.connections = [], [], []
        self.client_ca = None  # who issues client certificates; None: none are asked for
        self.tokens = None  # those that are accepted; None: all
        self.page_size = None
        self.generation = 0  # watches of an earlier one end
        self.thawed = threading.Event()  # cleared: connections are accepted, nothing is answered
        self.thawed.set()
        self.listener = None
        self.start()

    # --- running ---

    def start(self):
        self.listener = listen_in(*self.address)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def stop(self):
        """As when the process dies."""
        self.thawed.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.drop_connections()

    def drop_connections(self):
        with self.lock:
            connections, self.connections = self.connections, []
        for sock in connections:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def end_watches(self):
        """Ends all watches the orderly way."""
        with self.lock:
            self.generation += 1
            self.lock.notify_all()

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            if self.certificate:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(*self.certificate)
                if self.client_ca:
                    context.load_verify_locations(self.client_ca)
                    context.verify_mode = ssl.CERT_REQUIRED
                sock = context.wrap_socket(sock, server_side=True)
            with self.lock:
                self.connections.append(sock)
            with sock.makefile("rb") as reader:
                while self._serve_one(sock, reader):
                    pass
        except (OSError, UnicodeDecodeError):
            pass
        finally:
            sock.close()

    def _serve_one(self, sock, reader):
        line = reader.readline().split()
        if len(line) < 2:
            return False
        headers = {}
        while (header := reader.readline().strip()):
            name, _, value = header.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = reader.read(int(headers.get("content-length", 0)))
        request = Request(self, sock, line[0].decode(), line[1].decode(), headers, body)
        with self.lock:
            self.requests.append(request)
            fault = self._take_fault(request)
        (fault or self.respond)(request)
        return True

    # --- faults ---

    def fail(self, verb, resource, fault, times=1):
        """The next requests of this kind are answered by 'fault'."""
        with self.lock:
            self.faults.append([verb, resource, fault, times])

    def _take_fault(self, request):
        for entry in self.faults:
            if (entry[0], entry[1]) == (request.verb, request.resource) and entry[3] > 0:
                entry[3] -= 1
                return entry[2]
        return None

    def wait_faults(self):
        with self.lock:
            return all(entry[3] == 0 for entry in self.faults)

    def count(self, verb, resource):
        with self.lock:
            return sum((r.verb, r.resource) == (verb, resource) for r in self.requests)

    # --- objects ---

    def put(self, *objects):
        for obj in objects:
            with self.lock:
                self.version += 1
                key = (RESOURCES[obj["kind"]], obj["metadata"].get("namespace", ""),
                       obj["metadata"]["name"])
                obj = json.loads(json.dumps(obj))
                obj["metadata"]["resourceVersion"] = str(self.version)
                kind = "MODIFIED" if key in self.objects else "ADDED"
                self.objects[key] = obj
                self.log.append((self.version, key[0], {"type": kind, "object": obj}))
                self.lock.notify_all()

    def delete(self, resource, name, namespace="default"):
        with self.lock:
            self.version += 1
            obj = self.objects.pop((resource, namespace, name))
            obj = json.loads(json.dumps(obj))
            obj["metadata"]["resourceVersion"] = str(self.version)
            self.log.append((self.version, resource, {"type": "DELETED", "object": obj}))
            self.lock.notify_all()

    def emit(self, resource, event):
        """Sends something on the open watches of a resource: an event, or bytes as they are."""
        with self.lock:
            self.log.append((self.version, resource, event))
            self.lock.notify_all()

    def bookmark(self, resource):
        path = next(p for p in PATHS.values() if p[0] == resource)
        with self.lock:
            self.version += 1
        self.emit(resource, {"type": "BOOKMARK",
                             "object": {"kind": path[1], "apiVersion": path[2],
                                        "metadata": {"resourceVersion": str(self.version)}}})

    def compact(self):
        with self.lock:
            self.first = self.version
            self.log.clear()

    # --- answers ---

    def respond(self, request):
        if self.tokens is not None and \
                request.headers.get("authorization") not in [f"Bearer {t}" for t in self.tokens]:
            request.answer(401, status(401, "Unauthorized"))
        elif request.path == "/version":
            request.answer(200, {"major": "1", "minor": self.minor})
        elif request.method != "GET" and EVENTS.match(request.path):
            self.respond_event(request, *EVENTS.match(request.path).groups())
        elif request.resource in ("version", "events"):
            request.answer(404, status(404, "NotFound"))
        elif request.verb == "watch":
            self.respond_watch(request)
        else:
            self.respond_list(request)

    def respond_event(self, request, namespace, name):
        body = json.loads(request.body)
        if request.method == "POST" and "dryRun" in request.query:
            request.answer(201, body)
        elif request.method == "POST":
            with self.lock:
                self.events[namespace, body["metadata"]["name"]] = body
            request.answer(201, body)
        elif (namespace, name) in self.events:
            with self.lock:
                self.events[namespace, name].update(body)
            request.answer(200, self.events[namespace, name])
        else:
            request.answer(404, status(404, "NotFound"))

    def events_of(self, reason):
        with self.lock:
            return [e for e in self.events.values() if e["reason"] == reason]

    def list_body(self, request):
        resource, kind, api_version = PATHS[request.path]
        with self.lock:
            items = [o for k, o in sorted(self.objects.items()) if k[0] == resource]
            version = self.version
        metadata = {"resourceVersion": str(version)}
        start, _, pinned = request.query.get("continue", "0:").partition(":")
        if self.page_size and "limit" in request.query:
            metadata["resourceVersion"] = pinned or str(version)
            end = int(start) + self.page_size
            if end < len(items):
                metadata["continue"] = f"{end}:{metadata['resourceVersion']}"
            items = items[int(start):end]
        items = [{k: v for k, v in o.items() if k not in ("kind", "apiVersion")} for o in items]
        return {"kind": kind + "List", "apiVersion": api_version, "metadata": metadata,
                "items": items}

    def respond_list(self, request):
        request.answer(200, self.list_body(request))

    def respond_watch(self, request):
        version = int(request.query["resourceVersion"] or 0)
        if version < self.first and "sendInitialEvents" not in request.query:
            request.begin_stream()
            request.chunk({"type": "ERROR", "object": status(410, "Expired", "too old")})
            request.end_stream()
            return
        request.begin_stream()
        if "sendInitialEvents" in request.query:
            version = self.send_initial_events(request)
        self.follow(request, version)

    def send_initial_events(self, request):
        body = self.list_body(request)
        for item in body["items"]:
            request.chunk({"type": "ADDED", "object": {"kind": body["kind"][:-4],
                                                       "apiVersion": body["apiVersion"], **item}})
        request.chunk({"type": "BOOKMARK", "object": {
            "kind": body["kind"][:-4], "apiVersion": body["apiVersion"],
            "metadata": {**body["metadata"],
                         "annotations": {"k8s.io/initial-events-end": "true"}}}})
        return int(body["metadata"]["resourceVersion"])

    def follow(self, request, version):
        with self.lock:
            generation, at = self.generation, 0
        while True:
            with self.lock:
                while at >= len(self.log) and self.generation == generation:
                    at = len(self.log)  # compact() may have cut it
                    self.lock.wait()
                if self.generation != generation:
                    break
                number, resource, event = self.log[at]
                at += 1
            if resource == request.resource and (number > version or isinstance(event, bytes)):
                request.chunk(event)
        request.end_stream()


# --- faults ---

def answers(code, body=None, content_type="application/json", headers=()):
    def fault(request):
        request.answer(code, status(code) if body is None else body, content_type, headers)
    return fault


def error_event(obj):
    """A watch that begins well and says in its stream what is wrong (RF-14)."""
    def fault(request):
        request.begin_stream()
        request.chunk({"type": "ERROR", "object": obj})
        request.end_stream()
    return fault


def raw(data):
    """Bytes on the wire, then the end of the connection."""
    def fault(request):
        request.sock.sendall(data)
        closes(request)
    return fault


def streams(data):
    def fault(request):
        request.begin_stream()
        request.chunk(data)
        request.end_stream()
    return fault


def cut_in_the_middle(request):
    """Half of the true answer."""
    body = json.dumps(request.server.list_body(request)).encode()
    request.sock.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                         f"Content-Length: {len(body)}\r\n\r\n".encode() + body[:len(body) // 2])
    closes(request)


def resets(request):
    request.reset()
    raise OSError


def closes(request):
    request.sock.shutdown(socket.SHUT_RDWR)
    raise OSError
