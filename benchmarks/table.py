"""The numbers of `bonafide bench` as a table of plain text."""

from collections.abc import Iterator, Mapping
from typing import Any

Line = tuple[str, str]
SIDES = {
    "fused": "(a) detector.onnx",
    "asked": "    a window that goes on to the encoder",
    "chain": "(b) the chain of single graphs",
    "app": "(c) librosa, then predict in Python",
}


def lines(numbers: Mapping[str, Any]) -> list[str]:
    """Lay the numbers of `benchmarks.bench.measure` out as a table, with which targets are met.

    Parameters
    ----------
    numbers : mapping
        By part, as ``--json`` writes them.

    Returns
    -------
    list of str
        Lines.
    """
    parts = (_window, _codecs, _http, _starts, _sizes, _targets)
    found = [line for part in parts for line in part(numbers)]
    return [f"{left:<46}{right}".rstrip() for left, right in found]


def _window(numbers: Mapping[str, Any]) -> Iterator[Line]:
    graph = numbers["graphs"]
    yield "One window of 4 s, one thread", ""
    for name, text in SIDES.items():
        low, high = graph[name]["quartiles_ms"]
        yield f"  {text}", f"{graph[name]['median_ms']:.2f} ms  [{low:.2f}, {high:.2f}]"
    millions, giga = graph["multiply_adds"] / 1e6, graph["multiply_adds_per_second"] / 1e9
    yield "  on average over recordings as they are", f"{graph['average_ms']:.2f} ms"
    floor = f"{graph['floor_ms']:.2f} ms  ({millions:.1f} M at {giga:.1f} G/s)"
    yield "  (d) floor of the multiply-adds", floor


def _codecs(numbers: Mapping[str, Any]) -> Iterator[Line]:
    yield "(e) Detector.score from a file's bytes, 4 s", ""
    for codec, value in numbers["codecs"].items():
        yield f"  {codec}", f"{value:.2f} ms"


def _http(numbers: Mapping[str, Any]) -> Iterator[Line]:
    web = numbers["http"]
    yield "(f) HTTP, 4 s of FLAC", ""
    for name, value in web.items():
        if name.endswith("clients"):
            latency = f"p50 {value['p50_ms']:.1f} ms, p99 {value['p99_ms']:.1f} ms"
            yield f"  {name}", f"{latency}, {value['per_second']:.0f} a second"
    yield "  Detector.score on two cores", f"{web['two_cores_per_second']:.0f} a second"


def _starts(numbers: Mapping[str, Any]) -> Iterator[Line]:
    cold = numbers["cold_starts"]
    yield "(g) Cold start", ""
    yield "  bonafide score, to the verdict", f"{cold['score_s']:.2f} s"
    yield "  python -c 'import tensorflow'", f"{cold['import_tensorflow_s']:.2f} s"
    yield "  service, to ready", f"{cold['service_ready_s']:.2f} s"


def _sizes(numbers: Mapping[str, Any]) -> Iterator[Line]:
    worker_mb = numbers["http"]["worker_mb"]
    yield "(h) Peak memory of a worker with its scorer", f"{worker_mb:.0f} MB"
    for length, peak in numbers["lengths"]["peak_mb"].items():
        yield f"    bonafide score, a file of {length}", f"{peak:.0f} MB"
    rate = numbers["batch"]["audio_hours_per_hour"]
    yield "(i) Batch scoring on one core", f"{rate:.0f} hours of audio an hour"
    yield "Bundle", f"{numbers['bundle']['bundle_mb']:.2f} MB"


def _targets(numbers: Mapping[str, Any]) -> Iterator[Line]:
    yield "", ""
    for name, row in numbers["targets"].items():
        status = "met" if row["met"] else "MISSED"
        yield name, f"{row['value']:.3g}, {row['target']}: {status}"
