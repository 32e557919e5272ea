"""The endpoint over real sockets: three paths, this machine only, and one that hangs keeps nobody out for ever."""

import http.client
import itertools
import socket
import stat
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from privacy.errors import ConfigError
from privacy.operations import endpoint, metrics
from privacy.operations.endpoint import Endpoint
from privacy.operations.metrics import EVERYBODY, PHASE, ROUND, Metric, Sample

LACKING: list[str] = []


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setattr(endpoint, "REQUEST_SECONDS", 0.2)
    LACKING.clear()
    made = Endpoint("127.0.0.1:0", lambda: "collegium_round 3\n", lambda: LACKING)
    yield made
    made.close()


def ask(port: int, path: str, method: str = "GET", timeout: float = 5.0, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_three_paths_and_no_other(served: Endpoint) -> None:
    assert ask(served.port, "/livez") == (200, "ok\n")
    assert ask(served.port, "/readyz") == (200, "ok\n")
    assert ask(served.port, "/metrics") == (200, "collegium_round 3\n")
    assert ask(served.port, "/")[0] == 404
    assert ask(served.port, "/../etc/passwd")[0] == 404
    assert ask(served.port, "/metrics", "POST")[0] == 501


def test_a_page_that_had_its_name_resolve_to_this_machine_reads_nothing(served: Endpoint) -> None:
    names = (
        "evil.example",
        "evil.example:9464",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "a@localhost",
        "[]",
    )
    for host, path in itertools.product(names, ("/livez", "/readyz", "/metrics", "/")):
        status, said = ask(served.port, path, Host=host)
        assert (status, "unix:PATH" in said, "collegium_round" in said) == (421, True, False), host


def test_monitors_and_probes_that_dial_this_machine_or_an_address_are_answered(served: Endpoint) -> None:
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:9464", "[::1]:9464", "10.0.0.7:9464"):
        assert ask(served.port, "/metrics", Host=host)[0] == 200, host


def test_each_of_several_names_has_to_be_ours_and_none_is_none(served: Endpoint) -> None:
    for named, status in (("Host: localhost\r\nHost: evil.example\r\n", b"421"), ("", b"200")):
        with socket.create_connection(("127.0.0.1", served.port)) as line:
            line.sendall(f"GET /livez HTTP/1.0\r\n{named}\r\n".encode())
            assert line.recv(4096).split(b" ")[1] == status


def test_what_is_lacking_is_told(served: Endpoint) -> None:
    LACKING.append("the certificate expired")
    assert ask(served.port, "/readyz") == (503, "not ready: the certificate expired\n")
    assert ask(served.port, "/livez")[0] == 200


def test_a_client_that_says_nothing_is_let_go(served: Endpoint) -> None:
    with socket.create_connection(("127.0.0.1", served.port)) as silent:
        assert ask(served.port, "/livez")[0] == 200
        silent.settimeout(5)
        assert silent.recv(1) == b""


def test_one_that_drips_keeps_nobody_out(served: Endpoint) -> None:
    """Each byte comes in time, and the request never: probes would call the program dead and have it started again."""
    over = threading.Event()

    def drip(line: socket.socket) -> None:
        with suppress(OSError):
            line.sendall(b"GET /livez HTTP/1.1\r\n")
            while not over.wait(0.05):
                line.sendall(b"a: b\r\n")

    with socket.create_connection(("127.0.0.1", served.port)) as slow, ThreadPoolExecutor(1) as pool:
        pool.submit(drip, slow)
        try:
            assert ask(served.port, "/livez", timeout=2.0)[0] == 200
        finally:
            over.set()


def test_one_that_is_reset_leaves_no_traceback(served: Endpoint, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", served.port)) as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            line.sendall(b"GET /metrics")
    assert ask(served.port, "/livez")[0] == 200
    assert not capfd.readouterr().err


@pytest.mark.parametrize("address", ["0.0.0.0:0", "192.0.2.1:9464", "example.org:80", "9464", "http://127.0.0.1:1"])
def test_it_is_never_anywhere_but_on_this_machine(address: str) -> None:
    with pytest.raises(ConfigError):
        Endpoint(address, str, list)


def test_a_port_that_is_taken_is_told(served: Endpoint) -> None:
    with pytest.raises(ConfigError, match="cannot listen"):
        Endpoint(f"127.0.0.1:{served.port}", str, list)


def test_a_unix_socket_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "watch"
    for _ in range(2):  # the second finds what a killed process left
        made = Endpoint(f"unix:{path}", str, list)
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET /livez HTTP/1.0\r\nHost: any.example\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.0 200")
        kept = path.with_name("kept")
        kept.hardlink_to(path)
        made.close()
        assert not path.exists()
        kept.rename(path)


def test_a_file_that_is_no_socket_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "watch"
    path.write_text("kept")
    with pytest.raises(ConfigError):
        Endpoint(f"unix:{path}", str, list)
    assert path.read_text() == "kept"


def test_the_text_is_prometheus(tmp_path: Path) -> None:
    samples = [Sample(ROUND, 3), Sample(PHASE, 1, 'a "b"\\\n'), *metrics.of_machine(tmp_path)]
    text = metrics.render(samples, EVERYBODY)
    assert "# TYPE collegium_round gauge\ncollegium_round 3\n" in text
    assert 'collegium_phase{phase="a \\"b\\"\\\\\\n"} 1\n' in text
    assert "collegium_resident_bytes " in text


@pytest.mark.parametrize("sample", [Sample(Metric("other", "gauge", ""), 1), Sample(PHASE, 1), Sample(ROUND, 1, "a")])
def test_a_metric_that_is_not_in_the_list_is_a_defect(sample: Sample) -> None:
    with pytest.raises(RuntimeError):
        metrics.render([sample], EVERYBODY)
