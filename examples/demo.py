"""One model all the way: fetch, build, compile, predict, serve.

In: nothing, or a picture. Out: the five best labels, in this process and over HTTP, with the time of each phase.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from alula import OpenOptions
from alula.base.errors import AlulaError
from alula.base.settings import read_settings
from alula.cli.progress import Progress
from alula.engine.sessions.compiler import CompileOptions, compile_graph, import_model
from alula.workbench.bundle import open_bundle, read_extras
from alula.workbench.efficientnet_lite import LITE0, efficientnet_lite
from alula.workbench.predict import predict_pictures
from alula.workbench.zoo import labels, photos

Result = TypeVar("Result")
HERE = Path(__file__).parent
TOP = 5


def main() -> int:
    """Run the demo; exit code 0 when both answers agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", nargs="?", type=Path, help="a JPEG or PNG (default: a photograph of ImageNet)")
    parser.add_argument("--serve", action="store_true", help="leave the server up until Ctrl-C")
    options = parser.parse_args()
    try:
        return run(options.picture, serve=options.serve)
    except AlulaError as error:
        print(f"{type(error).__name__}: {error.message}", file=sys.stderr)
        return 2


def run(picture: Path | None, *, serve: bool) -> int:
    """All phases in order."""
    settings = read_settings(os.environ)
    model = timed(
        "weights, and the ONNX model built from them", lambda: efficientnet_lite(LITE0, settings.cache, progress=say)
    )
    names = timed("names of the 1000 classes", lambda: labels(settings.cache, say))
    photo = picture or timed("photographs", lambda: photos(settings.cache, say))[0][0]
    plan = settings.cache / "demo" / "lite0.alula"
    timed("compile to machine code", lambda: compile_demo(model, plan, names))
    bundle = timed("open the plan", lambda: open_bundle(plan, OpenOptions(), settings))
    predict_pictures(bundle, [photo], TOP)  # the first run finds cold caches
    answer = predict_pictures(bundle, [photo], TOP)[0]
    show(f"{photo.name}, in this process", answer)
    bundle.session.close()
    return serve_photo(plan, photo, answer, stay=serve)


def compile_demo(model: Path, plan: Path, names: tuple[str, ...]) -> None:
    """Compile with labels and preprocessing inside the plan, as `alula compile` does."""
    plan.parent.mkdir(parents=True, exist_ok=True)
    text = plan.with_suffix(".labels.txt")
    text.write_text("\n".join(names) + "\n", encoding="utf-8")
    extras = read_extras(model, str(HERE / "lite0.preprocess.toml"), str(text))
    with Progress("compiling") as progress:
        compile_graph(import_model(model), plan, CompileOptions(extras=extras), progress)


def serve_photo(plan: Path, photo: Path, expected: dict[str, Any], *, stay: bool) -> int:
    """Start `alula serve`, send the photo, compare, and stop or stay."""
    command = [sys.executable, "-m", "alula.cli.main", "serve", str(plan), "--port", "8000" if stay else "0", "--json"]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603  our own command
        try:
            line = server.stdout.readline() if server.stdout else ""
            if not line:
                return server.wait()  # it has said why on stderr
            place = json.loads(line)
            print(f"  {'start the server, until it is ready':<44} {(time.perf_counter() - started) * 1e3:9.1f} ms")
            same = compare(place, photo, expected)
            if stay:
                print(f"try: curl --data-binary @{photo} -H 'Content-Type: image/jpeg' {place['url']}/v1/predict")
                print("the server stays up; Ctrl-C ends it", flush=True)
                server.wait()
        except KeyboardInterrupt:
            same = True
        finally:
            server.terminate()
    return 0 if same else 1


def compare(place: dict[str, Any], photo: Path, expected: dict[str, Any]) -> bool:
    """Ask the server, show its answer, and say whether it is the expected one."""
    answer = post(place["host"], place["port"], photo)
    show(f"{photo.name}, over HTTP at {place['url']}", answer)
    same = [row["label"] for row in answer["predictions"]] == [row["label"] for row in expected["predictions"]]
    print(f"both answers {'agree' if same else 'DIFFER'}")
    return same


def post(host: str, port: int, photo: Path) -> dict[str, Any]:
    """Send a picture to /v1/predict; the second of two answers, with warm caches."""
    connection = http.client.HTTPConnection(host, port, timeout=30)
    for _ in range(2):
        connection.request("POST", "/v1/predict", photo.read_bytes(), {"Content-Type": "image/jpeg"})
        response = connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
    connection.close()
    return answer


def timed(title: str, work: Callable[[], Result]) -> Result:
    """Do the work and print how long it took."""
    started = time.perf_counter()
    result = work()
    print(f"  {title:<44} {(time.perf_counter() - started) * 1e3:9.1f} ms", flush=True)
    return result


def show(title: str, answer: dict[str, Any]) -> None:
    """Print labels with scores, and the milliseconds of each phase."""
    print(f"\n{title}")
    for row in answer["predictions"]:
        print(f"  {row['score']:7.4f}  {row['label']}")
    print("  ms: " + ", ".join(f"{phase} {value:.2f}" for phase, value in answer["timings_ms"].items()) + "\n")


def say(text: str) -> None:
    """Tell what is going on."""
    print(f"  ... {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
