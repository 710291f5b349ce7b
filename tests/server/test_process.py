"""`nearfar serve` in a process of its own: who is slow, who is too large, who has no token; stopped, killed, damaged, and under load."""

import concurrent.futures
import json
import os
import re
import signal
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest

from nearfar.cli.main import main
from nearfar.search.index import Index
from nearfar.server.limits import Limits
from nearfar.server.run import bound, is_loopback, run
from nearfar.server.service import Service
from nearfar.training.load import load
from server import served

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
GET = b"GET /api/search?q=azure HTTP/1.1\r\nHost: localhost\r\n\r\n"


def asked(url, *, method="GET", body=None, token=None):
    """(status, JSON) of one request."""
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    try:
        with OPENER.open(urllib.request.Request(url, data, headers, method=method), timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def whole_answer(connection):
    """Head and body, however many pieces they come in."""
    made = connection.recv(65_536)
    while made and b"\r\n\r\n" not in made:
        made += connection.recv(65_536)
    head, _, body = made.partition(b"\r\n\r\n")
    length = int(re.search(rb"content-length: (\d+)", head)[1]) if head else 0
    while len(body) < length:
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


class Inside:
    """The same server in a thread of this process, with limits of a test's own."""

    def __init__(self, folder, limits):
        index, model = Index.open(folder / "index"), load(folder / "model")
        self.service = Service.of([("corpus", index, model)], limits)
        listening = bound("127.0.0.1", 0)
        self.port = listening.getsockname()[1]
        self.url, started = f"http://127.0.0.1:{self.port}", threading.Event()
        self.server = []
        self.thread = threading.Thread(
            target=run,
            args=(self.service, listening),
            kwargs={"token": None, "started": started.set, "made": self.server.append},
        )
        self.thread.start()
        started.wait(20)

    connect = served.Process.connect

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server[0].should_exit = True
        self.thread.join(20)


@pytest.fixture(scope="module")
def impatient(folder):
    limits = Limits(headers_within=0.5, body_within=0.5, read_within=0.5, idle=2, headers=2048, connections=8)
    with Inside(folder, limits) as server:
        yield server


def test_headers_that_never_end_are_not_waited_for(impatient):
    with impatient.connect() as slow, impatient.connect() as silent:
        started = time.monotonic()
        for letter in b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ":  # every byte comes in time, the headers never do
            try:
                slow.send(bytes([letter]))
            except (ConnectionResetError, BrokenPipeError):
                break
            time.sleep(0.05)
            if time.monotonic() - started > 5:
                break
        assert served.until_closed(slow, 3) == b""
        assert served.until_closed(silent, 3) == b""
    with impatient.connect() as quick:
        quick.sendall(GET)
        assert quick.recv(65_536).startswith(b"HTTP/1.1 200")


def test_a_second_request_on_a_connection_has_its_own_clock(impatient):
    with impatient.connect() as connection:
        for _ in range(3):
            connection.sendall(GET)
            assert whole_answer(connection).startswith(b"HTTP/1.1 200")
            time.sleep(0.3)  # together longer than headers may take
        connection.sendall(GET[:20])
        assert served.until_closed(connection, 3) == b""


def test_no_answer_waits_until_the_client_acknowledges_its_head(impatient):
    with impatient.connect() as connection:
        connection.sendall(GET)
        assert whole_answer(connection).startswith(b"HTTP/1.1 200")
        held = [c.transport.get_extra_info("socket") for c in impatient.server[0].server_state.connections]
        assert held
        assert all(end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for end in held)


def test_a_body_that_trickles_is_refused(impatient):
    with impatient.connect() as connection:
        connection.sendall(
            b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
        )
        answer = served.until_closed(connection, 5)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"did not come within 0.5 seconds" in answer


def test_a_reader_that_does_not_read_is_dropped(impatient):
    with impatient.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = b"GET /search.css HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with pytest.raises((ConnectionResetError, BrokenPipeError, TimeoutError)):
            end = time.monotonic() + 10
            connection.settimeout(5)
            while time.monotonic() < end:  # ever more is asked for, and nothing of it taken
                connection.sendall(request * 50)
                time.sleep(0.05)
    assert asked(f"{impatient.url}/health") == (200, {"status": "ok"})


def test_what_is_too_long_or_no_http_is_refused(impatient):
    for sent, status in (
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 4000 + b"\r\nConnection: close\r\n\r\n", b"HTTP/1.1 400"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 4000, b"HTTP/1.1 400"),
        (b"\x16\x03\x01 hello\r\n\r\n", b"HTTP/1.1 400"),
        (b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n", b"HTTP/1.1 413"),
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", b"HTTP/1.1 400"),
        (b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.1 400"),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", b"HTTP/1.1 200"),
    ):
        with impatient.connect() as connection:
            connection.sendall(sent)
            answer = served.until_closed(connection, 5)
        assert answer.startswith(status), sent[:60]
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"content-type: application/json" in head.lower()
        assert "what" in json.loads(body) or "status" in json.loads(body)


def test_more_connections_than_allowed_are_closed_at_once(impatient):
    time.sleep(0.3)
    held = [impatient.connect() for _ in range(8)]
    try:
        with impatient.connect() as one_more:
            assert served.until_closed(one_more, 0.4) == b""
        held[0].sendall(GET)
        assert held[0].recv(65_536).startswith(b"HTTP/1.1 200")
    finally:
        for connection in held:
            connection.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_finishes_what_is_in_flight(folder, tmp_path, number):
    with served.Process(folder, cwd=tmp_path) as server:
        assert "index (121 records)" in server.first.replace(folder.name, "index")
        with server.connect() as connection:
            body = json.dumps({"queries": ["azure beaver"] * 64, "k": 100}).encode()
            connection.sendall(
                b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
            )
            time.sleep(0.03)
            code, errors = server.stop(number)
            answer = served.until_closed(connection, 10)
        assert (code, errors) == (0, "stopped\n")
        head, _, content = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert len(json.loads(content)["results"]) == 64
        with pytest.raises(ConnectionRefusedError):
            server.connect()


def test_what_was_acknowledged_is_there_after_a_kill(folder, tmp_path):
    copy = served.copied(folder, tmp_path / "copy")
    said = []

    def write(url):
        for number in range(10_000):
            row = {"key": f"row-{number}", "text": f"the sea glow beavers {number}", "number": number}
            try:
                status, _ = asked(f"{url}/api/rows", method="POST", body={"rows": [row]})
            except OSError:
                return
            assert status == 200
            said.append(number)

    for _ in range(2):
        with served.Process(copy / "index", "--allow-writes", "--no-verify", cwd=tmp_path) as server:
            writer, before = threading.Thread(target=write, args=(server.url,)), len(said)
            writer.start()
            while len(said) - before < 15:
                time.sleep(0.01)
            os.kill(server.process.pid, signal.SIGKILL)
            writer.join(20)
        with Index.open(copy / "index") as index:  # checksums and all
            there = {index.key(slot) for slot in index.slots()}
            assert {f"row-{number}" for number in said} <= there
            assert len(there) <= 121 + max(said) + 2
    with served.Process(copy / "index", cwd=tmp_path) as server:
        status, found = asked(f"{server.url}/api/row?key=row-{said[-1]}")
        assert (status, found["row"]["number"]) == (200, said[-1])
        assert asked(f"{server.url}/api/row?key=row-99999")[0] == 404


def test_a_damaged_index_is_reported_and_not_served(folder, tmp_path, capsys):
    for name in ("vectors.f32", "rows.sqlite", "index.json"):
        copy = served.copied(folder, tmp_path / name)
        path = copy / "index" / name
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0x55
        path.write_bytes(content)
        assert main(["serve", str(copy / "index"), "--port", "0"]) == 3
        said = capsys.readouterr()
        assert said.out == ""
        assert "error:" in said.err
        assert str(copy) in said.err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--host", "0.0.0.0"], 2, "no token is asked for"),
        (["--token-file", "short"], 2, "one word of at least 16"),
        (["--token-file", "missing"], 2, "the token cannot be read"),
        (["--port", "70000"], 2, "70000 is no port"),
        (["--host", "no.such.host.invalid"], 2, "no token is asked for"),
        (["--host", "no.such.host.invalid", "--no-token"], 2, "there is no host"),
        (["--model", "nowhere"], 3, "there is no model directory"),
        (["--beside", "nowhere"], 3, "there is no such directory"),
        (["--beside", "OTHER", "--beside-model", "MODEL"], 3, "not by"),
    ],
)
def test_wrong_words_are_told(folder, other, tmp_path, monkeypatch, capsys, words, code, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short").write_text("secret\n")
    words = [{"OTHER": str(other / "index"), "MODEL": str(folder / "model")}.get(word, word) for word in words]
    assert main(["serve", str(folder / "index"), *([] if "--port" in words else ["--port", "0"]), *words]) == code
    assert told in capsys.readouterr().err


def test_a_port_that_is_taken_is_told(folder, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", str(folder / "index"), "--port", str(taken.getsockname()[1])]) == 4
    assert "cannot listen" in capsys.readouterr().err


def test_which_addresses_are_this_machine_only():
    assert all(map(is_loopback, ["127.0.0.1", "127.9.9.9", "localhost", "::1", "[::1]"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "192.168.1.7", "localhost.evil.example", "example.org", ""]))


def test_a_token_of_a_file_is_asked_for(folder, tmp_path):
    token = "Zm9yIHRlc3RzIG9ubHk"
    (tmp_path / "token").write_text(token + "\n")
    with served.Process(folder / "index", "--token-file", "token", "--host", "0.0.0.0", cwd=tmp_path) as server:
        assert asked(f"{server.url}/api/index")[0] == 401
        assert asked(f"{server.url}/api/index", token=token[:-1] + "x")[0] == 401
        assert asked(f"{server.url}/api/index", token=token)[0] == 200
        assert asked(f"{server.url}/health")[0] == 200


def test_reads_and_writes_together_for_some_seconds(folder, tmp_path, record_property):
    copy = served.copied(folder, tmp_path / "copy")

    def reads(url, number):
        statuses = []
        while time.monotonic() < end:
            statuses.append(asked(f"{url}/api/search?q=azure+beaver+{number}&k=10")[0])
        return statuses

    def writes(url):
        statuses, number = [], 0
        while time.monotonic() < end:
            number += 1
            row = {"key": f"w{number % 20}", "text": f"the sea glow beavers {number}"}
            statuses.append(asked(f"{url}/api/rows", method="POST", body={"rows": [row]})[0])
            statuses.append(asked(f"{url}/api/rows?key=w{number % 20}", method="DELETE")[0])
        return statuses

    with served.Process(copy / "index", "--allow-writes", cwd=tmp_path) as server:
        end = time.monotonic() + 3
        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            jobs = [threads.submit(reads, server.url, i) for i in range(3)] + [threads.submit(writes, server.url)]
            statuses = [status for job in jobs for status in job.result()]
        code, errors = server.stop(signal.SIGTERM)
    assert set(statuses) == {200}
    assert (code, errors) == (0, "stopped\n")
    with Index.open(copy / "index") as index:
        assert len(index) == 121
    record_property("requests a second", round(len(statuses) / 3))
