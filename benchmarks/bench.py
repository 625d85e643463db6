"""The source of the README's numbers: `bonafide bench`, every ratio measured in one run.

    bonafide bench [--bundle DIR] [--json FILE]

The sides of a ratio are timed in turn and medians taken, because machines are shared. Each part is
a function that returns plain numbers; `TARGETS` holds the limits that they should keep, and
`benchmarks.table` prints them.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.serving import memory_mb, seconds_of, service
from benchmarks.sounds import FORMATS, encode, speech
from benchmarks.table import lines
from bonafide.bundle import Bundle
from bonafide.detector import Detector
from bonafide.runtime import Graph

Numbers = dict[str, Any]
Say = Callable[[str], None]

CLIP_S = 4.0
ROUNDS = 30
CALLS = 10
COLD_ROUNDS = 5
LOAD_S = 6.0
CLIENTS = (1, 8, 64)
THROUGHPUT_ROUNDS = LATENCY_ROUNDS = 5
LONG_S = 600.0
MINUTES = (1, 60)
# Measured in the process itself: the kernel's peak of a child counts its parent too.
PEAK = """
import os, sys
from benchmarks.serving import memory_mb
from bonafide.cli import main
main(["score", *sys.argv[1:]])
print(memory_mb(os.getpid()))
"""

# target, kind of limit, limit
TARGETS = (
    ("app_over_fused", "at least", 100.0),
    ("chain_over_fused", "at least", 1.0),
    ("fused_over_floor", "at most", 3.0),
    ("http_over_score_ms", "at most", 3.0),
    ("throughput_of_two_cores", "at least", 0.7),
    ("cold_over_tensorflow", "at most", 0.2),
    ("worker_mb", "at most", 300.0),
    ("bundle_mb", "at most", 40.0),
    ("asked_ms", "at most", 30.0),
    ("average_ms", "at most", 10.0),
)


def milliseconds(run: Callable[[], object], calls: int) -> float:
    """Return the mean time of a call in milliseconds, over `calls` in a row."""
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls * 1e3


def in_turn(sides: Mapping[str, tuple[Callable[[], object], int]], rounds: int) -> Numbers:
    """Time every side once a round; return medians and quartiles in milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds + 1):
        for name, (run, calls) in sides.items():
            times[name].append(milliseconds(run, calls))
    return {
        name: {
            "median_ms": median(values[1:]),  # the first round warms up
            "quartiles_ms": [float(q) for q in np.percentile(values[1:], (25, 75))],
        }
        for name, values in times.items()
    }


def as_routed(bundle: Bundle, *, asked: bool) -> Graph:
    """Return the detector's graph with every window sent on to the second stage, or none.

    Parameters
    ----------
    bundle : Bundle
        With one stage or two; one changes nothing.
    asked : bool
        Whether windows go on.

    Returns
    -------
    Graph
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load(bundle.graph_path("detector"))
    limits = {node.input[1] for node in model.graph.node if node.op_type == "Less"}
    for tensor in model.graph.initializer:
        if tensor.name in limits:
            value = np.array(np.inf if asked else -np.inf, np.float32)
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    return Graph(model.SerializeToString())


def graphs(bundle: Bundle) -> Numbers:
    """Measure one window on one thread: the fused graph, the chain, the usual app, the floor."""
    import onnx

    from benchmarks.app import App
    from benchmarks.floor import matmul_rate, multiply_adds
    from bonafide.export.chain import Chain

    waveform = speech(CLIP_S)[None]
    content = encode(waveform[0], "wav")
    spared, asked = as_routed(bundle, asked=False), as_routed(bundle, asked=True)
    chain, app = Chain(bundle), App(bundle)
    times = in_turn(
        {
            "fused": (lambda: spared({"waveform": waveform}), CALLS),
            "asked": (lambda: asked({"waveform": waveform}), CALLS),
            "chain": (lambda: chain.score_windows(waveform), CALLS),
            "app": (lambda: app.score(content), 1),
        },
        ROUNDS,
    )
    count = multiply_adds(onnx.load(bundle.graph_path("detector")))
    rate = matmul_rate()
    floor_ms = count / rate * 1e3
    fused_ms, asked_ms = times["fused"]["median_ms"], times["asked"]["median_ms"]
    share = bundle.manifest.get("asked", 0.0)
    return {
        **times,
        "multiply_adds": count,
        "multiply_adds_per_second": rate,
        "floor_ms": floor_ms,
        "asked_ms": asked_ms,
        "average_ms": fused_ms + share * (asked_ms - fused_ms),
        "app_over_fused": times["app"]["median_ms"] / fused_ms,
        "chain_over_fused": times["chain"]["median_ms"] / fused_ms,
        "fused_over_floor": fused_ms / floor_ms,
    }


def codecs(bundle: Bundle) -> Numbers:
    """Measure `Detector.score` from a file's bytes, by codec."""
    detector = Detector(bundle)
    waveform = speech(CLIP_S)
    sides = {}
    for codec in FORMATS:
        content = encode(waveform, codec)
        sides[codec] = (lambda content=content: detector.score(content), CALLS)
    return {codec: values["median_ms"] for codec, values in in_turn(sides, ROUNDS).items()}


def score_rate(bundle: Path, file: Path, seconds: float) -> float:
    """Return how many times a second this process scores a file's bytes."""
    detector, content = Detector(bundle), file.read_bytes()
    detector.score(content)
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        detector.score(content).to_json()
        done += 1
    return done / (time.perf_counter() - start)


def _two_cores(bundle: Path, file: Path) -> float:
    """Return the sum of `score_rate` over two processes at the same time."""
    words = [sys.executable, "-m", "benchmarks.bench", str(bundle), str(file), str(LOAD_S)]
    both = [
        subprocess.Popen(
            words, stdout=subprocess.PIPE, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        )
        for _ in range(2)
    ]
    return sum(float(process.communicate()[0]) for process in both)


def http(bundle: Path, file: Path) -> Numbers:
    """Measure the service under load from another process, and the memory of a worker."""
    detector, content = Detector(bundle), file.read_bytes()
    result: Numbers = {"memory_mb": {}}
    load_s, overheads_ms = str(LOAD_S), list[float]()
    for workers in (1, 2):
        # A place in the queue for every client: throughput is measured, not API errors.
        with service(bundle, workers, BONAFIDE_QUEUE=str(max(CLIENTS))) as running:
            for clients in CLIENTS:
                words = ("--clients", str(clients), "--seconds", load_s)
                result[f"{workers} workers, {clients} clients"] = running.load(file, *words)
            (worker, *_), (scorer, *_) = running.workers(), running.scorers()
            parts = {"worker": memory_mb(worker), "scorer": memory_mb(scorer)}
            result["memory_mb"][f"{workers} workers"] = parts
            if workers == 1:  # in turn, because the machine's speed changes from minute to minute
                for _ in range(LATENCY_ROUNDS):
                    p50_ms = running.load(file, "--clients", "1", "--seconds", "1")["p50_ms"]
                    score = [milliseconds(lambda: detector.score(content), 1) for _ in range(100)]
                    overheads_ms.append(p50_ms - median(score))
            else:
                words = ("--clients", str(max(CLIENTS)), "--seconds", load_s)
                rounds = [
                    (running.load(file, *words)["per_second"], _two_cores(bundle, file))
                    for _ in range(THROUGHPUT_ROUNDS)
                ]
    memory = result["memory_mb"].values()
    return {
        **result,
        "two_cores_per_second": median(two_cores for _, two_cores in rounds),
        "throughput_of_two_cores": median(served / two_cores for served, two_cores in rounds),
        "http_over_score_ms": median(overheads_ms),
        "worker_mb": max(sum(parts.values()) for parts in memory),
    }


def cold_starts(bundle: Path, file: Path) -> Numbers:
    """Measure, in turn, `bonafide score` to its first verdict and the service until it is ready."""
    score = [sys.executable, "-m", "bonafide.cli", "score", str(file), "--bundle", str(bundle)]
    tensorflow = [sys.executable, "-c", "import tensorflow"]
    rounds: list[tuple[float, float, float]] = []
    for _ in range(COLD_ROUNDS + 1):
        with service(bundle, 1) as running:
            ready_s = running.ready_s
        rounds.append((seconds_of(score), seconds_of(tensorflow), ready_s))
    score_s, tensorflow_s, ready_s = (median(v) for v in zip(*rounds[1:], strict=True))
    return {
        "score_s": score_s,
        "import_tensorflow_s": tensorflow_s,
        "service_ready_s": ready_s,
        "cold_over_tensorflow": score_s / tensorflow_s,
    }


def batch(bundle: Path, folder: Path) -> Numbers:
    """Measure batch scoring on one core, in hours of audio an hour, with a long FLAC file."""
    file = folder / "long.flac"
    file.write_bytes(encode(np.tile(speech(60.0), round(LONG_S / 60)), "flac"))
    detector = Detector(bundle)
    seconds = [milliseconds(lambda: detector.score(file), 1) / 1e3 for _ in range(3)]
    return {"audio_hours_per_hour": LONG_S / median(seconds)}


def lengths(bundle: Path, folder: Path) -> Numbers:
    """Measure the peak memory of `bonafide score` on one minute and on an hour."""
    minute, peaks = speech(60.0), {}
    for minutes in MINUTES:
        file = folder / f"{minutes}.flac"
        file.write_bytes(encode(np.tile(minute, minutes), "flac"))
        words = [sys.executable, "-c", PEAK, str(file), "--bundle", str(bundle)]
        output = subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout
        peaks[f"{minutes} minutes"] = float(output.splitlines()[-1])
    return {"peak_mb": peaks}


def measure(bundle: Bundle, say: Say) -> Numbers:
    """Run every part, one after another."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "clip.flac"
        file.write_bytes(encode(speech(CLIP_S), "flac"))
        parts: dict[str, Callable[[], Numbers]] = {
            "codecs": lambda: codecs(bundle),
            "batch": lambda: batch(bundle.folder, folder),
            "lengths": lambda: lengths(bundle.folder, folder),
            "http": lambda: http(bundle.folder, file),
            "cold_starts": lambda: cold_starts(bundle.folder, file),
            "graphs": lambda: graphs(bundle),  # last: tensorflow keeps threads in this process
        }
        numbers: Numbers = {}
        for part, run in parts.items():
            say(f"measuring {part}")
            numbers[part] = run()
    size = sum(path.stat().st_size for path in bundle.folder.iterdir())
    numbers["bundle"] = {**bundle.identity, "bundle_mb": size / 1e6}
    flat = {key: value for part in numbers.values() for key, value in part.items()}
    numbers["targets"] = {
        name: {
            "value": flat[name],
            "target": f"{direction} {limit:g}",
            "met": is_met(flat[name], direction, limit),
        }
        for name, direction, limit in TARGETS
    }
    return numbers


def is_met(value: float, direction: str, limit: float) -> bool:
    """Return whether a value is ``at least`` or ``at most`` its limit."""
    return value >= limit if direction == "at least" else value <= limit


def run(bundle: Bundle, file: Path | None, say: Say) -> list[str]:
    """Measure everything; return the lines of the table, and write JSON if a file is named."""
    numbers = measure(bundle, say)
    if file is not None:
        file.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    return lines(numbers)


if __name__ == "__main__":
    print(score_rate(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])))
