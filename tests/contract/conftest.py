"""A real S3 server on loopback, started once a session, and a proxy in front of it that misbehaves on demand."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="session")
def free_port():
    """Return a function that gives a port nobody listens on."""
    return _free_port


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory):
    """The address of a moto server in a process of its own."""
    pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    for _ in range(3):  # a port that was free may be taken by the time the server wants it
        port = _free_port()
        log = tmp_path_factory.mktemp("moto") / "log"
        command = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        address = f"http://127.0.0.1:{port}"
        if _answers(address, process):
            break
        process.kill()
    else:
        pytest.fail(f"the S3 server did not start: {log.read_text()[-2000:]}")
    yield address
    process.terminate()
    process.wait(10)


def _answers(address, process, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/moto-api/", timeout=2).close()
        except OSError:
            time.sleep(0.1)
        else:
            return True
    return False


@pytest.fixture
def s3_environment(s3_server, monkeypatch):
    """Point every S3 client of this test at the server."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    return s3_server


def _make_bucket():
    import fsspec

    name = f"headwater-{uuid.uuid4().hex}"
    # Not fs.mkdir: it sends a location that the server refuses.
    fsspec.filesystem("s3", skip_instance_cache=True).call_s3("create_bucket", Bucket=name)
    return name


_BUCKETS = {}


@pytest.fixture
def s3_bucket(s3_environment):
    """A bucket that the tests of a session share, each under a prefix of its own."""
    if s3_environment not in _BUCKETS:
        _BUCKETS[s3_environment] = _make_bucket()
    return _BUCKETS[s3_environment]


@pytest.fixture
def s3_new_bucket(s3_environment):
    """A bucket of this test alone."""
    return _make_bucket()


CONFLICT = b"<Error><Code>ConditionalRequestConflict</Code><Message>Conflicting operation</Message></Error>"
REFUSAL = b"<Error><Code>PreconditionFailed</Code><Message>At least one precondition did not hold</Message></Error>"


class Proxy(ThreadingHTTPServer):
    """Passes requests on to a server, but for what its switches say."""

    daemon_threads = True

    def __init__(self, target):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target.removeprefix("http://")
        self.lock = threading.Lock()
        #: Forget If-None-Match, as servers do that do not know it.
        self.drop_condition = False
        #: Answer 412 without saying which condition failed.
        self.strip_reason = False
        #: How many more conditional writes are answered with 409.
        self.conflicts = 0
        #: How many more writes are done and then not answered.
        self.lose_answers = 0
        #: The request lines seen.
        self.requests = []

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        """Say nothing: cut connections are what the proxy is for."""

    def take(self, switch):
        """Count a switch down; tell whether it was on."""
        with self.lock:
            left = getattr(self, switch)
            setattr(self, switch, max(0, left - 1))
            return left > 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _pass_on(self):
        proxy = self.server
        proxy.requests.append(self.requestline)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        is_conditional = "If-None-Match" in self.headers
        if is_conditional and proxy.take("conflicts"):
            self._answer(409, {"Content-Type": "application/xml"}, CONFLICT)
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
        if proxy.drop_condition:
            headers = {name: value for name, value in headers.items() if name.lower() != "if-none-match"}
        upstream = http.client.HTTPConnection(proxy.target, timeout=30)
        upstream.request(self.command, self.path, body, headers)
        response = upstream.getresponse()
        data = response.read()
        upstream.close()
        if self.command == "PUT" and proxy.take("lose_answers"):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if response.status == 412 and proxy.strip_reason:
            data = REFUSAL
        self._answer(response.status, dict(response.getheaders()), data)

    def _answer(self, status, headers, data):
        self.send_response_only(status)
        length = headers.get("Content-Length") if self.command == "HEAD" else str(len(data))
        dropped = {"content-length", "connection", "transfer-encoding"}
        for name, value in {**headers, "Content-Length": length or "0"}.items():
            if name.lower() not in dropped or name == "Content-Length":
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815  the names that the library calls

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def s3_proxy(s3_environment, monkeypatch):
    """A proxy in front of the server, which the S3 clients of this test now talk to."""
    proxy = Proxy(s3_environment)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
    yield proxy
    proxy.shutdown()
    proxy.server_close()
