"""A server from start to end: build, listen, announce, answer, drain.

In: a Session, its preprocessing and labels, settings. Out: nothing until SIGTERM or SIGINT.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from importlib import import_module
from importlib.util import find_spec

from alula.base.errors import SettingsError
from alula.base.session import Session
from alula.imaging.preprocess import Preprocessing
from alula.serving.app import App
from alula.serving.heap import keep_freed_memory
from alula.serving.http_front import Front
from alula.serving.predictor import Predictor
from alula.serving.settings import ServeSettings

Announce = Callable[[str], None]


def run(
    session: Session,
    preprocessing: Preprocessing,
    labels: tuple[str, ...],
    settings: ServeSettings,
    announce: Announce = lambda _: None,
) -> None:
    """Serve one model until SIGTERM or SIGINT; requests under way are answered first, a second signal cuts them off.

    Args:
        session: the opened model; closed at the end, with the forks made of it.
        preprocessing: what the model wants done to a picture.
        labels: one for each class, or none.
        settings: address and limits.
        announce: called once with the address, such as `http://127.0.0.1:8000`, when requests are taken.

    Raises:
        SettingsError: the parts do not fit each other, or the address cannot be taken.
    """
    keep_freed_memory()
    predictor = Predictor(session, preprocessing, labels, settings)
    try:
        run_in_loop(_until_signalled(App(predictor, settings), announce))
    finally:
        predictor.close()


async def serve(app: App, announce: Announce, stop: asyncio.Event) -> None:
    """Serve an app in the running event loop until `stop` is set, then drain.

    Raises:
        SettingsError: the address cannot be taken.
    """
    settings = app.settings
    front = Front(app)
    try:
        host, port = await front.listen(settings.host, settings.port)
    except OSError as error:
        place = f"address {settings.host}:{settings.port}"
        raise SettingsError(place, "needs to be free and this machine's", f"{error.strerror}", "--port 0") from error
    announce(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
    await stop.wait()
    stop.clear()
    drain = asyncio.ensure_future(front.drain(settings.drain_seconds))
    again = asyncio.ensure_future(stop.wait())
    await asyncio.wait({drain, again}, return_when=asyncio.FIRST_COMPLETED)
    if not drain.done():
        await front.drain(0)
    again.cancel()
    await drain


def new_loop() -> asyncio.AbstractEventLoop:
    """An event loop: uvloop's where it is installed. It is quicker, and the server is as good without it."""
    if find_spec("uvloop") is None:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = import_module("uvloop").new_event_loop()
    return loop


def run_in_loop(work: Coroutine[None, None, None]) -> None:
    """Run to the end in a new event loop: uvloop's where it is installed."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(work)


async def _until_signalled(app: App, announce: Announce) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(app, announce, stop)
