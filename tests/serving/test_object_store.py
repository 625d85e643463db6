"""A service that follows a registry in an object store, also while the store is out of reach."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.sounds import encode, speech
from bonafide.bundle import Bundle, read_bundle
from bonafide.home import SHIPPED
from bonafide.registry import Registry
from tests.helpers.objects import BUCKET, Line, object_store
from tests.helpers.servers import server, wait_for
from tests.serving.test_reload import ALWAYS

SOUND = encode(speech(5.0), "flac")
URL = f"s3://{BUCKET}/served"


def kept(registry: Registry, verdict: str) -> Bundle:
    """Keep a bundle that always gives one verdict, in a registry."""
    base = read_bundle(SHIPPED.with_name("fast"))
    thresholds = {**base.manifest["thresholds"], **ALWAYS[verdict], "channels": {}}
    entries = {"thresholds": thresholds, "name": "fast"}
    return registry.versions.keep(base, entries, "a variant\n")


def test_promotions_are_followed_and_a_store_that_is_gone_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with object_store() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        registry = Registry(URL, tmp_path / "cache")
        human, spoof = (kept(registry, verdict) for verdict in ALWAYS)
        registry.promote(human, override="a test")
        line = Line(int(environment["AWS_ENDPOINT_URL"].rpartition(":")[2]))
        line.mend()
        through = {**environment, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{line.port}"}
        seen, stop = Counter[int](), threading.Event()
        with (
            server(home, environment=through, registry=URL, workers=1, watch_s=0.1) as running,
            ThreadPoolExecutor(1) as pool,
        ):

            def verdict() -> str:
                answer = running.detect(SOUND)
                seen[answer.status_code] += 1
                return str(answer.json().get("verdict"))

            def ask() -> None:
                while not stop.wait(0.1):
                    verdict()

            asking = pool.submit(ask)
            try:
                assert verdict() == "bonafide"
                registry.promote(spoof, override="a test")
                wait_for(lambda: verdict() == "spoof", "the promotion is served", limit_s=60)
                line.cut()
                wait_for(lambda: running.metric("bonafide_stale") == 1, "it says so", limit_s=60)
                registry.promote(human, override="unheard of")
                assert [verdict() for _ in range(5)] == ["spoof"] * 5
                assert running.get("/readyz").status_code == 200
                assert f"the last good one is: {URL}" in running.log
                line.mend()
                wait_for(lambda: verdict() == "bonafide", "it follows again", limit_s=90)
                wait_for(lambda: running.metric("bonafide_stale") == 0, "it says so")
            finally:
                stop.set()
            asking.result()
            assert set(seen) == {200}, seen
            line.hang()
            (scorer,) = running.scorers()
            scorer.kill()
            wait_for(lambda: verdict() == "bonafide", "another scorer, without the store")
            wait_for(lambda: running.metric("bonafide_stale") == 1, "it says so", limit_s=60)
            line.cut()
