"""Names that are not ours, bodies that would fill the memory, and connections that stand still."""

import socket
import time

import pytest
from small_search import open_searcher, until
from small_server import JSON, served

from interbert.serve import patience, strict_json
from interbert.serve.hosts import warning_of

BODY = b'{"query": "w01"}'


def asked_as(client, host):
    return client.send("POST", "/search", BODY, {**JSON, "host": host})


@pytest.mark.parametrize(
    "host", ["127.0.0.1:1", "localhost:8000", "LOCALHOST.", "a.localhost", "[::1]:80", "192.168.7.7", "shop"]
)
def test_addresses_and_names_of_this_machine_are_answered(client, host, own):
    with open_searcher(*own) as searcher, served(searcher, names=["Shop"]) as named:
        assert asked_as(named, host)[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "[", "é"]
)
def test_a_name_that_could_lead_here_from_anywhere_is_not(client, host):
    status, told, _ = asked_as(client, host.encode("latin-1"))
    assert status == 421 and b"other_name" in told


def test_an_open_address_without_keys_is_warned_of():
    for host in ("127.0.0.1", "::1", "localhost"):
        assert warning_of(host, keys=False) is None
    for host in ("0.0.0.0", "::", "192.168.7.7", "shop.example"):
        assert "--key FILE" in (warning_of(host, keys=False) or "")
        assert warning_of(host, keys=True) is None


def test_with_keys_any_name_will_do(own):
    with open_searcher(*own) as searcher, served(searcher, keys=["k" * 20]) as client:
        headers = {**JSON, "host": "shop.example", "authorization": "Bearer " + "k" * 20}
        assert client.send("POST", "/search", BODY, headers)[0] == 200


@pytest.mark.parametrize("body", [b'{"a": [' + b"0," * 60 + b"0]}", b'{"a": [' + b"[]," * 20 + b"[]]}"])
def test_bodies_that_become_far_larger_when_they_are_read_are_413(client, monkeypatch, body):
    assert client.send("POST", "/search", body)[0] == 422
    monkeypatch.setattr(strict_json, "MOST_COMMAS", 50)
    monkeypatch.setattr(strict_json, "MOST_BRACKETS", 20)
    status, told, _ = client.send("POST", "/search", body)
    assert status == 413 and b"too_much" in told and b"commas" in told


def test_a_body_of_32_mib_of_empty_lists_costs_no_more_than_itself(client):
    body = b'{"query": "a", "exclude": [' + b"[]," * 11_000_000 + b"[]]}"
    began = time.process_time()
    assert client.send("POST", "/search", body)[0] == 413
    assert time.process_time() - began < 3  # to read them took 12


def test_a_connection_that_stands_still_is_closed_and_one_that_works_is_not(client, monkeypatch):
    monkeypatch.setattr(patience, "HEAD_SECONDS", 0.6)
    heads = [b"", b"GET /health HT", b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\nGET /hea"]
    for head in heads:
        with socket.create_connection(("127.0.0.1", client.port), timeout=5) as slow:
            slow.sendall(head)
            answered = b""
            while data := slow.recv(1000):  # to the end that the server makes
                answered += data
            assert answered.count(b" 200 ") == head.count(b"localhost")
    # Its body comes after the time that a head has.
    with socket.create_connection(("127.0.0.1", client.port), timeout=5) as late:
        head = b"POST /search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        late.sendall(head + f"content-length: {len(BODY)}\r\n\r\n".encode())
        time.sleep(0.8)
        late.sendall(BODY)
        assert b" 200 " in late.recv(1000)


def test_who_does_not_read_its_answers_is_let_go(client, monkeypatch):
    monkeypatch.setattr(patience, "UNREAD_SECONDS", 0.3)
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", client.port))
        request = b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n"
        deaf.sendall(request * 400)
        connections = client.server.server_state.connections
        until(lambda: any(one.flow.write_paused for one in list(connections)))
        until(lambda: not connections)
