"""The values for the templates of the results page and of the model card, by section."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bonafide.evaluation.evaluate import DECISION, MEAN, percent
from bonafide.evaluation.metrics import Interval, cllr, eer, min_cllr, min_dcf
from bonafide.evaluation.report import markdown_table
from bonafide.training.audit import audit_shortcuts
from bonafide.types import AnyFloats as Floats
from research.ablations import MODELS, SEEDS
from research.answers import BONAFIDE, CALLED, SPOOF, errors
from research.channel_sections import Section, channels, conditions, editions, steadiness, telephone
from research.folds import source_id, speaker_folds
from research.judging import Results
from research.limits import COSTLY, limits
from research.source_errors import mean_interval, mean_of_sources

MIN_GROUP = 20  # recordings of each label, for a group to count as a failure


def _plain(interval: Interval) -> str:
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _own_eers(results: Results, name: str) -> str:
    eers = results.source_eers([seed[name] for seed in results.by_seed], results.both)
    return percent(mean_of_sources(eers, resamples=results.resamples))


def systems(results: Results) -> Section:
    """Judge every system on sources never heard."""
    rows, lines = results.both, []
    for name in results.by_seed[0]:
        pooled, each = results.over_seeds(name, rows)
        lines.append(
            [
                name,
                percent(pooled),
                " / ".join(f"{100 * value:.1f}" for value in each),
                percent(results.over_seeds(name, results.everything)[0]),
                _own_eers(results, name),
                *(
                    _plain(results.over_seeds(name, rows, metric)[0])
                    for metric in (min_dcf, cllr, min_cllr)
                ),
            ]
        )
    kinds = ("EER", "by seed", "EER, all sources", "mean of sources' EERs")
    headings = ("system", *kinds, "minDCF", "Cllr", "min Cllr")
    by_fold = [
        np.mean([eer(llr[DECISION][m], results.is_spoof[m]) for llr in results.by_seed])
        for fold in range(int(results.fold.max()) + 1)
        for m in [rows & (results.fold == fold)]
    ]
    return {
        "rows": int(rows.sum()),
        "sources": len(np.unique(results.source[rows])),
        "all_rows": len(rows),
        "all_sources": len(np.unique(results.source)),
        "seeds": len(results.by_seed),
        "table": markdown_table(headings, lines),
        "by_fold": ", ".join(f"{100 * value:.1f} %" for value in by_fold),
    }


def speakers(results: Results) -> Section | None:
    """Judge unknown speakers of known sources, for contrast; None if that was not run."""
    if f"speakers|{MODELS[0]}" not in results.scores:
        return None
    rows = speaker_folds(results.workspace.recordings.corpus).fold == 0
    llr = {name: results.run_llr(f"speakers|{name}")[:, 0] for name in MODELS}
    llr[MEAN] = np.mean(list(llr.values()), axis=0)
    lines = [[name, percent(results.interval(values, rows))] for name, values in llr.items()]
    return {"rows": int(rows.sum()), "table": markdown_table(("system", "EER"), lines)}


def calibration(results: Results) -> Section:
    """Judge the frozen thresholds on sources never heard."""
    decision, rows, lines = results.workspace.config.decision, results.both, []
    spoof, source = results.is_spoof[rows], results.source[rows]
    threshold = np.log(decision.prior_spoof / (1 - decision.prior_spoof))
    for bundle, seeds in results.bundles.items():
        ways = {
            "as shipped": [found["called"][rows] for found in seeds.values()],
            "always decided": [
                np.where(found["llr"][rows] > threshold, BONAFIDE, SPOOF)
                for found in seeds.values()
            ],
        }
        for title, called in ways.items():
            judged = [errors(seed, spoof, source, resamples=results.resamples) for seed in called]
            undecided = mean_interval([found for found, _ in judged])
            wrong = [mean_interval([by[label].share for _, by in judged]) for label in (0, 1)]
            lines.append([bundle, title, *map(percent, (undecided, *wrong))])
    value, least = (
        results.over_seeds(DECISION, rows, metric)[0].value for metric in (cllr, min_cllr)
    )
    headings = ("bundle", "thresholds", "inconclusive", *(f"{c}, of the decided" for c in CALLED))
    return {
        "prior": f"{decision.prior_spoof:g}",
        "cost": f"{decision.costs.undecided:g}",
        "gap": f"{value - least:.3f}",
        "table": markdown_table(headings, lines),
    }


def shortcuts(results: Results) -> Section:
    """Set the error of trivial measures beside the detector's."""
    workspace = results.workspace
    audit = audit_shortcuts(
        workspace.recordings, workspace.folds["sources"], resamples=results.resamples
    )
    ours = results.interval(results.decision, results.everything)
    lines = [["trivial measures", percent(audit.eer)], ["this detector", percent(ours)]]
    leading = [f"{name} {share:.0%}" for name, share in list(audit.importance.items())[:5]]
    return {
        "table": markdown_table(("classifier", "EER, all sources"), lines),
        "leading": ", ".join(leading),
    }


def ablations(results: Results) -> Section:
    """Show what each part contributes, on recordings and on copies through every channel."""
    llr: dict[str, Floats] = {
        key.partition("|")[2]: found
        for key, found in results.parts.items()
        if key.startswith("part|")
    }
    for name in MODELS:
        llr[name] = results.run_llr(f"seed {SEEDS[0]}|{name}")
    for key in results.scores:
        run = key.partition("|")[0]
        if not run.startswith(("seed", "speakers")):
            llr[run] = results.run_llr(key)
    rows = results.both
    lines = [
        [
            name,
            percent(results.interval(found[:, 0], rows)),
            f"{100 * results.on_channels(found, rows):.1f} %",
        ]
        for name, found in llr.items()
    ]
    return {"table": markdown_table(("system", "EER", "mean EER over channels"), lines)}


def latency(results: Results) -> Section:
    """Show how fast the bundle is."""
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
        [f"`{name}`", f"{row['value']:.3g}", row["target"], "met" if row["met"] else "missed"]
        for name, row in results.speed["targets"].items()
    ]
    named = results.speed["bundle"]
    return {
        "bundle": f"`{named['name']}:{named['version']}`",
        "table": markdown_table(("what", "measured"), lines),
        "targets": markdown_table(("target", "measured", "limit", "status"), targets),
    }


def groups(results: Results) -> Section:
    """Judge the decision by kind of recording."""
    system = results.workspace.recordings.corpus.column("system")
    heard = results.everything & False
    for fold in range(int(results.fold.max()) + 1):
        rows = results.fold == fold
        heard[rows] = np.isin(system[rows], system[~rows & results.is_spoof])
    lines = [
        [
            name,
            percent(results.interval(results.decision, rows | ~results.is_spoof)),
            str(int(rows.sum())),
        ]
        for name, rows in (
            ("heard in other sources", heard & results.is_spoof),
            ("never heard", ~heard & results.is_spoof),
        )
    ]
    return {
        "generators": markdown_table(("generator", "EER", "spoofs"), lines),
        "kinds": [
            {"name": kind, "count": len(found), "table": _group_table(kind, found)}
            for kind, found in results.groups.items()
        ],
    }


def _group_name(kind: str, name: str) -> str:
    return source_id(name) if kind == "source" else name


def _group_table(kind: str, found: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        [
            _group_name(kind, name),
            percent(entry["eer"]),
            str(entry["bonafide"]),
            str(entry["spoof"]),
        ]
        for name, entry in sorted(found.items(), key=lambda item: -item[1]["spoof"])
    ]
    return markdown_table((kind, "EER", "bona fide", "spoof"), rows)


def failures(results: Results) -> Section:
    """Name the groups and conditions on which the detector is clearly worse than on the whole."""
    whole = results.interval(results.decision, results.everything).value
    lines = [
        [f"{kind} {_group_name(kind, name)}", percent(entry["eer"])]
        for kind, found in results.groups.items()
        for name, entry in found.items()
        if min(entry["bonafide"], entry["spoof"]) >= MIN_GROUP and entry["eer"].low > whole
    ]
    clean = results.by_condition["clean"].value
    lines += [
        [name, percent(entry)]
        for name, entry in results.by_condition.items()
        if entry.value > clean + COSTLY
    ]
    return {
        "min_group": MIN_GROUP,
        "whole": f"{100 * whole:.1f} %",
        "points": f"{100 * COSTLY:.0f}",
        "table": markdown_table(("group or condition", "EER"), lines),
    }


SECTIONS: dict[str, Callable[[Results], Section | None]] = {
    function.__name__: function
    for function in (
        systems,
        speakers,
        calibration,
        limits,
        editions,
        channels,
        conditions,
        telephone,
        steadiness,
        shortcuts,
        ablations,
        latency,
        groups,
        failures,
    )
}
