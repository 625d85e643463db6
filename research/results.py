"""docs/results.md: every table, from the scores that the yardstick and the conditions wrote.

With ``--bundle`` the bundle's model card gets what training cannot know: other ways, failures,
and latency as `bonafide bench --json` measured it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonafide.bundle import read_bundle, write_bundle
from bonafide.corpora.schema import describe
from bonafide.detector import p_spoof_of
from bonafide.evaluation.evaluate import DECISION, MEAN, evaluate, percent
from bonafide.evaluation.metrics import Interval, bootstrap, cllr, eer, min_cllr, min_dcf
from bonafide.evaluation.report import markdown_table
from bonafide.features.spec import BASE_MODELS, META_MODELS, NETWORKS
from bonafide.training.audit import audit_shortcuts
from bonafide.training.judgement import systems
from bonafide.training.stacking import log_odds
from research.protocol import (
    SCORES,
    SEEDS,
    Bench,
    both_labels,
    options,
    source_id,
    speaker_folds,
    stacked,
)

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
RESAMPLES = 1000
EDITION = "second edition of the corpus"  # that the scores in docs/results were made on


@dataclass(frozen=True)
class Results:
    """Scores with the rows they belong to, and the numbers of `bonafide bench --json`."""

    bench: Bench
    scores: Mapping[str, Floats]
    conditions: Mapping[str, Floats]
    speed: Mapping[str, Any]

    @property
    def is_spoof(self) -> Mask:
        """Labels of the corpus, shape (n_rows,)."""
        return self.bench.recordings.corpus.is_spoof

    @cached_property
    def source(self) -> NDArray[np.str_]:
        """Sources of the corpus by `source_id`, shape (n_rows,)."""
        names = self.bench.recordings.corpus.column("source").tolist()
        return np.array([source_id(name) for name in names])

    @cached_property
    def both(self) -> Mask:
        """Rows of `both_labels`, shape (n_rows,)."""
        return both_labels(self.bench.recordings.corpus)

    @cached_property
    def by_seed(self) -> list[dict[str, Floats]]:
        """What `systems` gives of every seed that was run."""
        return [self.systems(seed) for seed in SEEDS if f"seed {seed}|cnn" in self.scores]

    def systems(self, seed: int) -> dict[str, Floats]:
        """Return llr of every system, each fold's by what was fitted on the other folds."""
        folds = self.bench.folds["sources"]
        columns = [self.scores[f"seed {seed}|{name}"] for name in BASE_MODELS]
        models = np.stack(columns, axis=1).astype(np.float32)
        stack_scores = np.empty((len(models), len(META_MODELS)), np.float32)
        llr = np.empty(len(models))
        for fold in range(folds.count):
            rows = folds.fold == fold
            stack, calibration = stacked(models, self.is_spoof, folds, fold, seed)
            stack_scores[rows] = stack.predict(models[rows])
            chosen = stack_scores[rows, META_MODELS.index(stack.choice)]
            llr[rows] = calibration.llr(chosen)
        return systems(models, stack_scores, llr, names=BASE_MODELS)

    @cached_property
    def groups(self) -> dict[str, dict[str, Any]]:
        """The first seed's decision by kind of recording, as `evaluate` gives it."""
        llr, corpus = self.by_seed[0][DECISION], self.bench.recordings.corpus
        return evaluate({DECISION: llr}, corpus, title="", prior_spoof=0.5, resamples=200).groups

    @cached_property
    def changed(self) -> dict[str, Interval]:
        """EER under each condition."""
        rows = self.conditions["rows"]
        return {
            name: judged(scores[:, 0], self.is_spoof[rows], self.source[rows])
            for name, scores in self.conditions.items()
            if name != "rows"
        }

    def interval(self, llr: Floats, rows: Mask, metric: Callable[..., float] = eer) -> Interval:
        """Return a metric on some rows, resampling whole sources."""
        return judged(llr[rows], self.is_spoof[rows], self.source[rows], metric)

    def over_seeds(
        self, name: str, rows: Mask, metric: Callable[..., float] = eer
    ) -> tuple[Interval, list[float]]:
        """Return value and ends averaged over seeds, and the value of each seed."""
        found = [self.interval(scores[name], rows, metric) for scores in self.by_seed]
        mean = Interval(*(float(np.mean([getattr(f, k) for f in found])) for k in ENDS))
        return mean, [f.value for f in found]


def judged(
    llr: Floats, is_spoof: Mask, source: NDArray[np.str_], metric: Callable[..., float] = eer
) -> Interval:
    """Return a metric, resampling whole sources."""
    metrics = {"it": metric}
    return bootstrap(llr, is_spoof, source, metrics=metrics, n_resamples=RESAMPLES)["it"]


ENDS = ("value", "low", "high")


def outcomes(p: Floats, is_spoof: Mask, undecided: tuple[float, float]) -> list[float]:
    """Return the share left undecided, and of the decided that are wrong: bona fide, spoofs."""
    real, fake = p <= undecided[0], p >= undecided[1]
    decided = real | fake
    return [
        float(1 - decided.mean()),
        float((fake & ~is_spoof).sum() / (decided & ~is_spoof).sum()),
        float((real & is_spoof).sum() / (decided & is_spoof).sum()),
    ]


OUTCOMES = (
    "inconclusive",
    "bona fide called spoof, of the decided",
    "spoofs called bona fide, of the decided",
)


def plain(interval: Interval) -> str:
    """Write a number and its interval."""
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def main_section(results: Results) -> list[str]:
    """Judge every system on sources never heard."""
    rows, everything = results.both, np.ones(len(results.both), dtype=bool)
    lines = []
    for name in results.by_seed[0]:
        pooled, each = results.over_seeds(name, rows)
        lines.append(
            [
                name,
                percent(pooled),
                " / ".join(f"{100 * value:.1f}" for value in each),
                percent(results.over_seeds(name, everything)[0]),
                plain(results.over_seeds(name, rows, min_dcf)[0]),
                plain(results.over_seeds(name, rows, cllr)[0]),
                plain(results.over_seeds(name, rows, min_cllr)[0]),
            ]
        )
    headings = ("system", "EER", "by seed", "EER, all sources", "minDCF", "Cllr", "min Cllr")
    fold_of = results.bench.folds["sources"].fold
    decision = [scores[DECISION] for scores in results.by_seed]
    folds = [
        f"{100 * np.mean([eer(s[m], results.is_spoof[m]) for s in decision]):.1f} %"
        for fold in range(int(fold_of.max()) + 1)
        for m in [rows & (fold_of == fold)]
    ]
    return [
        "## Sources never heard",
        f"Pooled over the folds, {int(rows.sum())} recordings of "
        f"{len(np.unique(results.source[rows]))} sources that hold both labels four times and "
        f"more; beside it all {len(rows)} recordings of {len(np.unique(results.source))} sources. "
        f"Means over {len(decision)} seeds; intervals (95 %) resample whole sources.",
        markdown_table(headings, lines),
        f"The decision's EER by fold: {', '.join(folds)}.",
    ]


def groups_section(results: Results) -> list[str]:
    """Judge the decision by kind of recording."""
    corpus = results.bench.recordings.corpus
    llr = results.by_seed[0][DECISION]
    fold_of, system = results.bench.folds["sources"].fold, corpus.column("system")
    seen = np.zeros(len(system), dtype=bool)
    for fold in range(int(fold_of.max()) + 1):
        rows = fold_of == fold
        seen[rows] = np.isin(system[rows], system[~rows & results.is_spoof])
    lines = [
        [name, percent(results.interval(llr, rows | ~results.is_spoof)), str(int(rows.sum()))]
        for name, rows in (
            ("heard in other sources", seen & results.is_spoof),
            ("never heard", ~seen & results.is_spoof),
        )
    ]
    parts = [
        "## By kind of recording",
        "The decision of the first seed. Generators and attack types against all bona fide "
        "recordings; the others within themselves, where a group has four of each label.",
        markdown_table(("generator", "EER", "spoofs"), lines),
    ]
    for kind, groups in results.groups.items():
        ordered = sorted(groups.items(), key=lambda item: -item[1]["spoof"])
        rows = [
            [
                source_id(name) if kind == "source" else name,
                percent(entry["eer"]),
                str(entry["bonafide"]),
                str(entry["spoof"]),
            ]
            for name, entry in ordered
        ]
        table = markdown_table((kind, "EER", "bona fide", "spoof"), rows)
        parts.append(
            f"<details><summary>by {kind} ({len(rows)})</summary>\n\n{table}\n\n</details>"
        )
    return parts


def speakers_section(results: Results) -> list[str]:
    """Judge known sources and unknown speakers, for contrast; nothing if that was not run."""
    if "speakers|cnn" not in results.scores:
        return []
    folds = speaker_folds(results.bench.recordings.corpus)
    rows = folds.fold == 0
    columns = [results.scores[f"speakers|{name}"][rows] for name in BASE_MODELS]
    scores = dict(zip(BASE_MODELS, (-log_odds(c) for c in columns), strict=True))
    scores[MEAN] = np.mean(list(scores.values()), axis=0)
    lines = []
    for name, llr in scores.items():
        whole = np.full(len(rows), np.nan)
        whole[rows] = llr
        lines.append([name, percent(results.interval(whole, rows))])
    return [
        "## The same sources, other speakers",
        f"For contrast: one fold of {int(rows.sum())} recordings by speakers never heard, from "
        "sources that were. This is what in-domain results look like.",
        markdown_table(("system", "EER"), lines),
    ]


def conditions_section(results: Results) -> list[str]:
    """Judge the same recordings on other ways."""
    clean, decision = results.changed["clean"].value, results.bench.config.decision
    is_spoof, lines = results.is_spoof[results.conditions["rows"]], []
    for name, found in results.changed.items():
        p = p_spoof_of(results.conditions[name][:, 0], decision.prior_spoof)
        shares = [f"{100 * share:.1f} %" for share in outcomes(p, is_spoof, decision.undecided)]
        lines.append([name, percent(found), f"{100 * (found.value - clean):+.1f}", *shares])
    return [
        "## On other ways",
        f"{len(results.conditions['rows'])} recordings of the sources with both labels, each by "
        "the whole detector of its fold (first seed) at the shipped thresholds, changed and scored "
        "again. GSM has no encoder here; AMR-NB stands for it.",
        markdown_table(("condition", "EER", "points over clean", *OUTCOMES), lines),
    ]


MIN_GROUP = 20  # recordings of each label, for a failure to be told from chance


def failures_section(results: Results) -> list[str]:
    """Name the groups and conditions in which the detector is clearly worse than on the whole."""
    llr = results.by_seed[0][DECISION]
    whole = results.interval(llr, np.ones(len(llr), dtype=bool)).value
    lines = [
        [f"{kind} {source_id(name) if kind == 'source' else name}", percent(entry["eer"])]
        for kind, groups in results.groups.items()
        for name, entry in groups.items()
        if min(entry["bonafide"], entry["spoof"]) >= MIN_GROUP and entry["eer"].low > whole
    ]
    lines += [
        [name, percent(entry)]
        for name, entry in results.changed.items()
        if entry.value > results.changed["clean"].value + 0.08
    ]
    return [
        "## Known failures",
        f"Groups of {MIN_GROUP} and more recordings of each label whose EER lies over the whole's "
        f"({100 * whole:.1f} %) by more than chance, and changes that cost more than 8 points.",
        markdown_table(("group or change", "EER"), lines),
    ]


def latency_section(results: Results) -> list[str]:
    """Say how fast the bundle is."""
    graph, web = results.speed["graphs"], results.speed["http"]
    fused = graph["fused"]
    low, high = fused["quartiles_ms"]
    lines = [
        ["one window of 4 s, one core", f"{fused['median_ms']:.2f} ms [{low:.2f}, {high:.2f}]"],
        ["librosa, then predict in Python", f"{graph['app']['median_ms']:.0f} ms"],
        ["4 s of FLAC over HTTP, p50", f"{web['1 workers, 1 clients']['p50_ms']:.1f} ms"],
        ["memory of a worker", f"{web['worker_mb']:.0f} MB"],
    ]
    targets = [
        [
            f"`{name}`",
            f"{target['value']:.3g}",
            target["target"],
            "met" if target["met"] else "missed",
        ]
        for name, target in results.speed["targets"].items()
    ]
    return [
        "## Latency",
        "By `bonafide bench`, in one run on the machine that made this page; brackets hold the "
        "quartiles.",
        markdown_table(("what", "measured"), lines),
        markdown_table(("target", "measured", "allowed", "is"), targets),
    ]


def write_card(results: Results, folder: Path) -> None:
    """Add to a bundle's model card what is known only after training."""
    bundle = read_bundle(folder)
    sections = (conditions_section, failures_section, latency_section)
    parts = [part for section in sections for part in section(results)]
    path = folder / "card.md"
    trained = path.read_text(encoding="utf-8").partition(f"\n\n{parts[0]}\n")[0]
    path.write_text("\n\n".join([trained.rstrip(), *parts]) + "\n", encoding="utf-8")
    worked_out = ("format", "files", "sha256")
    write_bundle(folder, {k: v for k, v in bundle.manifest.items() if k not in worked_out})


def shortcuts_section(results: Results) -> list[str]:
    """Set what trivial measures tell beside what we do."""
    bench = results.bench
    audit = audit_shortcuts(bench.recordings, bench.folds["sources"], resamples=RESAMPLES)
    leading = [f"{name} {share:.0%}" for name, share in list(audit.importance.items())[:5]]
    ours = results.interval(results.by_seed[0][DECISION], np.ones(len(results.both), dtype=bool))
    return [
        "## Shortcuts",
        "XGBoost on level, length, silence, bandwidth, codec and their kin alone, on the same "
        "folds. The row *matched* above gives both classes one level, no silence at the ends, and "
        "one length, that of the row *2 s*.",
        markdown_table(
            ("judge", "EER, all sources"),
            [["trivial measures", percent(audit.eer)], ["this detector", percent(ours)]],
        ),
        f"What the trivial measures lean on: {', '.join(leading)}.",
    ]


def calibration_section(results: Results) -> list[str]:
    """Judge the frozen thresholds on sources never heard."""
    decision = results.bench.config.decision
    low, high = decision.undecided
    rows, lines = results.both, []
    for title, (to, start) in (
        ("as shipped", (low, high)),
        ("always decided", (0.5, 0.5)),
    ):
        found = []
        for scores in results.by_seed:
            p = p_spoof_of(scores[DECISION][rows], decision.prior_spoof)
            found.append(outcomes(p, results.is_spoof[rows], (to, start)))
        shares = [f"{100 * share:.1f} %" for share in np.mean(found, axis=0)]
        lines.append([title, f"{to:g} to {start:g}", *shares])
    gap = [results.over_seeds(DECISION, rows, metric)[0].value for metric in (cllr, min_cllr)]
    return [
        "## Calibration",
        f"Prior of spoof {decision.prior_spoof:g}; no verdict costs {decision.costs.undecided:g} "
        "of a wrong one, so none is given where a wrong one is likelier than that (Chow, 1970). "
        f"Cllr lies {gap[0] - gap[1]:.3f} bits above its minimum.",
        markdown_table(("thresholds", "p_spoof left undecided", *OUTCOMES), lines),
    ]


def ablation_section(results: Results) -> list[str]:
    """Show what each part contributes."""
    rows, first = results.both, results.by_seed[0]

    def mean_of(prefix: str, names: Sequence[str]) -> Floats:
        odds = [-log_odds(results.scores[f"{prefix}|{name}"]) for name in names]
        return np.asarray(np.mean(odds, axis=0))

    lines = [["decision", percent(results.interval(first[DECISION], rows))]]
    for left_out in BASE_MODELS:
        kept = [name for name in BASE_MODELS if name != left_out]
        found = percent(results.interval(mean_of("seed 1", kept), rows))
        lines.append([f"mean of four, without {left_out}", found])
    compared = (MEAN, *(f"stack {name}" for name in META_MODELS), *BASE_MODELS)
    lines += [[name, percent(results.interval(first[name], rows))] for name in compared]
    lines.append(
        ["mean of the networks", percent(results.interval(mean_of("seed 1", NETWORKS), rows))]
    )
    for key in results.scores:
        run, _, model = key.partition("|")
        if not model or run.startswith(("seed", "speakers")):
            continue
        label = run if run.startswith(model) else f"{model}, {run.partition(': ')[2]}"
        lines.append([label, percent(results.interval(-log_odds(results.scores[key]), rows))])
    return [
        "## What each part contributes",
        "First seed, sources never heard that hold both labels. *No statistics*: the networks "
        "hear frames only; *no frames*: statistics only. *No weights*: all statistics count "
        "alike; *no copies*: no changed copies; *no augmentation*: neither changed "
        "copies, crops, shifts nor noise. Below: XGBoost without those copies that "
        "one group of changes had a part in, and without the statistics of one view or of one "
        "kind, as docs/decisions/statistics.md tells them.",
        markdown_table(("system", "EER"), lines),
    ]


SECTIONS = (
    main_section,
    speakers_section,
    calibration_section,
    conditions_section,
    shortcuts_section,
    ablation_section,
    latency_section,
    groups_section,
)


def page(results: Results) -> str:
    """Write the page, Markdown."""
    counts = describe(results.bench.recordings.corpus)
    counted = ", ".join(f"{value} {name}" for name, value in counts.items())
    parts = [
        "# Results",
        "Made by `python -m research.results` from the scores in docs/results, which "
        "`python -m research.protocol` and `python -m research.conditions` wrote. Corpus: "
        f"real recordings, {EDITION} ({counted}). Folds: configs/protocol.csv; sources go by the "
        "first digits of the SHA-256 of their names.",
        "The first seed's scores are the out-of-fold scores of the run that made the shipped "
        "bundle: the same folds, seeds and fits. Views and settings were chosen by scores on the "
        "same folds, so these numbers flatter: read the differences between rows, and expect "
        "somewhat more error on recordings of your own.",
    ]
    for section in SECTIONS:
        parts += section(results)
    return "\n\n".join(parts) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page."""
    parser = options(__doc__)
    parser.add_argument("--output", type=Path, default=SCORES.with_suffix(".md"))
    parser.add_argument("--bundle", type=Path, help="bundle whose model card is completed")
    parser.add_argument("--bench", type=Path, default=SCORES / "bench.json")
    chosen = parser.parse_args(arguments)
    bench = Bench.open(chosen.corpus, chosen.config, chosen.work)
    with np.load(chosen.scores / "scores.npz") as file:
        scores = dict(file)
    if not np.array_equal(scores.pop("sound"), bench.recordings.sha256.astype("U16")):
        raise SystemExit("the scores belong to other recordings: run the yardstick again")
    with np.load(chosen.scores / "conditions.npz") as file:
        conditions = dict(file)
    results = Results(bench, scores, conditions, json.loads(chosen.bench.read_text()))
    chosen.output.write_text(page(results), encoding="utf-8")
    if chosen.bundle:
        write_card(results, chosen.bundle)


if __name__ == "__main__":
    main()
