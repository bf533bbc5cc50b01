from __future__ import annotations

import asyncio
import base64
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.pictures import jpeg, noise, plain, png
from support.server import MeanColour, Running, post_bytes, read_reply, running

from alula.base.errors import SettingsError
from alula.serving.server import serve
from alula.serving.settings import ServeSettings, WireLimits

GREEN = jpeg(plain(10, 200, 30))
BLUE = png(plain(10, 20, 230))
FORM = b"--xyz\r\nContent-Disposition: form-data; name=%b\r\nContent-Type: image/png\r\n\r\n%b\r\n--xyz--\r\n"
FORM_TYPE = "multipart/form-data; boundary=xyz"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """One server for all tests that only ask."""
    with running(ServeSettings(port=0, model="colours", version="3")) as one:
        yield one


def _json(picture: bytes, **more: object) -> bytes:
    return json.dumps({"image": base64.b64encode(picture).decode(), **more}).encode()


@pytest.mark.parametrize(
    ("body", "kind", "label"),
    [
        (GREEN, "image/jpeg", "green"),
        (BLUE, "image/png", "blue"),
        (BLUE, "application/octet-stream", "blue"),
        (BLUE, "image/jpeg", "blue"),
        (_json(GREEN), "application/json; charset=utf-8", "green"),
        (FORM % (b'"image"; filename="a.png"', BLUE), FORM_TYPE, "blue"),
        (FORM % (b'"photo"; filename="a.png"', BLUE), FORM_TYPE, "blue"),
        (FORM % (b'"image"', BLUE), 'multipart/form-data; boundary="xyz"', "blue"),
    ],
)
def test_every_way_of_sending_a_picture_gives_its_label(server: Running, body: bytes, kind: str, label: str) -> None:
    """Form, JSON or bare bytes: the same picture, the same answer; the bytes decide the format."""
    reply = server.post(body, kind)

    assert reply.status == 200
    assert reply.json["predictions"][0]["label"] == label


def test_answer_tells_model_scores_and_where_the_time_went(server: Running) -> None:
    """Users act on scores and operators on phases: both are in every answer."""
    answer = server.post(GREEN, "image/jpeg", extra="X-Request-Id: my-7\r\n").json

    assert (answer["model"], answer["version"], answer["request_id"]) == ("colours", "3", "my-7")
    assert [one["index"] for one in answer["predictions"]] == [1, 2, 0]
    assert sum(one["score"] for one in answer["predictions"]) == pytest.approx(1)
    phases = ["read", "queue", "decode", "preprocess", "inference", "postprocess", "total"]
    assert list(answer["timings_ms"]) == phases
    assert sum(answer["timings_ms"][one] for one in phases[:-1]) <= answer["timings_ms"]["total"] + 0.01


@pytest.mark.parametrize(
    ("body", "kind", "path"),
    [
        (GREEN, "image/jpeg", "/v1/predict?top=2"),
        (_json(GREEN, top=2), "application/json", "/v1/predict"),
        (
            b'--xyz\r\nContent-Disposition: form-data; name="top"\r\n\r\n2\r\n' + FORM % (b'"image"', BLUE),
            FORM_TYPE,
            "/v1/predict",
        ),
    ],
)
def test_top_limits_the_predictions(server: Running, body: bytes, kind: str, path: str) -> None:
    """Each form of request can say how many classes it wants."""
    assert len(server.post(body, kind, path).json["predictions"]) == 2


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics"])
def test_get_routes_answer_and_head_gives_the_same_headers(server: Running, path: str) -> None:
    """Probes may ask with GET or HEAD."""
    with closing(http.client.HTTPConnection(server.host, server.port, timeout=10)) as link:
        link.request("GET", path)
        whole = link.getresponse()
        whole.read()
        link.request("HEAD", path)
        head = link.getresponse()

    assert (whole.status, head.status, head.read()) == (200, 200, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]


def test_metrics_are_read_by_the_official_parser(server: Running) -> None:
    """Prometheus must see requests by route and status, phases, and the model."""
    server.post(GREEN, "image/jpeg")
    server.post(b"no picture", "image/jpeg")

    families = {one.name: one for one in text_string_to_metric_families(server.get("/metrics").body.decode())}

    counts = {(s.labels["route"], s.labels["status"]): s.value for s in families["alula_requests"].samples}
    assert counts["/v1/predict", "200"] >= 1
    assert counts["/v1/predict", "422"] >= 1
    phases = {s.labels["phase"]: s for s in families["alula_phase_seconds"].samples if s.name.endswith("_count")}
    assert set(phases) == {"read", "queue", "decode", "preprocess", "inference", "postprocess", "total"}
    (info,) = families["alula_model_info"].samples
    assert (info.labels["model"], info.labels["version"]) == ("colours", "3")


def test_unknown_paths_and_methods_have_json_errors(server: Running) -> None:
    """A wrong address names the right ones; a wrong method says which are allowed."""
    missing = server.get("/v1/predictions")
    wrong = server.get("/v1/predict")

    assert (missing.status, missing.error["kind"]) == (404, "missing")
    assert "/v1/predict" in missing.error["needed"]
    assert (wrong.status, wrong.headers["allow"], wrong.error["where"]) == (405, "POST", "method of /v1/predict")


def test_one_connection_serves_many_requests(server: Running) -> None:
    """Keep-alive: bodies do not run into the next request, errors of content do not end the connection."""
    with server.connect() as link:
        for body, status in ((GREEN, 200), (b"x", 422), (b"", 422), (jpeg(noise(300, 400)), 200), (GREEN, 200)):
            link.sendall(post_bytes(body, "image/jpeg"))
            assert read_reply(link).status == status


def test_requests_sent_ahead_are_answered_in_order(server: Running) -> None:
    """Pipelining (RFC 9112, 9.3.2), more at once than may wait, with bodies of every kind between them."""
    chunked = b"POST /v1/predict HTTP/1.1\r\nHost: t\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunked += b"%x\r\n%b\r\n0\r\nTrailer: x\r\n\r\n" % (len(BLUE), BLUE)
    with server.connect() as link:
        link.sendall((post_bytes(GREEN, "image/jpeg") + b"GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n" + chunked) * 20)
        replies = [read_reply(link) for _ in range(60)]

    assert [one.json["predictions"][0]["label"] for one in replies[::3]] == ["green"] * 20
    assert [one.json["predictions"][0]["label"] for one in replies[2::3]] == ["blue"] * 20


def test_body_may_come_in_any_pieces(server: Running) -> None:
    """TCP knows no messages: byte by byte is the same request."""
    data = post_bytes(BLUE, "image/png")
    with server.connect() as link:
        for at in range(len(data)):
            link.sendall(data[at : at + 1])

        assert read_reply(link).json["predictions"][0]["label"] == "blue"


def test_expect_continue_is_answered_before_the_body(server: Running) -> None:
    """curl waits a second for it with bodies above 1 MB."""
    data = post_bytes(GREEN, "image/jpeg", extra="Expect: 100-continue\r\n")
    with server.connect() as link:
        link.sendall(data[: -len(GREEN)])
        first = read_reply(link)
        link.sendall(GREEN)

        assert (first.status, read_reply(link).status) == (100, 200)


@pytest.mark.parametrize(("head", "kept"), [("HTTP/1.0", "close"), ("HTTP/1.1\r\nHost: t", "keep-alive")])
def test_connection_header_follows_the_version(server: Running, head: str, kept: str) -> None:
    """HTTP 1.0 closes, HTTP 1.1 stays, unless told otherwise."""
    assert server.send(f"GET /healthz {head}\r\n\r\n".encode()).headers["connection"] == kept


def test_fifty_clients_at_once_get_their_own_answers(server: Running) -> None:
    """Sessions, buffers and answers of concurrent requests do not mix."""
    pictures = [(jpeg(plain(*[230 if at == n % 3 else 20 for at in range(3)])), n % 3) for n in range(150)]

    with ThreadPoolExecutor(50) as clients:
        replies = list(clients.map(lambda one: server.post(one[0], "image/jpeg"), pictures))

    assert [one.json["predictions"][0]["index"] for one in replies] == [n for _, n in pictures]


def test_a_full_queue_answers_503_with_retry_after() -> None:
    """Overload is told at once, and says when to come back; the accepted requests are answered."""
    gate = threading.Event()
    with running(ServeSettings(port=0, workers=1, queue=1), MeanColour(gate)) as server:
        links = [server.connect() for _ in range(2)]
        for number, link in enumerate(links, 1):
            link.sendall(post_bytes(GREEN, "image/jpeg"))
            _until(lambda: server.app.metrics.in_flight == number)  # noqa: B023  called in this turn

        refused = server.post(GREEN, "image/jpeg")
        alive = server.get("/healthz")
        gate.set()
        answered = [read_reply(link).status for link in links]
        for link in links:
            link.close()

    assert (refused.status, refused.headers["retry-after"], refused.error["kind"]) == (503, "1", "busy")
    assert (alive.status, answered) == (200, [200, 200])


def test_a_late_answer_is_504_and_waiting_work_is_not_done() -> None:
    """A request that nobody waits for any more costs no compute."""
    gate = threading.Event()
    model = MeanColour(gate)
    with running(ServeSettings(port=0, workers=1, deadline_seconds=0.2), model) as server:
        with ThreadPoolExecutor(3) as clients:
            replies = list(clients.map(lambda _: server.post(GREEN, "image/jpeg"), range(3)))
        gate.set()

    assert [one.status for one in replies] == [504] * 3
    assert replies[0].error["kind"] == "late"
    assert model.runs == 1


def test_a_client_that_leaves_is_not_computed_for() -> None:
    """A disconnect while waiting cancels the work and frees its place."""
    gate = threading.Event()
    model = MeanColour(gate)
    with running(ServeSettings(port=0, workers=1), model) as server:
        first = server.connect()
        first.sendall(post_bytes(GREEN, "image/jpeg"))
        _until(lambda: server.app.metrics.in_flight == 1)
        for _ in range(5):
            with server.connect() as link:
                link.sendall(post_bytes(GREEN, "image/jpeg"))
                _until(lambda: server.app.metrics.in_flight == 2)
            _until(lambda: server.app.metrics.in_flight == 1)
        gate.set()
        assert read_reply(first).status == 200
        first.close()

    assert model.runs == 1


def test_stopping_answers_what_is_under_way_and_takes_nothing_new() -> None:
    """A rolling restart loses no request."""
    gate = threading.Event()
    with running(ServeSettings(port=0), MeanColour(gate)) as server, server.connect() as link, server.connect() as idle:
        link.sendall(post_bytes(GREEN, "image/jpeg"))
        _until(lambda: server.app.metrics.in_flight == 1)

        server.stop()
        _until(lambda: not server.app.ready)
        assert idle.recv(1) == b""
        gate.set()
        reply = read_reply(link)

        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert link.recv(1) == b""
    assert all(one.closed for one in server.session.forks)


def test_a_bug_in_the_model_is_a_500_that_tells_no_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """Clients learn that it is not their fault; the log has the rest."""
    model = MeanColour()
    model.broken = True
    with running(ServeSettings(port=0, workers=1), model) as server:
        reply = server.post(GREEN, "image/jpeg")

    assert (reply.status, reply.error["kind"]) == (500, "broken")
    assert b"secret" not in reply.body
    assert "secret detail" in caplog.text


def test_an_address_in_use_is_named(server: Running) -> None:
    """Two servers on one port: the second says so."""
    busy = type(server.app)(server.app._predictor, ServeSettings(port=server.port))

    with pytest.raises(SettingsError, match=f"127.0.0.1:{server.port}: needs to be free"):
        asyncio.run(serve(busy, print, asyncio.Event()))


def test_settings_that_let_nothing_through_are_refused() -> None:
    """A zero by mistake is seen at the start."""
    with pytest.raises(SettingsError, match=r"WireLimits\.body_bytes"):
        WireLimits(body_bytes=0)
    with pytest.raises(SettingsError, match="0 to 65535"):
        ServeSettings(port=70000)


def _until(met: Callable[[], bool]) -> None:
    """Wait for a condition that other threads bring about."""
    end = time.monotonic() + 10
    while not met():
        assert time.monotonic() < end, "never came true"
        time.sleep(0.005)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_ends_cleanly_at_a_signal(number: signal.Signals) -> None:
    """`run` announces its address, answers, and leaves with all sessions closed when it is told to."""
    code = (
        "from support.server import LABELS, PREPROCESSING, MeanColour\n"
        "from alula.serving.server import run\n"
        "from alula.serving.settings import ServeSettings\n"
        "model = MeanColour()\n"
        "run(model, PREPROCESSING, LABELS, ServeSettings(port=0), lambda address: print(address, flush=True))\n"
        "print(all(one.closed for one in model.forks))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        with closing(http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)) as link:
            link.request("GET", "/readyz")
            status = link.getresponse().status
        process.send_signal(number)
        rest = process.stdout.read()

    assert (status, rest, process.returncode) == (200, "True\n", 0)
