"""The page's web server, over real connections."""

from __future__ import annotations

import http.client
import socket

import pytest

from insegan_ros.errors import ConfigError
from insegan_ros.nodes.page_server import MAX_CLIENTS, Content, Handler, PageServer


@pytest.fixture
def server():
    content = {'/': Content('text/html', b'<b>here</b>')}
    one = PageServer('127.0.0.1', 0, content.get, ['Cell-7.local'])
    one.start()
    yield one
    one.stop()


def ask(
    server: PageServer, method: str = 'GET', path: str = '/', host: str | None = 'localhost'
) -> tuple[int, http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection('127.0.0.1', server.port, timeout=20)
    connection.putrequest(method, path, skip_host=True)
    if host is not None:
        connection.putheader('Host', host)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer, answer.read()


def test_what_is_there_is_served_with_headers_that_forbid_everything_else(server):
    status, answer, body = ask(server, path='/?1795')
    assert (status, body, answer.headers['Content-Type']) == (200, b'<b>here</b>', 'text/html')
    policy = answer.headers['Content-Security-Policy']
    assert "default-src 'none'" in policy and 'unsafe' not in policy
    assert answer.headers['X-Content-Type-Options'] == 'nosniff'
    assert answer.headers['Cross-Origin-Resource-Policy'] == 'same-origin'
    status, _, body = ask(server, path='/../../etc/passwd')
    assert (status, body) == (404, b'there is nothing here: expected /\n')


@pytest.mark.parametrize('method', ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD'])
def test_nothing_but_get_is_taken(server, method):
    status, answer, body = ask(server, method)
    assert status == 405 and answer.headers['Allow'] == 'GET'
    assert body == (b'' if method == 'HEAD' else b'this page only shows: expected GET\n')


@pytest.mark.parametrize(
    'host',
    ['localhost', 'LocalHost:8080', '127.0.0.1:8080', '[::1]:80', '10.0.0.7', 'cell-7.local'],
)
def test_a_name_of_this_machine_is_known(server, host):
    assert ask(server, host=host)[0] == 200


@pytest.mark.parametrize('host', ['evil.example', 'localhost.evil.example', '', '[::1', None])
def test_another_name_is_refused(server, host):
    status, _, body = ask(server, host=host)
    assert status == 421 and b'asked by a name that this machine does not have' in body


def test_who_comes_when_all_places_are_taken_is_sent_away(server):
    for _ in range(MAX_CLIENTS):
        assert server.free.acquire(timeout=20)
    with socket.create_connection(('127.0.0.1', server.port), timeout=20) as late:
        assert late.recv(1000).startswith(b'HTTP/1.0 503 Service Unavailable')
    server.free.release()
    assert ask(server)[0] == 200
    assert server.free.acquire(timeout=20), 'a place is free again afterwards'


def test_who_says_nothing_is_sent_away(server, monkeypatch):
    monkeypatch.setattr(Handler, 'timeout', 0.2)
    with socket.create_connection(('127.0.0.1', server.port), timeout=20) as silent:
        assert silent.recv(1000) == b''


def test_who_never_ends_a_request_is_sent_away(server, monkeypatch):
    monkeypatch.setattr('insegan_ros.nodes.page_server.LONGEST_S', 0.5)
    with socket.create_connection(('127.0.0.1', server.port), timeout=0.05) as slow:
        slow.sendall(b'GET / HTTP/1.0\r\nX: ')
        # A byte now and then, so that it is never silent.
        for _ in range(400):
            try:
                slow.sendall(b'x')
                if slow.recv(1) == b'':
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        else:
            pytest.fail('it may go on for ever')
    assert ask(server)[0] == 200


def test_a_port_that_is_taken_is_one_line(server):
    with pytest.raises(ConfigError, match='port .* in use.*: expected an address of this machine'):
        PageServer('127.0.0.1', server.port, lambda _: None)
    with pytest.raises(ConfigError, match='cannot be served on nowhere.invalid'):
        PageServer('nowhere.invalid', 0, lambda _: None)
    with pytest.raises(ConfigError, match='cannot be served on eeee'):
        PageServer('e' * 80 + '.local', 0, lambda _: None)
    # It would be every network, where nobody has said so.
    with pytest.raises(ConfigError, match='no address'):
        PageServer('', 0, lambda _: None)
