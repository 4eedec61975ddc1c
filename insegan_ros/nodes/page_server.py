"""A small web server that shows and changes nothing: GET alone, a fixed set of paths, to a few
clients at a time, and only to who asks by a name of this machine."""

from __future__ import annotations

import ipaddress
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from insegan_ros.errors import ConfigError
from insegan_ros.texts import reason

MAX_CLIENTS = 16
# A client that says nothing for so long is sent away, and one that takes longer than that for all
# of its request and the answer.
SILENT_S, LONGEST_S = 5.0, 20.0
HEADERS = {
    'Cache-Control': 'no-store',
    'Content-Security-Policy': (
        "default-src 'none'; connect-src 'self'; img-src 'self'; script-src 'self';"
        " style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
}
BUSY = (
    b'HTTP/1.0 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Type: text/plain\r\n\r\n'
    b'too many clients: expected fewer; try again\n'
)


class Content(NamedTuple):
    """What is answered: its media type and its bytes."""

    kind: str
    body: bytes


class PageServer(ThreadingMixIn, TCPServer):
    """Serves what `content` gives for a path, None for one that there is not, in threads of its
    own.

    address, port: where it listens; port 0 takes a free one. names: names of this machine that it
    may be asked by, besides localhost and addresses. A page of somebody else's whose name has come
    to mean this machine (DNS rebinding) is refused by that. Raises ConfigError where it cannot
    listen there.
    """

    allow_reuse_address = daemon_threads = True

    def __init__(
        self,
        address: str,
        port: int,
        content: Callable[[str], Content | None],
        names: Iterable[str] = (),
    ) -> None:
        self.content, self.names = content, {name.lower() for name in names}
        self.free = threading.BoundedSemaphore(MAX_CLIENTS)
        self.address_family = socket.AF_INET6 if ':' in address else socket.AF_INET
        if not address:
            # Sockets take it for every network there is.
            raise ConfigError(
                'no address is given to serve the page on: expected one of this machine, such as'
                ' 127.0.0.1; 0.0.0.0 for every network'
            )
        try:
            super().__init__((address, port), Handler)
        # A name that is none of DNS is a UnicodeError.
        except (OSError, OverflowError, ValueError) as error:
            raise ConfigError(
                f'the page cannot be served on {address}, port {port} ({reason(error)}): expected'
                ' an address of this machine and a free port'
            ) from error
        self._thread = threading.Thread(target=self.serve_forever, name='page', daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Serve no more."""
        self.shutdown()
        self.server_close()

    def knows(self, host: str) -> bool:
        """Whether a Host header names this machine: by localhost, an address or one of names."""
        try:
            name = urlsplit(f'//{host}').hostname or ''
        except ValueError:
            return False
        if name == 'localhost' or name in self.names:
            return True
        try:
            return bool(ipaddress.ip_address(name))
        except ValueError:
            return False

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread; who comes when all are taken is sent away at once."""
        if self.free.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        try:
            request.settimeout(0.1)
            request.sendall(BUSY)
        except OSError:
            pass
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """In its thread; its place is free afterwards, and in time: who sends a byte now and then
        is never silent."""
        end = threading.Timer(LONGEST_S, _hang_up, [request])
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self.free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what was wrong, unless a client has gone away: that is no error of ours."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _hang_up(request: socket.socket) -> None:
    """End a connection that its thread still reads from or writes to."""
    with suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: PageServer
    timeout = SILENT_S
    server_version, sys_version = 'insegan_ros', ''

    def do_GET(self) -> None:
        """Answer with what the path holds."""
        if not self.server.knows(self.headers.get('Host', '')):
            self._answer(
                HTTPStatus.MISDIRECTED_REQUEST,
                'asked by a name that this machine does not have: expected localhost, its'
                ' address, or a name in the parameter hosts',
            )
            return
        content = self.server.content(urlsplit(self.path).path)
        if content is None:
            self._answer(HTTPStatus.NOT_FOUND, 'there is nothing here: expected /')
        else:
            self._send(HTTPStatus.OK, content)

    def refuse(self) -> None:
        """Whatever is not GET."""
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED, 'this page only shows: expected GET')

    do_DELETE = do_HEAD = do_OPTIONS = do_PATCH = do_POST = do_PUT = refuse

    def _answer(self, status: HTTPStatus, text: str) -> None:
        self._send(status, Content('text/plain; charset=utf-8', f'{text}\n'.encode()))

    def _send(self, status: HTTPStatus, content: Content) -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header('Allow', 'GET')
        self.send_header('Content-Type', content.kind)
        self.send_header('Content-Length', str(len(content.body)))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(content.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a page asks twice a second."""
