"""`interbert serve` as it is typed: what the page sends is answered, and SIGTERM ends it when all is answered."""

import json
import re
import shlex
import signal
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path

import pytest

from interbert.__main__ import main

ROOT = Path(__file__).parents[3]


def typed(made_of_scenes):
    return ["serve", "--index", str(made_of_scenes / "index"), "--model", str(made_of_scenes / "model")]


def curls():
    """Method, path and body of each that docs/serving.md has; of those with a key there are tests of their own."""
    for line in re.findall(r"^curl (?!.* -H ).*$", (ROOT / "docs" / "serving.md").read_text(), re.M):
        words = shlex.split(line)
        body = words[words.index("--json") + 1] if "--json" in words else None
        method = words[words.index("-X") + 1] if "-X" in words else "POST" if body else "GET"
        (path,) = [word.removeprefix("localhost:8000") for word in words if word.startswith("localhost:8000")]
        yield method, path, body


def test_what_the_page_sends_is_answered_and_sigterm_drains(made_of_scenes):
    command = [sys.executable, "-m", "interbert", *typed(made_of_scenes), "--port", "0", "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = process.stdout.readline()
            host, port = re.fullmatch(r"40 items at http://(127\.0\.0\.1):(\d+)\n", said).groups()
            connection = HTTPConnection(host, int(port), timeout=30)

            def ask(method, path, body=None):
                connection.request(method, path, body, {"content-type": "application/json"})
                response = connection.getresponse()
                return response.status, response.read()

            sofa = json.dumps(json.loads(ask("GET", "/items/train-s1-0000003")[1]) | {"id": "sofa-17"})
            assert ask("HEAD", "/ready") == ask("HEAD", "/health") == (200, b"")
            sent = list(curls())
            assert len(sent) == 10
            for method, path, body in sent:
                status, told = ask(method, path, sofa if body == "@sofa.json" else body)
                assert status == 200, (path, told)
            # Of one more, half of its body is sent when the signal comes.
            body = b'{"query": "a red circle", "k": 1}'
            connection.putrequest("POST", "/search")
            connection.putheader("content-type", "application/json")
            connection.putheader("content-length", str(len(body)))
            connection.endheaders()
            connection.send(body[:10])
            late = HTTPConnection(host, int(port), timeout=30)
            late.request("GET", "/health")
            assert late.getresponse().read()  # so the other one has been taken up
            process.send_signal(signal.SIGTERM)
            until_refused(host, int(port))
            connection.send(body[10:])
            response = connection.getresponse()
            assert response.status == 200 and len(json.loads(response.read())["results"]) == 1
            assert process.wait(20) == 0
        finally:
            process.kill()


def until_refused(host, port):
    for _ in range(1000):
        try:
            other = HTTPConnection(host, port, timeout=5)
            other.request("GET", "/health")
            other.getresponse().read()
        except (ConnectionError, OSError):
            return
        finally:
            other.close()
    raise AssertionError("it still takes connections on")


@pytest.mark.parametrize(
    "words, said",
    [
        (["--port", "70000"], "give another --host or --port"),
        (["--host", "203.0.113.7"], "give another --host or --port"),
        (["--key", "nowhere.txt"], "nowhere.txt"),
        (["--admin-key", "nowhere.txt"], "nowhere.txt"),
        (["--detector", "some", "--regions", "3"], "write it as MIN:MAX"),
        (["--index", "nowhere"], "interbert index build"),
    ],
)
def test_what_cannot_be_served_is_said_at_once(made_of_scenes, words, said, capsys):
    assert main([*typed(made_of_scenes), "--port", "0", *words]) == 2
    assert said in capsys.readouterr().err
