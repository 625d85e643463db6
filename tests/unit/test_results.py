"""The results page: every section from scores made here, and in the words of the kept page."""

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bonafide.corpora.schema import Corpus, Row
from bonafide.evaluation.metrics import Interval, eer
from bonafide.training.config import read_config
from bonafide.training.folds import Folds
from bonafide.training.recordings import MEASURES, Recordings
from research.ablations import MODELS, SEEDS, runs
from research.answers import ANSWER, answers_of
from research.changes import BY_CHANNEL, CONDITIONS
from research.folds import source_id, speaker_folds
from research.judging import BUNDLES, REFERENCE, Results
from research.limits import COSTLY, Limit, limits
from research.protocol import CONFIG, SCORES
from research.results import page, read_scores, write_card
from research.workspace import Workspace

N_ROWS, N_SOURCES, N_FOLDS = 240, 16, 4
CHANNELS = [{"name": name} for name in BY_CHANNEL]
THRESHOLDS = {"bonafide_to": 0.15, "spoof_from": 0.85}
MANIFESTS = {
    bundle: {"prior_spoof": 0.5, "thresholds": THRESHOLDS}
    | ({} if bundle == REFERENCE else {"channels": CHANNELS})
    for bundle in BUNDLES
}


def corpus_of(rng: np.random.Generator) -> Corpus:
    rows = [
        Row(
            path=f"{i}.wav",
            label="spoof" if rng.random() < 0.5 else "bonafide",
            source=f"s{i % N_SOURCES}",
            speaker=f"p{i % N_SOURCES}-{i % 5}",
            language=("en", "de")[i % 2],
            original_codec=("wav", "mp3")[i % 3 == 0],
            system=f"g{i % 3}" if i % 2 else f"own{i % N_SOURCES}",
            attack_type=("tts", "vc")[i % 2],
        )
        for i in range(N_ROWS)
    ]
    return Corpus(Path("/nowhere"), rows)


@pytest.fixture(scope="module")
def results() -> Results:
    rng = np.random.default_rng(0)
    corpus, config = corpus_of(rng), read_config(CONFIG)
    hashes = np.array([4 * f"{i:016x}" for i in range(N_ROWS)])
    recordings = Recordings(corpus, hashes, rng.normal(size=(N_ROWS, len(MEASURES))))
    source = np.arange(N_ROWS) % N_SOURCES
    folds = {"sources": Folds(source, source % N_FOLDS), "speakers": speaker_folds(corpus)}
    workspace = Workspace(config, recordings, folds, Path("/nowhere"))
    sign, scores = 2 * corpus.is_spoof - 1, dict[str, np.ndarray]()
    for run in runs(config):
        for model in run.models:
            odds = sign[:, None] + 1.5 * rng.normal(size=(N_ROWS, len(CHANNELS)))
            scores[f"{run.name}|{model}"] = odds.astype(np.float16)
    stacks = {f"stack|{seed}": p_of(sign[:, None] + rng.normal(size=(N_ROWS, 2))) for seed in SEEDS}
    left_out = {
        f"part|{name}": rng.normal(size=(N_ROWS, len(CHANNELS))) - 2 * sign[:, None]
        for name in ("all", "without encoder", "without router")
    }
    return Results(
        workspace=workspace,
        scores=scores,
        parts={**stacks, **left_out},
        conditions=conditions_of(rng, sign),
        answers={
            f"{bundle}|{seed}": answers(rng, sign, bundle) for bundle in BUNDLES for seed in SEEDS
        },
        edition=source % 2 + 2,
        speed=json.loads((SCORES / "bench.json").read_text()),
        resamples=20,
    )


def p_of(odds: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(-odds))).astype(np.float32)


def answers(
    rng: np.random.Generator, sign: np.ndarray, bundle: str, condition: str = "clean"
) -> np.ndarray:
    """Make answers that the reference gives worse, above all on the telephone."""
    channel = list(BY_CHANNEL).index(CONDITIONS[condition].channel)
    worse = bundle == REFERENCE and CONDITIONS[condition].channel == "telephone"
    told = 0.5 if worse else 2 + BUNDLES.index(bundle)
    outputs = {"llr": 2 * rng.normal(size=len(sign)) - told * sign}
    named = np.where(rng.random(len(sign)) < 0.75, channel, 0)
    return answers_of(
        outputs | ({} if bundle == REFERENCE else {"channel": np.eye(len(CHANNELS))[named]}),
        MANIFESTS[bundle],
    )


def conditions_of(rng: np.random.Generator, sign: np.ndarray) -> dict[str, np.ndarray]:
    judged = np.arange(0, N_ROWS, 2)
    found = {
        f"{bundle}|{name}": answers(rng, sign[judged], bundle, name)
        for bundle in BUNDLES
        for name in CONDITIONS
    }
    names = {
        f"{bundle}|channels": np.array([c["name"] for c in MANIFESTS[bundle].get("channels", ())])
        for bundle in BUNDLES
    }
    return {"rows": judged, **names, **found}


@pytest.fixture(scope="module")
def made(results: Results) -> str:
    return page(results)


def headings(text: str) -> list[str]:
    """Lines that tell what stands below them: titles, and the first row of each table."""
    lines = text.splitlines()
    heads = [a for a, b in pairwise(lines) if b.startswith("| --- |")]
    summaries = re.findall(r"<summary>(.*) \(\d+\)</summary>", text)
    return [*(line for line in lines if line.startswith("#")), *heads, *summaries]


@pytest.fixture(scope="module")
def as_kept(results: Results) -> str:
    """The page of the runs, parts and seeds whose scores are kept."""
    names = {}
    for name in ("scores", "parts", "answers"):
        with np.load(SCORES / f"{name}.npz") as file:
            names[name] = set(file.files)
    kept = replace(
        results,
        scores={key: found for key, found in results.scores.items() if key in names["scores"]},
        answers={key: found for key, found in results.answers.items() if key in names["answers"]},
        parts={
            key: results.parts.get(key, results.parts["part|all"])
            for key in sorted(names["parts"] - {"sound"})
        },
    )
    return page(kept)


def test_the_kept_page_has_the_headings_of_the_one_made_now(as_kept: str) -> None:
    assert headings(SCORES.with_suffix(".md").read_text()) == headings(as_kept)


def test_the_kept_page_has_the_rows_of_the_one_made_now(as_kept: str) -> None:
    """Of every table but those by kind of recording, which the corpus decides.

    How many limits there are depends on how much is decided: each row counts once.
    """
    before = "## By kind of recording"
    kept, now = (
        {line.split(" | ")[0] for line in text.partition(before)[0].splitlines() if line[:1] == "|"}
        for text in (SCORES.with_suffix(".md").read_text(), as_kept)
    )
    assert kept == now


def test_every_run_is_on_the_page_with_its_own_error(results: Results, made: str) -> None:
    for key in results.scores:
        run = key.partition("|")[0]
        if not run.startswith(("seed", "speakers")):
            llr = results.run_llr(key)
            value = results.interval(llr[:, 0], results.both).value
            line = next(
                n for n in made.splitlines() if n.startswith(f"| {run} | {100 * value:.1f} % [")
            )
            assert line.endswith(f" | {100 * results.on_channels(llr, results.both):.1f} % |")
    assert "&" not in made.replace("&lt;", "") and "None" not in made  # Markdown, not HTML


def test_without_the_speakers_run_the_page_has_no_such_section(results: Results) -> None:
    fewer = {k: v for k, v in results.scores.items() if not k.startswith("speakers")}
    text = page(replace(results, scores=fewer))
    assert "other speakers" not in text
    assert "|\n\n## Calibration\n\n" in text


def test_every_part_that_is_left_out_is_on_the_page(results: Results, made: str) -> None:
    rows = {row[0]: row[1:] for row in table_of(made, "## What each part contributes")}
    spoof = results.is_spoof[results.both]
    for name in ("all", "without encoder", "without router"):
        llr = results.parts[f"part|{name}"][results.both]
        clean, others = rows[name]
        assert clean.startswith(f"{100 * eer(llr[:, 0], spoof):.1f} % [")
        mean = np.mean([eer(column, spoof) for column in llr.T[1:]])
        assert others == f"{100 * mean:.1f} %"
    assert set(MODELS) < set(rows)


def test_the_systems_are_those_of_the_default_bundle(results: Results) -> None:
    for seed, found in zip(SEEDS, results.by_seed, strict=True):
        np.testing.assert_array_equal(found["decision"], results.answers[f"default|{seed}"]["llr"])
        odds = results.scores[f"seed {seed}|speech"][:, 0]
        np.testing.assert_allclose(found["speech"], -odds.astype(float), atol=1e-6)
        stack = results.parts[f"stack|{seed}"][:, 1]
        np.testing.assert_allclose(
            found["stack xgboost"], np.log(1 / stack - 1), rtol=1e-3, atol=1e-3
        )


def test_a_card_is_completed_once(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = SimpleNamespace(manifest={"name": "fast", "format": 1, "files": {}, "sha256": "0"})
    written = list[dict[str, object]]()
    monkeypatch.setattr("research.results.read_bundle", lambda folder: known)
    monkeypatch.setattr(
        "research.results.write_bundle", lambda folder, manifest: written.append(manifest)
    )
    card = tmp_path / "card.md"
    card.write_text("# Model card\n\n## Limits\n\nSome.\n")
    write_card(results, tmp_path)
    once = card.read_text()
    assert once.startswith("# Model card\n\n## Limits\n\nSome.\n\n## Channel conditions\n\n")
    assert [line for line in once.splitlines() if line.startswith("## ")] == [
        *("## Limits", "## Channel conditions", "## Known failures", "## Latency")
    ]
    assert "\n### fast\n" in once and "\n### default\n" not in once
    write_card(results, tmp_path)
    assert card.read_text() == once
    assert written == [{"name": "fast"}] * 2


def test_scores_of_other_recordings_raise(results: Results, tmp_path: Path) -> None:
    path, sound = tmp_path / "scores.npz", results.workspace.recordings.sha256
    np.savez(path, sound=sound.astype("U16"), **results.scores)
    assert set(read_scores(path, sound)) == set(results.scores)
    with pytest.raises(SystemExit, match=r"other recordings; run python -m research\.protocol"):
        read_scores(path, sound[::-1])


def test_sources_are_named_by_their_hashes(results: Results, made: str) -> None:
    assert all(f"| {source_id(f's{number}')} |" in made for number in range(N_SOURCES - 1))
    assert not re.search(r"\| s\d+ \|", made)
    assert len(MODELS) + 4 == len(results.by_seed[0])


def table_of(text: str, heading: str) -> list[list[str]]:
    """Return the rows of the first table below a heading, without its first row."""
    lines = text.partition(f"\n{heading}\n")[2].splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("| ---"))
    rest = lines[start + 1 :]
    end = next(n for n, line in enumerate([*rest, ""]) if not line.startswith("|"))
    return [line.strip("| ").split(" | ") for line in rest[:end]]


def test_every_bundle_has_its_table_of_conditions(results: Results, made: str) -> None:
    for bundle in BUNDLES:
        rows = {row[0]: row[1:] for row in table_of(made, f"### {bundle}")}
        assert list(rows) == list(CONDITIONS)
        heard = results.heard[bundle]
        for name, (value, over, undecided, real, fake, named) in rows.items():
            assert value.startswith(f"{100 * heard.eers[name].value:.1f} % [")
            assert over.startswith(f"{100 * heard.over_clean(name).value:+.1f} [")
            called = heard.answers[name]["called"]
            assert undecided.startswith(f"{100 * np.mean(called == 0):.1f} % [")
            for cell, spoof, wrong in ((real, False, -1), (fake, True, 1)):
                own = called[heard.is_spoof == spoof]
                counts = f"{np.sum(own == wrong)} of {np.sum(own != 0)}"
                assert cell.partition(":")[0] == counts
            assert named == "-" if bundle == REFERENCE else float(named.partition("%")[0]) > 60
        assert rows["clean"][1] == "+0.0 [+0.0, +0.0]"


def test_a_channel_is_judged_as_a_whole(results: Results, made: str) -> None:
    rows = table_of(made, "## Channels at a glance")
    assert [row[:2] for row in rows] == [[c, b] for c in BY_CHANNEL for b in BUNDLES]
    heard = results.heard["fast"]
    found = np.concatenate([heard.answers[name] for name in BY_CHANNEL["opus"]])
    whole = eer(found["llr"], np.tile(heard.is_spoof, 3))
    (row,) = (row for row in rows if row[:2] == ["opus", "fast"])
    assert row[2].startswith(f"{100 * whole:.1f} % [")
    assert row[3].startswith(f"{100 * np.mean(found['called'] == 0):.1f} % [")
    (clean,) = (row for row in rows if row[:2] == ["clean", "fast"])
    assert clean[2].startswith(f"{100 * heard.eers['clean'].value:.1f} % [")


def test_a_channel_that_is_seldom_named_is_told(results: Results) -> None:
    heard = results.heard["default"]
    assert (heard.named_most("clean"), heard.named_most("voice note")) == ("clean", "opus")
    silent = replace(heard, channels=())
    assert silent.named_right("clean") is None and silent.named_most("clean") is None


def test_bundles_that_were_not_scored_raise(results: Results) -> None:
    fewer = {k: v for k, v in results.conditions.items() if k != "fast|Vorbis"}
    with pytest.raises(SystemExit, match=r"no answers of fast to Vorbis; run .* --bundle fast"):
        _ = replace(results, conditions=fewer).heard


def test_editions_stand_apart(results: Results, made: str) -> None:
    rows = table_of(made, "## Editions apart")
    assert [row[0] for row in rows[::3]] == [
        *(f"sources of edition {number}" for number in (2, 3)),
        "all sources",
    ]
    assert [row[2] for row in rows] == [*BUNDLES] * 3
    counts = [[int(n) for n in row[1].split(" of ")] for row in rows[::3]]
    assert [a + b for a, b in zip(*counts[:2], strict=True)] == counts[2]


class TestLimits:
    def test_each_is_met_or_missed_by_its_value(self, results: Results) -> None:
        found = limits(results)
        cells = [row for part in found["parts"] for row in part["table"].splitlines()[2:]]
        assert len(cells) == found["count"] == sum(part["count"] for part in found["parts"])
        assert sum(row.endswith("| met |") for row in cells) == found["met"] > 0
        assert any(row.endswith("| missed |") for row in cells)

    def test_the_costly_channels_are_those_of_the_reference(self, results: Results) -> None:
        eers = results.heard[REFERENCE].eers
        table = limits(results)["parts"][1]["table"]
        for name, value in eers.items():
            channel = CONDITIONS[name].channel != "clean"
            costly = channel and value.value > eers["clean"].value + COSTLY
            assert (f"| {name}: EER below the reference's" in table) == costly
        assert "GSM full rate" in table and "speed -6 %: EER over clean" in table

    def test_without_a_reference_nothing_is_held_against_it(self, results: Results) -> None:
        fewer = {k: v for k, v in results.answers.items() if not k.startswith(REFERENCE)}
        alone = replace(results, answers=fewer)
        found, text = limits(alone), page(alone)
        assert found["parts"][0]["title"] == "Channels"
        assert all("reference" not in part["table"] for part in found["parts"])
        assert "| reference |" not in text and "no gain over it is told" in text

    def test_a_gain_is_told_of_the_seeds_that_both_have(self, results: Results) -> None:
        lacking = f"{REFERENCE}|{SEEDS[1]}"
        fewer = {k: v for k, v in results.answers.items() if k != lacking}
        some = replace(results, answers=fewer)
        assert (some.seeds, some.reference_seeds) == (SEEDS, (SEEDS[0], SEEDS[2]))
        assert f"with seed {SEEDS[0]}, {SEEDS[2]}." in page(some)
        first = f"{REFERENCE}|{SEEDS[0]}"
        none = {k: v for k, v in results.answers.items() if k != first}
        assert replace(results, answers=none).reference_seeds == ()
        unlike = {lacking: fewer[first][::-1], **fewer}
        tables = [
            limits(replace(results, answers=of))["parts"][0]["table"] for of in (fewer, unlike)
        ]
        assert tables[0] != tables[1] and "EER below the reference's, pooled" in tables[0]

    def test_few_verdicts_break_no_limit(self, results: Results) -> None:
        silent = {key: value.copy() for key, value in results.conditions.items()}
        silent["fast|Vorbis"]["called"] = 0
        table = limits(replace(results, conditions=silent))["parts"][2]["table"]
        assert "| fast | Vorbis" not in table and table.count("| default | Vorbis: ") == 1
        assert "| fast | clean: inconclusive" in table

    def test_a_limit_is_inclusive(self) -> None:
        for value, least, met in ((0.1, False, True), (0.1, True, True), (0.11, False, False)):
            limit = Limit("fast", "x", Interval(value, 0.0, 0.2), 0.1, least=least)
            assert limit.met == met
        gain = Limit("fast", "x", Interval(0.006, -0.01, 0.02), 0.008, least=True, difference=True)
        assert gain.line == [
            *("fast", "x", "0.60 [-1.0, 2.0] points", "at least 0.8 points", "missed"),
        ]


def test_answers_are_plain_arrays(results: Results, tmp_path: Path) -> None:
    path, sound = tmp_path / "answers.npz", results.workspace.recordings.sha256
    np.savez(path, allow_pickle=False, sound=sound.astype("U16"), **results.answers)
    read = read_scores(path, sound)
    assert read["fast|1"].dtype == ANSWER
    np.testing.assert_array_equal(read["fast|1"], results.answers["fast|1"])
