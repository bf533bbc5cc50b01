"""A small served model, a server in a thread, and raw HTTP. In: settings. Out: an address that answers.

The model is real: it averages a picture's colours. Its classes are red, green and blue.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from alula.base.session import Session
from alula.base.tensors import DType, Tensor, TensorSpec
from alula.imaging.preprocess import Normalise, Preprocessing, Resize
from alula.serving.app import App
from alula.serving.predictor import Predictor
from alula.serving.server import run_in_loop, serve
from alula.serving.settings import ServeSettings

LABELS = ("red", "green", "blue")
PREPROCESSING = Preprocessing(
    resize=Resize("bilinear", size=(8, 8)), normalise=Normalise(255.0), scores="logits", name="images"
)


class MeanColour:
    """A model of one step: class scores are the mean of each colour.

    Waits for `gate` when one is given; `waits` counts the runs that got that far.
    """

    def __init__(self, gate: threading.Event | None = None, forks: list[MeanColour] | None = None) -> None:
        self.inputs = (TensorSpec("images", DType.FLOAT32, ("batch", 3, 8, 8)),)
        self.outputs = (TensorSpec("logits", DType.FLOAT32, (1, 3)),)
        self.gate = gate
        self.waits = threading.Semaphore(0)
        self.forks = [self] if forks is None else forks
        self.runs = 0
        self.closed = False
        self.broken = False
        self._answer = np.zeros((1, 3), np.float32)

    def run(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any] | None = None) -> Mapping[str, Tensor]:
        """Average each channel."""
        assert outputs is None
        if self.gate is not None:
            self.waits.release()
            self.gate.wait(20)
        self.runs += 1
        np.mean(np.asarray(inputs["images"]), axis=(2, 3), out=self._answer)
        if self.broken:
            raise RuntimeError("secret detail")
        return {"logits": Tensor(self._answer, DType.FLOAT32, (1, 3))}

    def fork(self) -> Session:
        """Another of the same kind, with an answer buffer of its own."""
        one = MeanColour(self.gate, self.forks)
        self.forks.append(one)
        return one

    def close(self) -> None:
        """Remember it."""
        self.closed = True


@dataclass
class Running:
    """A server that runs in a thread."""

    host: str
    port: int
    session: MeanColour
    app: App
    stop: Any

    def connect(self) -> socket.socket:
        """A raw connection; reading gives up after 10 s."""
        return socket.create_connection((self.host, self.port), timeout=10)

    def send(self, data: bytes) -> Reply:
        """Send raw bytes, read one answer, and close."""
        with self.connect() as link:
            link.sendall(data)
            return read_reply(link)

    def post(self, body: bytes, kind: str, path: str = "/v1/predict", extra: str = "") -> Reply:
        """Post a body on a connection of its own."""
        return self.send(post_bytes(body, kind, path, extra))

    def get(self, path: str) -> Reply:
        """Get a path on a connection of its own."""
        return self.send(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())


@dataclass(frozen=True)
class Reply:
    """A status, headers in small letters, and a body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body read as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, str]:
        """The error of the body, with its parts."""
        assert self.headers["content-type"] == "application/json"
        error: dict[str, str] = self.json["error"]
        assert set(error) == {"kind", "where", "needed", "found", "hint", "message"}
        return error


def post_bytes(body: bytes, kind: str, path: str = "/v1/predict", extra: str = "") -> bytes:
    """A whole POST request; `extra` holds more header lines, each with its line end."""
    head = f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


def read_reply(link: socket.socket) -> Reply:
    """Read one response, not a byte more."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = link.recv(1)
        if not piece:
            raise ConnectionError(f"closed after {data!r}")
        data += piece
    lines = data.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    body = b""
    while missing := int(headers.get("content-length", "0")) - len(body):
        piece = link.recv(missing)
        if not piece:
            raise ConnectionError("closed inside a body")
        body += piece
    return Reply(int(lines[0].split(" ")[1]), headers, body)


@contextmanager
def running(settings: ServeSettings, session: MeanColour | None = None) -> Iterator[Running]:
    """Serve in a thread at a free port; stopped and drained at the end."""
    session = session or MeanColour()
    predictor = Predictor(session, PREPROCESSING, LABELS, settings)
    app = App(predictor, settings)
    ready: list[tuple[str, Any]] = []
    started = threading.Event()

    async def work() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def announce(address: str) -> None:
            ready.append((address, lambda: loop.call_soon_threadsafe(stop.set)))
            started.set()

        await serve(app, announce, stop)

    thread = threading.Thread(target=run_in_loop, args=(work(),), daemon=True)
    thread.start()
    assert started.wait(10)
    address, stop = ready[0]
    host, _, port = address.removeprefix("http://").rpartition(":")
    try:
        yield Running(host, int(port), session, app, stop)
    finally:
        if thread.is_alive():
            stop()
        if session.gate is not None:
            session.gate.set()
        thread.join(20)
        predictor.close()
        assert not thread.is_alive()
