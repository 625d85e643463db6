"""Feature extraction: memory against corpus size, and speed per core against a librosa loop.

    python -m benchmarks.extraction [--corpus MANIFEST] [--clips N] [--json FILE]

Memory: the same files once, and ten times under other names, each of them extracted; the peak is
that of the parent plus that of the largest worker. Speed: one core and one thread for each side,
timed in turn, medians. The loop is that of tutorials: `librosa.load`, `feature.mfcc` and two
`feature.delta` with librosa's defaults.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
TIMES = 10
MAX_RATIO = 1.3  # of peak memory with ten times as many recordings
ROUNDS = 7


def peak_mb() -> float:
    """Return the peak memory of this process plus that of its largest child, in MB."""
    own, child = (
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return (own + child) / 1024


def measure_memory(manifest: Path, clips: int, times: int) -> dict[str, float]:
    """Extract the first clips of a corpus `times` times, each time under other names."""
    import numpy as np

    from bonafide.corpora import Corpus, read_corpus
    from bonafide.features.spec import FeatureSpec
    from bonafide.training.config import AugmentationConfig
    from bonafide.training.extraction import extract
    from bonafide.training.recordings import MEASURES, Recordings

    corpus = read_corpus(manifest)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = []
        for turn in range(times):
            for number, row in enumerate(corpus.rows[:clips]):
                link = folder / f"{turn}-{number}{Path(row.path).suffix}"
                link.symlink_to(corpus.audio_path(row).resolve())
                rows.append(type(row)(path=link.name, label=row.label))
        # each row has its own hash, so that none is taken over from another
        sha256 = np.array([f"{number:064x}" for number in range(len(rows))])
        measures = np.zeros((len(rows), len(MEASURES)))
        recordings = Recordings(Corpus(folder, rows), sha256, measures)
        start = time.perf_counter()
        extract(recordings, FeatureSpec(), AugmentationConfig(count=0), folder / "store")
        return {"rows": len(rows), "seconds": time.perf_counter() - start, "peak_mb": peak_mb()}


def measure_speed(manifest: Path, clips: int) -> dict[str, float]:
    """Time our front end, for MFCC alone and for everything, and the librosa loop, on one core."""
    import numpy as np
    import onnx

    from bonafide.audio import decode
    from bonafide.corpora import read_corpus
    from bonafide.features.frontend import build_frontend
    from bonafide.features.spec import STATISTICS, FeatureSpec
    from bonafide.runtime import Graph
    from bonafide.training.extraction import BATCH, training_window

    corpus = read_corpus(manifest)
    paths = [corpus.audio_path(row) for row in corpus.rows[:clips]]
    spec = FeatureSpec()
    frontend = build_frontend(spec)

    def ours(outputs: list[str]) -> Callable[[], None]:
        """Return what extracts with the part of the front end that these outputs need."""
        part = onnx.utils.Extractor(frontend).extract_model(["waveform"], outputs)
        graph = Graph(part.SerializeToString())

        def run() -> None:
            for start in range(0, len(paths), BATCH):
                batch = [training_window(decode(p), spec) for p in paths[start : start + BATCH]]
                graph({"waveform": np.stack(batch)})

        return run

    return _in_turn(
        {
            "librosa loop": lambda: _librosa_loop(paths),
            "mfcc with deltas": ours(["mfcc"]),
            "every view and the statistics": ours([*spec.views, STATISTICS]),
        },
        len(paths),
    )


def _librosa_loop(paths: Sequence[Path]) -> None:
    """Extract as tutorials do."""
    import librosa

    for path in paths:
        waveform, _ = librosa.load(path, sr=16_000)
        mfcc = librosa.feature.mfcc(y=waveform, sr=16_000, n_mfcc=20)
        librosa.feature.delta(mfcc)
        librosa.feature.delta(mfcc, order=2)


def _in_turn(sides: Mapping[str, Callable[[], None]], n_recordings: int) -> dict[str, float]:
    """Return each side's milliseconds a recording, the median of several rounds."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS + 1):  # the first one warms up
        for name, run in sides.items():
            start = time.perf_counter()
            run()
            times[name].append((time.perf_counter() - start) / n_recordings * 1e3)
    return {name: median(values[1:]) for name, values in times.items()}


def _isolated(*words: str) -> dict[str, float]:
    """Run one measurement in a process of its own, so that peaks do not mix."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.extraction", *words],
        env={**os.environ, **ONE_THREAD},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, help="default: the simulated corpus")
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", choices=("memory", "speed"), help=argparse.SUPPRESS)
    parser.add_argument("--times", type=int, default=1, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure == "memory":
        print(json.dumps(measure_memory(arguments.corpus, arguments.clips, arguments.times)))
        return
    if arguments.measure == "speed":
        print(json.dumps(measure_speed(arguments.corpus, arguments.clips)))
        return
    with tempfile.TemporaryDirectory() as name:
        from bonafide.simulation.corpus import simulate

        corpus = arguments.corpus or simulate(Path(name) / "simulated")
        common = ("--corpus", str(corpus), "--clips", str(arguments.clips), "--measure")
        once = _isolated(*common, "memory")
        ten = _isolated(*common, "memory", "--times", str(TIMES))
        speed = _isolated(*common, "speed")
    print(f"corpus: {arguments.corpus.name if arguments.corpus else 'simulated'}")
    print("\n".join(lines(once, ten, speed)))
    if arguments.json:
        result = {"once": once, "ten_times": ten, "milliseconds": speed}
        arguments.json.write_text(json.dumps(result, indent=1))


def lines(
    once: Mapping[str, float], ten: Mapping[str, float], speed: Mapping[str, float]
) -> list[str]:
    """Return the lines to print on peak memory and on milliseconds a recording."""
    ratio, loop = ten["peak_mb"] / once["peak_mb"], speed["librosa loop"]
    status = "met" if ratio <= MAX_RATIO else "MISSED"
    return [
        *(
            f"peak memory, {side['rows']:.0f} recordings: {side['peak_mb']:.0f} MB"
            for side in (once, ten)
        ),
        f"ratio: {ratio:.2f}, at most {MAX_RATIO:g}: {status}",
        *(
            f"{side}: {milliseconds:.2f} ms a recording on one core, "
            f"{loop / milliseconds:.2f} times as fast as the loop"
            for side, milliseconds in speed.items()
        ),
    ]


if __name__ == "__main__":
    main()
