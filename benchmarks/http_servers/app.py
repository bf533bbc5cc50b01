"""The handlers that all servers run, and thin fronts for granian (RSGI) and uvicorn (ASGI).

In: a server's own request. Out: the same three answers from each: GET /tiny, POST /body, POST /predict.
"""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from alula.serving.heap import keep_freed_memory
from alula.serving.http_front import Front
from alula.serving.messages import Request, Response, json_response
from alula.serving.metrics import Metrics
from alula.serving.server import new_loop
from alula.serving.settings import ServeSettings

THREADS = ThreadPoolExecutor(2)


class Handlers:
    """Stands where `App` stands: the same handle, without a model."""

    def __init__(self) -> None:
        self.settings = ServeSettings()
        self.metrics = Metrics({})
        self.ready = True

    async def handle(self, request: Request) -> Response:
        """Answer: a small JSON, the size of the body, or the same after 1 ms in a worker thread."""
        if request.path == "/predict":
            await asyncio.get_running_loop().run_in_executor(THREADS, time.sleep, 0.001)
        return json_response(200, {"size": len(request.body), "predictions": [{"label": "cat", "score": 0.5}]})


HANDLERS = Handlers()


def _request(method: str, path: str, body: bytes) -> Request:
    return Request(method, path, "", {}, body, "1", time.perf_counter(), 0.0)


async def rsgi(scope: Any, protocol: Any) -> None:  # noqa: ANN401  granian's own classes
    """The front for granian."""
    body = await protocol() if scope.method == "POST" else b""
    answer = await HANDLERS.handle(_request(scope.method, scope.path, body))
    protocol.response_bytes(answer.status, [("content-type", answer.content_type)], answer.body)


async def asgi(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401  ASGI's dictionaries and callables
    """The front for uvicorn."""
    pieces, more = [], True
    while more:
        event = await receive()
        pieces.append(event.get("body", b""))
        more = event.get("more_body", False)
    answer = await HANDLERS.handle(_request(scope["method"], scope["path"], b"".join(pieces)))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer.body))]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def main() -> None:
    """Run alula's own front at the port of the environment."""

    async def forever() -> None:
        app: Any = HANDLERS
        front = Front(app)
        await front.listen("127.0.0.1", int(os.environ["PORT"]))
        await asyncio.Event().wait()

    keep_freed_memory()  # as `alula serve` does
    factory = asyncio.new_event_loop if os.environ.get("LOOP") == "asyncio" else new_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(forever())


if __name__ == "__main__":
    main()
