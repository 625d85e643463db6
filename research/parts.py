"""What the bar for parts of long recordings costs and finds.

    python -m research.parts --corpus MANIFEST --detectors DIR [--bundle NAME] [--seed N]

A training run sets the bar. Here recordings are put together from clips, and each is scored by the
detector of its source's fold, which `research.conditions` built and which never heard the source:
genuine ones, for false parts an hour, and genuine ones with 4, 8 and 16 s of generated speech at
any place.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bonafide.audio import Waveform, decode
from bonafide.bundle import read_bundle
from bonafide.corpora import read_corpus
from bonafide.corpora.schema import Corpus
from bonafide.detection import Detection
from bonafide.detector import Detector
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.training.parts import ORDERS
from bonafide.types import Floats
from research.folds import read_protocol
from research.judging import BUNDLES, SHIPPED
from research.source_errors import interval_of

SEED = 1
FAKE_S = (4, 8, 16)
GENUINE_S = 52.0
PER_SOURCE = 8  # recordings with a fake, of each length
RESAMPLES = 1000


@dataclass(frozen=True)
class Clips:
    """A corpus, and the detectors of its folds.

    Parameters
    ----------
    corpus : Corpus
        With sources that all have a fold.
    folder : Path
        Holds ``SEED-FOLD/NAME`` of each fold.
    name : str
        Of the bundle.
    seed : int
        Of the fits.
    """

    corpus: Corpus
    folder: Path
    name: str
    seed: int

    @cached_property
    def fold(self) -> dict[str, int]:
        """The fold of each source."""
        sources = self.corpus.column("source").tolist()
        return dict(zip(sources, read_protocol(self.corpus).fold.tolist(), strict=True))

    def detector(self, fold: int) -> Detector:
        """Return what never heard the sources of a fold."""
        return _detector(self.folder / f"{self.seed}-{fold}" / self.name)

    def waveforms(self, source: str, *, spoof: bool) -> list[Waveform]:
        """Return the clips of a source that one label has."""
        corpus = self.corpus
        rows = np.flatnonzero((corpus.column("source") == source) & (corpus.is_spoof == spoof))
        return [decode(corpus.audio_path(corpus.rows[row])) for row in rows.tolist()]


@cache
def _detector(folder: Path) -> Detector:
    return Detector(read_bundle(folder))


def genuine(clips: Clips) -> Iterator[tuple[float, float]]:
    """Put the genuine clips of each source together, in several orders, and score them.

    Yields
    ------
    tuple of float
        False parts, and hours, of a source.
    """
    rng = np.random.default_rng(SEED)
    for source, fold in sorted(clips.fold.items()):
        some = clips.waveforms(source, spoof=False)
        if not some:
            continue
        parts = 0
        for _ in range(ORDERS):
            sound = np.concatenate([some[number] for number in rng.permutation(len(some))])
            parts += len(clips.detector(fold).score(sound).parts)
        yield parts, ORDERS * sum(map(len, some)) / SAMPLE_RATE_HZ / 3600


def with_fakes(clips: Clips, fake_s: int) -> Iterator[tuple[Detection, float]]:
    """Score genuine speech with generated speech of the same source in it; yield where it starts.

    Sources with less than 20 s of genuine speech, or too little of the other, are left out.
    """
    rng = np.random.default_rng(SEED)
    rate = SAMPLE_RATE_HZ
    for source, fold in sorted(clips.fold.items()):
        real, fake = (clips.waveforms(source, spoof=spoof) for spoof in (False, True))
        if sum(map(len, real)) < 20 * rate or sum(map(len, fake)) < fake_s * rate:
            continue
        for _ in range(PER_SOURCE):
            host = [real[number] for _ in range(4) for number in rng.permutation(len(real))]
            sound = np.concatenate(host)[: int(GENUINE_S * rate)]
            inserted = [fake[number] for number in rng.permutation(len(fake))]
            at = int(rng.integers(0, len(sound) + 1))
            pieces = [sound[:at], np.concatenate(inserted)[: fake_s * rate], sound[at:]]
            yield clips.detector(fold).score(np.concatenate(pieces)), at / rate


def per_hour(parts: Floats, hours: Floats, axis: int) -> Any:
    """Return false parts an hour over some sources."""
    return parts.sum(axis=axis) / hours.sum(axis=axis)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what the bar costs and finds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    parser.add_argument("--detectors", type=Path, required=True, help="folder of the folds'")
    parser.add_argument("--bundle", choices=BUNDLES[1:], default=SHIPPED)
    parser.add_argument("--seed", type=int, default=SEED, help="of the folds' detectors")
    chosen = parser.parse_args(arguments)
    clips = Clips(read_corpus(chosen.corpus), chosen.detectors, chosen.bundle, chosen.seed)
    parts, hours = np.array(list(genuine(clips))).T
    rate = interval_of(per_hour, parts, hours, resamples=RESAMPLES)
    print(
        f"{rate.value:.2f} [{rate.low:.2f}, {rate.high:.2f}] false parts an hour, in "
        f"{hours.sum():.2f} h of genuine speech from {len(hours)} sources"
    )
    for fake_s in FAKE_S:
        print(_found(list(with_fakes(clips, fake_s)), fake_s))


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
