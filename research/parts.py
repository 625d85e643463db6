"""The bar for parts of the shipped bundle, and what it costs and finds.

    python -m research.parts --corpus MANIFEST [--scores DIR] [--bundle DIR] [--write]

The bar is set from the scores of genuine clips of sources that were not heard: out of fold for the
recordings that the bundle was trained on (``--scores``), the bundle's own for the others. Then
recordings are put together from clips of sources that the bundle never heard: genuine ones, for
false parts an hour, and genuine ones with 4, 8 and 16 s of generated speech at any place. With
``--write`` the bar goes into the bundle's manifest. Needs the extra ``train``.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bonafide.audio import Waveform, decode
from bonafide.bundle import Bundle, read_bundle, write_bundle
from bonafide.corpora import read_corpus
from bonafide.detection import Detection
from bonafide.detector import PARTS_FROM, Detector, llr_at
from bonafide.export.rebuild import WORKED_OUT
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.home import SHIPPED
from bonafide.training.extraction import training_windows
from bonafide.training.ingest import ingest
from bonafide.training.parts import ORDERS, Alarms, by_source, put_together
from bonafide.training.recordings import Recordings
from bonafide.training.stacking import Calibration, fit_linear, log_odds
from bonafide.types import AnyFloats, Mask
from research.folds import read_protocol
from research.protocol import SCORES

SEED = 1
FAKE_S = (4, 8, 16)
GENUINE_S = 52.0
PER_SOURCE = 8  # recordings with a fake, of each length


@dataclass(frozen=True)
class Clips:
    """A corpus, and which of it a bundle has heard."""

    recordings: Recordings
    heard: Mask

    @property
    def source(self) -> NDArray[np.str_]:
        """The source of each row."""
        return self.recordings.corpus.column("source").astype(np.str_)

    def waveforms(self, source: str, *, spoof: bool) -> list[Waveform]:
        """Return the clips of a source that one label has."""
        corpus = self.recordings.corpus
        rows = np.flatnonzero((self.source == source) & (corpus.is_spoof == spoof))
        return [decode(corpus.audio_path(corpus.rows[row])) for row in rows]

    def sources(self) -> list[str]:
        """Return the sources that the bundle never heard."""
        return sorted(set(self.source.tolist()) - set(self.source[self.heard].tolist()))


def unheard_llr(clips: Clips, known: Sequence[int], scores: Path, bundle: Bundle) -> AnyFloats:
    """Return the llr of every clip by models that did not hear its source, shape (n_rows,)."""
    corpus = clips.recordings.corpus
    found = np.load(scores / "scores.npz")
    odds = np.stack([log_odds(found[f"seed {SEED}|{name}"]) for name in bundle.models], axis=1)
    x, is_spoof = odds[[row for row in known if row >= 0]], corpus.is_spoof[clips.heard]
    fold = read_protocol(corpus).fold[clips.heard]
    p_spoof = np.empty(len(fold), dtype=np.float32)
    for number in np.unique(fold):
        own = fold == number
        p_spoof[own] = fit_linear(x[~own], is_spoof[~own]).predict(x[own])
    llr = np.empty(len(corpus))
    llr[clips.heard] = Calibration(**bundle.manifest["calibration"]).llr(p_spoof)
    rest = [corpus.audio_path(corpus.rows[row]) for row in np.flatnonzero(~clips.heard)]
    windows = training_windows(rest, bundle.spec)
    llr[~clips.heard] = Detector(bundle).score_windows(windows)[0]
    return llr


def genuine(clips: Clips, detector: Detector) -> Iterator[tuple[str, AnyFloats]]:
    """Put the genuine clips of each unheard source together, in several orders, and score them."""
    rng = np.random.default_rng(SEED)
    for source in clips.sources():
        some = clips.waveforms(source, spoof=False)
        for _ in range(ORDERS if some else 0):
            sound = np.concatenate([some[number] for number in rng.permutation(len(some))])
            segments = detector.score(sound).segments
            yield source, np.array([segment.llr for segment in segments])


def with_fakes(clips: Clips, detector: Detector, fake_s: int) -> Iterator[tuple[Detection, float]]:
    """Score genuine speech with generated speech of the same source in it; yield where it starts.

    Sources with less than 20 s of genuine speech, or too little of the other, are left out.
    """
    rng = np.random.default_rng(SEED)
    rate = SAMPLE_RATE_HZ
    for source in clips.sources():
        real, fake = (clips.waveforms(source, spoof=spoof) for spoof in (False, True))
        if sum(map(len, real)) < 20 * rate or sum(map(len, fake)) < fake_s * rate:
            continue
        for _ in range(PER_SOURCE):
            host = [real[number] for _ in range(4) for number in rng.permutation(len(real))]
            sound = np.concatenate(host)[: int(GENUINE_S * rate)]
            inserted = [fake[number] for number in rng.permutation(len(fake))]
            at = int(rng.integers(0, len(sound) + 1))
            pieces = [sound[:at], np.concatenate(inserted)[: fake_s * rate], sound[at:]]
            yield detector.score(np.concatenate(pieces)), at / rate


def main(arguments: Sequence[str] | None = None) -> None:
    """Set the bar, and print what it costs and finds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    parser.add_argument("--scores", type=Path, default=SCORES, help="folder of the scores")
    parser.add_argument("--bundle", type=Path, default=SHIPPED, help="default: the shipped one")
    parser.add_argument("--write", action="store_true", help="write the bar into the manifest")
    chosen = parser.parse_args(arguments)
    bundle = read_bundle(chosen.bundle)
    recordings, _ = ingest(read_corpus(chosen.corpus))
    place = {name: row for row, name in enumerate(np.load(chosen.scores / "scores.npz")["sound"])}
    known = [place.get(name, -1) for name in recordings.sha256.astype("U16").tolist()]
    clips = Clips(recordings, np.array(known) >= 0)
    thresholds = bundle.manifest["thresholds"]
    spoof_llr = llr_at(thresholds["spoof_from"], float(bundle.manifest["prior_spoof"]))
    count = {"window_s": bundle.spec.window_s, "spoof_llr": spoof_llr}

    llr, human = unheard_llr(clips, known, chosen.scores, bundle), ~recordings.corpus.is_spoof
    of_sources = by_source(llr[human], clips.source[human])
    alarms = Alarms.count(put_together(of_sources, SEED), **count)
    bar = alarms.bar()
    if bar is None:
        raise SystemExit("no bar holds the rate of false parts")
    print(f"bar: {bar} nats\nclips of sources not heard: {alarms.said(bar)}")
    bundle = Bundle(
        bundle.folder, {**bundle.manifest, "thresholds": {**thresholds, PARTS_FROM: bar}}
    )
    detector = Detector(bundle)
    print(f"put together as sound: {Alarms.count(genuine(clips, detector), **count).said(bar)}")
    for fake_s in FAKE_S:
        print(_found(list(with_fakes(clips, detector, fake_s)), fake_s))
    if chosen.write:
        entries = {key: value for key, value in bundle.manifest.items() if key not in WORKED_OUT}
        print(f"written: sha256 {write_bundle(bundle.folder, entries).digest()}")


def _found(results: list[tuple[Detection, float]], fake_s: int) -> str:
    """Return in how many recordings a part, or the verdict on the whole, tells of the fake."""
    whole = [detection.verdict == "spoof" for detection, _ in results]
    hit = [
        any(part.start_s < at + fake_s and part.end_s > at for part in detection.parts)
        for detection, at in results
    ]
    return (
        f"{fake_s} s generated in {GENUINE_S:g} s genuine: {len(results)} recordings, "
        f"{np.mean(hit):.0%} partly_spoof at the place, {np.mean(whole):.0%} spoof as a whole"
    )


if __name__ == "__main__":
    main()
