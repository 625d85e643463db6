"""The two bundles that ship with the package, out of one that was trained.

    python -m research.shipped --corpus MANIFEST --root HOME --bundle REF
    python -m research.shipped --table

Takes the bundle that a run with ``configs/shipped.yaml`` kept in a home, and replaces
``bonafide/shipped/default`` by it and ``bonafide/shipped/fast`` by its first stage alone, both
under the version after the shipped one's. Lineage goes with both, with hashes for names. Needs the
extra ``train``.
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bonafide.bundle import FAMILIES, LINEAGE, MANIFEST, ROWS, Bundle, read_bundle, write_bundle
from bonafide.corpora import read_corpus
from bonafide.corpora.schema import Corpus
from bonafide.evaluation.report import channel_rows, markdown_table
from bonafide.export.candidate import export_families, with_typical_bands
from bonafide.export.rebuild import WORKED_OUT
from bonafide.export.stages import FAST, first_stage
from bonafide.home import SHIPPED, SHIPPED_NAMES, SHIPPED_ROOT, shipped_folder
from bonafide.judging import p_spoof_of
from bonafide.lineage.record import publish, read_lineage
from bonafide.manifest import SEQUENTIAL
from bonafide.monitoring.expected import EXPECTED, EXPECTED_ROWS, Expected, said_of
from bonafide.registry import find_bundle
from bonafide.training.windows import training_windows
from bonafide.types import Waveform
from research.ablations import SEEDS
from research.answers import BONAFIDE, SPOOF, UNDECIDED
from research.families import families_with
from research.protocol import SCORES
from research.sequential import sequential_by_protocol

CALLED_AS = {BONAFIDE: "bonafide", UNDECIDED: "inconclusive", SPOOF: "spoof"}
CLIPS = 200
LICENSE = "encoder.LICENSE"


def ship(
    bundle: Bundle, version: str, license_file: Path, root: Path, corpus: Corpus, sound: Waveform
) -> None:
    """Write ``default`` and ``fast`` below a folder, in place of those that are there.

    Parameters
    ----------
    bundle : Bundle
        Of two stages.
    version : str
        Of both.
    license_file : Path
        Licence of the encoder, which goes beside it.
    root : Path
        Receives both.
    corpus : Corpus
        That it was trained on.
    sound : ndarray of float32, shape (n, window_samples)
        Windows on which the first stage's graph is held against its parts.
    """
    draft = root / ".draft"
    shutil.rmtree(draft, ignore_errors=True)
    default = _explainable(
        _renamed(bundle, version, license_file, draft / SHIPPED.name), corpus, sound
    )
    fast = first_stage(default, draft / FAST, sound)
    for made in (default, fast):
        if read_lineage(bundle):
            for name in (LINEAGE, ROWS):
                shutil.copyfile(bundle.folder / name, made.folder / name)
            publish(write_bundle(made.folder, made.manifest))
        read_bundle(made.folder)
        target = root / made.folder.name
        shutil.rmtree(target, ignore_errors=True)
        made.folder.rename(target)
        print(f"{target}: version {version}, sha256 {made.digest()}")
    draft.rmdir()


def _explainable(bundle: Bundle, corpus: Corpus, sound: Waveform) -> Bundle:
    """Add what explanations and monitors need, which a training of before does not know."""
    kept = {key: value for key, value in bundle.manifest.items() if key not in WORKED_OUT}
    if FAMILIES not in kept:
        entry, parity = export_families(*families_with(bundle, corpus), bundle.folder)
        kept |= {**entry, "parity": kept["parity"] | parity}
    if EXPECTED not in bundle.manifest["files"]:
        expected_by_protocol(bundle).write(bundle.folder)
    if SEQUENTIAL not in kept["thresholds"]:
        tests = sequential_by_protocol(corpus, bundle)
        kept["stages"] = [
            {**stage, "thresholds": {**stage["thresholds"], **tests[name]}}
            for stage, name in zip(kept["stages"], (FAST, SHIPPED.name), strict=True)
        ]
        kept["thresholds"] = kept["stages"][-1]["thresholds"]
    return with_typical_bands(bundle.folder, kept, sound)


def expected_by_protocol(bundle: Bundle) -> Expected:
    """Return what a bundle is expected to answer, of what the protocol's first seed kept.

    Parameters
    ----------
    bundle : Bundle
        Of two stages, trained with the configuration of the protocol.

    Returns
    -------
    Expected
        Of `EXPECTED_ROWS` of its recordings, evenly spaced.
    """
    with np.load(SCORES / "answers.npz") as answers, np.load(SCORES / "scores.npz") as scores:
        rows = np.linspace(0, len(answers["sound"]) - 1, EXPECTED_ROWS).astype(np.intp)
        stages = [answers[f"{name}|{SEEDS[0]}"][rows] for name in (FAST, SHIPPED.name)]
        odds = {name: scores[f"seed {SEEDS[0]}|{name}"][rows, 0] for name in bundle.models}
    p_spoof = {name: p_spoof_of(-each.astype(np.float64), 0.5) for name, each in odds.items()}
    # Where both stages say the same, the second was not asked.
    later = set(bundle.models) - {*bundle.stages[0]["models"]}
    for name in later:
        p_spoof[name][stages[0]["llr"] == stages[1]["llr"]] = np.nan
    said = {
        stage["prefix"]: said_of(
            found["llr"],
            [CALLED_AS[called] for called in found["called"].tolist()],
            {name: p_spoof[name] for name in p_spoof if number or name not in later},
        )
        for number, (stage, found) in enumerate(zip(bundle.stages, stages, strict=True))
    }
    return Expected([bundle.channels[n] for n in stages[0]["channel"].tolist()], said)


def _renamed(bundle: Bundle, version: str, license_file: Path, folder: Path) -> Bundle:
    """Copy a bundle under the shipped one's name, with its encoder's licence."""
    shutil.copytree(bundle.folder, folder, ignore=shutil.ignore_patterns(MANIFEST))
    shutil.copyfile(license_file, folder / LICENSE)
    card = (folder / "card.md").read_text(encoding="utf-8").partition("\n")[2]
    (folder / "card.md").write_text(f"# {folder.name}\n{card}", encoding="utf-8")
    kept = {key: value for key, value in bundle.manifest.items() if key not in WORKED_OUT}
    return write_bundle(folder, {**kept, "name": folder.name, "version": version})


HEADINGS = (
    "sound reads as",
    "`default`: EER",
    "undecided",
    "human called spoof",
    "spoof called human",
    "`fast`: EER",
    "undecided",
)


def table() -> str:
    """Return the README's table: what both are worth on each channel, as their manifests say."""
    rows: dict[str, list[str]] = {}
    for name in SHIPPED_NAMES:
        for line in channel_rows(read_bundle(shipped_folder(name)).manifest):
            channel, _, _, eer, undecided, human, spoof = line
            wrong = [human, spoof] if name == SHIPPED.name else []
            rows.setdefault(channel, [channel]).extend([eer, undecided, *wrong])
    return markdown_table(HEADINGS, list(rows.values()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the trained bundle and some recordings, and replace the shipped ones."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", action="store_true", help="print the README's alone")
    parser.add_argument("--corpus", type=Path, help="manifest of recordings")
    parser.add_argument("--root", type=Path, help="home that keeps the bundle")
    parser.add_argument("--bundle", help="its name, name:version or hash")
    parser.add_argument("--license", type=Path, default=SHIPPED / LICENSE, help="of the encoder")
    parser.add_argument("--output", type=Path, default=SHIPPED_ROOT, help="default: the package")
    chosen = parser.parse_args(arguments)
    if chosen.table:
        print(table())
        return
    if not (chosen.corpus and chosen.root and chosen.bundle):
        parser.error("--corpus, --root and --bundle are needed, or --table")
    bundle, corpus = find_bundle(chosen.root, chosen.bundle), read_corpus(chosen.corpus)
    rows = corpus.rows[:: max(1, len(corpus) // CLIPS)]
    sound = training_windows([corpus.audio_path(row) for row in rows], bundle.spec)
    version = str(int(read_bundle(SHIPPED).manifest["version"]) + 1)
    chosen.license.stat()  # before anything is removed
    ship(bundle, version, chosen.license, chosen.output, corpus, sound)


if __name__ == "__main__":
    main()
