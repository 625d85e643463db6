"""What the service counts, for Prometheus; summed over workers by BentoML's client."""

import contextlib

from bonafide.bundle import Bundle

STAGES = ("receive", "wait", "decode", "resample", "infer")
BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """Counters, histograms and gauges; one set a worker.

    Made when the worker starts: BentoML must have set up its client first.
    """

    def __init__(self) -> None:
        from bentoml.metrics import Counter, Gauge, Histogram

        self._requests = Counter(
            "bonafide_requests", "Requests by status and code", ["status", "code"]
        )
        self._verdicts = Counter("bonafide_verdicts", "Verdicts given", ["verdict"])
        self._stages = Histogram(
            "bonafide_stage_seconds",
            "Time a request spent in a stage",
            ["stage"],
            buckets=BUCKETS_S,
        )
        self._total = Histogram(
            "bonafide_request_seconds", "Time from a request to its answer", buckets=BUCKETS_S
        )
        self._queue = Gauge(
            "bonafide_queue", "Requests in the line, all workers", multiprocess_mode="livesum"
        )
        self._bundle = Gauge(
            "bonafide_bundle",
            "1 for the bundle that answers",
            ["name", "version", "sha256"],
            multiprocess_mode="livemax",
        )
        self._stage = {stage: self._stages.labels(stage) for stage in STAGES}
        self._identity: tuple[str, ...] = ()

    def answered(self, status: int, code: str, total_s: float) -> None:
        """Count an answer."""
        self._requests.labels(str(status), code).inc()
        self._total.observe(total_s)

    def scored(self, verdict: str, timings: dict[str, float]) -> None:
        """Count a verdict and the time of each stage."""
        self._verdicts.labels(verdict).inc()
        for stage, seconds in timings.items():
            self._stage[stage].observe(seconds)

    def queued(self) -> contextlib.AbstractContextManager[None]:
        """Count a request as in the line until it is left."""
        tracked: contextlib.AbstractContextManager[None] = self._queue.track_inprogress()
        return tracked

    def answers_with(self, bundle: Bundle) -> None:
        """Show the bundle."""
        identity = tuple(bundle.identity[key] for key in ("name", "version", "sha256"))
        if identity != self._identity:
            if self._identity:
                self._bundle.labels(*self._identity).set(0)
            self._bundle.labels(*identity).set(1)
            self._identity = identity
