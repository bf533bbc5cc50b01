"""The server's core: routes, and the way of one request. Knows no HTTP library.

In: `Request`. Out: `Response`; every error becomes one, with its four parts as JSON.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import perf_counter

from alula.base.errors import AlulaError, InternalError, MissingError, RequestError
from alula.serving.messages import Request, Response, json_response
from alula.serving.metrics import CONTENT_TYPE, Metrics
from alula.serving.prediction_input import read_input
from alula.serving.predictor import Predictor
from alula.serving.settings import ServeSettings
from alula.serving.statuses import BY_WORD, error_response

# As nginx counts a request whose client went away; never sent.
_CLIENT_GONE = 499
_LOG = logging.getLogger("alula.serving")

Handler = Callable[[Request], Awaitable[Response]]


class App:
    """One served model. Called from one event loop; `ready` may be switched off to send new traffic elsewhere."""

    def __init__(self, predictor: Predictor, settings: ServeSettings) -> None:
        """Build the routes; the predictor stays the caller's to close."""
        self.settings = settings
        self.ready = True
        rule = predictor.preprocessing.fingerprint
        self.metrics = Metrics({"model": settings.model, "version": settings.version, "preprocessing": rule})
        self._predictor = predictor
        self._routes: dict[str, dict[str, Handler]] = {
            "/": {"GET": self._welcome},
            "/v1/predict": {"POST": self._predict},
            "/healthz": {"GET": self._health},
            "/readyz": {"GET": self._readiness},
            "/metrics": {"GET": self._metrics},
        }

    async def handle(self, request: Request) -> Response:
        """Answer a request; raises nothing but `asyncio.CancelledError`, when its client has gone."""
        methods = self._routes.get(request.path)
        route = request.path if methods else "other"
        self.metrics.in_flight += 1
        try:
            response = await self._answer(methods, request)
        except asyncio.CancelledError:
            self.metrics.count(route, _CLIENT_GONE, perf_counter() - request.started)
            raise
        finally:
            self.metrics.in_flight -= 1
        self.metrics.count(route, response.status, perf_counter() - request.started)
        return response

    async def _answer(self, methods: dict[str, Handler] | None, request: Request) -> Response:
        try:
            if methods is None:
                routes = ", ".join(self._routes)
                missing = MissingError("path", f"needs one of {routes}", f"got {request.path!r:.100}")
                return error_response(missing, request.id)
            handler = methods.get("GET" if request.method == "HEAD" else request.method)
            if handler is None:
                allow = ", ".join([*methods, *(["HEAD"] if "GET" in methods else [])])
                error = RequestError(f"method of {request.path}", f"needs {allow}", f"got {request.method}")
                return error_response(error, request.id, BY_WORD["method"], allow)
            return await handler(request)
        except AlulaError as error:
            if error.kind == "broken":
                _LOG.exception("request %s", request.id)
            return error_response(error, request.id)
        except Exception:  # noqa: BLE001  whatever breaks, the client gets an answer and the server stays up
            _LOG.exception("request %s", request.id)
            found = "something in alula went wrong; its log says what"
            return error_response(InternalError("server", "needs to answer", found), request.id)

    async def _predict(self, request: Request) -> Response:
        wanted = read_input(request)
        deadline = request.started + request.read_seconds + self.settings.deadline_seconds
        answer = await self._predictor.predict(wanted.picture, wanted.top, deadline)
        phases = {"read": request.read_seconds, **answer.phases, "total": perf_counter() - request.started}
        self.metrics.phases(phases)
        content: dict[str, object] = {"model": self.settings.model}
        if self.settings.version:
            content["version"] = self.settings.version
        content["predictions"] = answer.predictions
        content["timings_ms"] = {name: round(seconds * 1000, 3) for name, seconds in phases.items()}
        content["request_id"] = request.id
        return json_response(200, content)

    async def _health(self, _: Request) -> Response:
        return json_response(200, {"status": "alive"})

    async def _readiness(self, _: Request) -> Response:
        if self.ready:
            return json_response(200, {"status": "ready"})
        return json_response(BY_WORD["busy"], {"status": "stopping"})

    async def _metrics(self, _: Request) -> Response:
        return Response(200, self.metrics.text().encode(), CONTENT_TYPE)

    async def _welcome(self, _: Request) -> Response:
        routes = {path: ", ".join(methods) for path, methods in self._routes.items()}
        return json_response(200, {"server": "alula", "model": self.settings.model, "routes": routes})
