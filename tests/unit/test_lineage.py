"""Lineage: what stands in a bundle leads back to every row, and forward from each of them."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bonafide.bundle import LINEAGE, ROWS, Bundle, read_bundle, write_bundle
from bonafide.cli.root import cli, main
from bonafide.corpora.schema import COLUMNS, UNKNOWN, Corpus, Row
from bonafide.errors import BundleError
from bonafide.lineage.code import (
    PACKAGES,
    code_hashes,
    code_version,
    environment,
    whole_sha256,
)
from bonafide.lineage.graph import graph_of, lay_out, tree_graph
from bonafide.lineage.page import lineage_page
from bonafide.lineage.record import hand_down, publish, read_lineage
from bonafide.lineage.rows import PERSONAL, every_row, hide_name, read_rows, schema
from bonafide.lineage.search import made_from_artifact, made_from_files, made_from_recording
from bonafide.lineage.trained_on import heard_note
from bonafide.lineage.tree import Node, bundle_tree
from bonafide.registry import find_bundle
from bonafide.training.recordings import Rejected
from research.folds import source_id
from tests.helpers.lineages import (
    STEPS,
    candidate_of,
    files_of,
    keep_with_lineage,
    recordings_of,
    sha256,
)

N_ROWS, N_HELD_OUT = 10, 3
ASIDE = Rejected(
    4, "x/aside.wav", "silent", "nothing", Row("x/aside.wav", "spoof"), sha256("aside")
)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return files_of(tmp_path / "corpus", N_ROWS)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def bundle(root: Path, tmp_path: Path, corpus: Corpus) -> Bundle:
    return keep_with_lineage(
        root, tmp_path / "candidate", corpus, n_held_out=N_HELD_OUT, aside=[ASIDE]
    )


def mine(tree: Node) -> list[Node]:
    """Return the kept bundles of a tree that goes forward; those that ship may not tell."""
    return [each for each in tree.children if each.name.startswith("bundle mine")]


def child(tree: Node, name: str) -> Node:
    (found,) = (each for each in tree.children if each.name.startswith(name))
    return found


def test_a_recording_that_nobody_heard_is_said(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "lineage", "--recording", "nosuch.wav"]) == 0
    out, error = capsys.readouterr()
    assert "is not here, so that it is looked for by its path alone" in out
    assert "No bundle that is kept here, or ships, was made from it." in error
    assert main(["models", "lineage", "--recording", "0.wav"]) == 0
    assert "No bundle" not in capsys.readouterr().err


def test_what_it_was_trained_on_is_said_where_it_is_judged(bundle: Bundle, corpus: Corpus) -> None:
    (note,) = heard_note(bundle, corpus)
    assert note.startswith(f"{N_ROWS} of the {N_ROWS} recordings are of sources or speakers that")
    others = [replace(row, source="other", speaker="Bob") for row in corpus]
    assert heard_note(bundle, Corpus(corpus.root, others)) == ()
    known = Corpus(corpus.root, [*others[:-2], *corpus.rows[-2:]])
    assert heard_note(bundle, known)[0].startswith(f"2 of the {N_ROWS} recordings")
    assert heard_note(Bundle(bundle.folder, publish(bundle).manifest), corpus) == (note,)


# --- what is written ------------------------------------------------------------------------------


def test_every_row_stands_in_the_bundle_in_the_order_of_the_corpus(
    bundle: Bundle, corpus: Corpus
) -> None:
    rows = read_rows(bundle)
    assert rows.schema.equals(schema())
    assert rows["row"].to_pylist() == list(range(N_ROWS + 1))
    assert rows["path"][ASIDE.row].as_py() == ASIDE.path
    n_training = N_ROWS - N_HELD_OUT
    uses = ["training"] * n_training + ["held_out"] * N_HELD_OUT
    uses.insert(ASIDE.row, "set_aside")
    assert rows["use"].to_pylist() == uses
    assert rows["reason"].drop_null().to_pylist() == [ASIDE.code]
    kept = rows.filter([use != "set_aside" for use in uses])
    assert [Row(**row) for row in kept.select(list(COLUMNS)).to_pylist()] == list(corpus)
    assert kept["file_sha256"][0].as_py().hex() == sha256("file 0 of corpus")
    assert kept["sound_sha256"][0].as_py().hex() == sha256("sound 0.wav")


def test_the_record_holds_run_steps_config_seeds_code_and_packages(bundle: Bundle) -> None:
    lineage = read_lineage(bundle)
    assert lineage is not None
    assert lineage.run["run_id"] == "id of first" and lineage.run["ended"]
    assert lineage.steps == list(STEPS)
    assert lineage.config["seed"] == lineage.seeds["run"] == 7
    assert len(set(lineage.seeds.values())) == len(lineage.seeds) > 5
    assert set(lineage.code["packages"]) == set(PACKAGES)
    assert lineage.environment["packages"]["numpy"]
    assert lineage.corpus["use"] == {"training": 7, "held_out": 3, "set_aside": 1}


def test_it_counts_into_no_content_hash(root: Path, tmp_path: Path, corpus: Corpus) -> None:
    """Two runs that make the same detector make one bundle, with the lineage of the first."""
    first = keep_with_lineage(root, tmp_path / "one", corpus, run="first")
    again = keep_with_lineage(root, tmp_path / "two", corpus, run="second")
    assert again.folder == first.folder and again.manifest["zenml"]["run"] == "first"
    assert {LINEAGE, ROWS} < set(first.manifest["files"])
    bare = candidate_of(tmp_path / "three", str(corpus.root))
    (bare.folder / "card.md").write_text("# mine")
    assert write_bundle(bare.folder, bare.manifest).digest() == first.digest()


def test_the_candidate_stays_as_it_is(root: Path, tmp_path: Path, corpus: Corpus) -> None:
    """Its files may be hard links to it: none is written over."""
    keep_with_lineage(root, tmp_path / "candidate", corpus)
    candidate = read_bundle(tmp_path / "candidate")
    assert not {LINEAGE, ROWS, "card.md"} & set(candidate.manifest["files"])


@pytest.mark.parametrize("name", [LINEAGE, ROWS])
def test_what_was_altered_is_not_believed(root: Path, bundle: Bundle, name: str) -> None:
    with (bundle.folder / name).open("ab") as file:
        file.write(b" ")
    for look in (lambda: find_bundle(root, "mine"), lambda: made_from_recording(root, "x.wav")):
        with pytest.raises(BundleError, match=rf"{name}: its sha256 is") as error:
            look()
        assert error.value.code == "altered"


@pytest.mark.parametrize(
    ("part", "values"),
    [
        *(("corpus", values) for values in ({}, {"root": 5}, {"rows_sha256": None}, {"use": []})),
        ("config", {"name": None}),
        *(("code", values) for values in ({"commit": 5}, {"packages": []}, {"sha256": 1})),
        *(("environment", {"packages": value}) for value in ([], 5)),
    ],
)
def test_a_record_of_another_shape_is_an_error(
    bundle: Bundle, part: str, values: dict[str, Any]
) -> None:
    told = json.loads((bundle.folder / LINEAGE).read_text())
    told[part] = told[part] | values if values else {}
    (bundle.folder / LINEAGE).write_text(json.dumps(told))
    broken = write_bundle(bundle.folder, bundle.manifest)
    with pytest.raises(BundleError, match=rf"{part}\..*missing, or of another kind") as error:
        read_lineage(broken)
    assert error.value.code == "bad_lineage"


@pytest.mark.parametrize("text", ["[]", "{", "{}", '{"format": 2}'])
def test_what_is_no_record_is_an_error(bundle: Bundle, text: str) -> None:
    (bundle.folder / LINEAGE).write_text(text)
    broken = write_bundle(bundle.folder, bundle.manifest)
    with pytest.raises(BundleError, match="not a record of a run") as error:
        read_lineage(broken)
    assert error.value.code == "bad_lineage"


def test_a_record_of_a_later_format_is_an_error(bundle: Bundle) -> None:
    later = json.loads((bundle.folder / LINEAGE).read_text()) | {"format": 2}
    (bundle.folder / LINEAGE).write_text(json.dumps(later))
    with pytest.raises(BundleError, match="format 2: must be 1"):
        read_lineage(write_bundle(bundle.folder, bundle.manifest))


def test_the_hash_of_code_covers_names_and_contents_of_all_packages(tmp_path: Path) -> None:
    for name in PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.py").write_text("x = 1")
    hashes = [code_hashes(tmp_path)]
    (tmp_path / "steps" / "a.py").write_text("x = 2")
    hashes.append(code_hashes(tmp_path))
    (tmp_path / "steps" / "a.py").rename(tmp_path / "steps" / "b.py")
    hashes.append(code_hashes(tmp_path))
    assert len({whole_sha256(each) for each in hashes}) == 3
    assert len({each["bonafide"] for each in hashes}) == 1
    assert code_version()["sha256"] == whole_sha256(code_hashes())


def test_packages_are_those_that_would_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, version in (("first", "2"), ("second", "1"), ("x/_vendor", "0")):
        about = tmp_path / folder / "numpy-0.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Name: NumPy\nVersion: {version}\n")
        if folder == "x/_vendor":
            shutil.copytree(about, about.with_name("vendored-0.dist-info"))
    folders = [str(tmp_path / name) for name in ("first", "second", "x/_vendor")]
    monkeypatch.setattr(sys, "path", folders)
    assert environment()["packages"] == {"numpy": "2"}


# --- back -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ref", ["mine", "mine:1", "folder", "sha256", "digits"])
def test_back_from_whatever_names_a_bundle(root: Path, bundle: Bundle, ref: str) -> None:
    """The sha256 in an answer is one of the names."""
    sha = bundle.manifest["sha256"]
    ref = {"folder": str(bundle.folder), "sha256": sha, "digits": sha[:8]}.get(ref, ref)
    tree = bundle_tree(find_bundle(root, ref))
    assert tree.name == "bundle mine:1" and tree.facts["sha256"] == sha
    assert child(tree, "corpus").facts["training"] == N_ROWS - N_HELD_OUT
    steps = child(tree, "run first").children
    assert [step.name for step in steps] == [f"step {step.name}" for step in STEPS]
    assert steps[2].children[0].facts == {"sha256": "3" * 64}
    assert "corpus" in json.dumps(tree.to_json())


def test_a_home_that_moved_tells_the_same(root: Path, bundle: Bundle, corpus: Corpus) -> None:
    before = bundle_tree(bundle).to_json()
    moved = root.rename(root.with_name("moved"))
    shutil.rmtree(corpus.root)
    assert bundle_tree(find_bundle(moved, "mine:1")).to_json() == before
    (heard,) = mine(made_from_recording(moved, str(corpus.root / "3.wav")))
    assert heard.facts["heard"]


def test_what_is_not_known_is_said(bundle: Bundle) -> None:
    (bundle.folder / ROWS).unlink()
    without = child(bundle_tree(write_bundle(bundle.folder, bundle.manifest)), "missing")
    assert without.children[0].name == "rows.parquet: the rows of the corpus"
    (bundle.folder / LINEAGE).unlink()
    tree = bundle_tree(write_bundle(bundle.folder, bundle.manifest))
    (said,) = child(tree, "missing").children
    assert said.name.startswith("lineage.json: this bundle was made before")
    assert child(tree, "corpus").facts == bundle.manifest["corpus"]  # what the manifest knows
    assert child(tree, "run first").facts == {"run_id": "id of first"}


def test_files_without_a_hash_are_said(root: Path, tmp_path: Path, corpus: Corpus) -> None:
    hashes = ["", *(sha256(str(number)) for number in range(1, N_ROWS))]
    bundle = keep_with_lineage(root, tmp_path / "candidate", corpus, hashes=hashes)
    said = [each.name for each in child(bundle_tree(bundle), "missing").children]
    assert any("hashes of some files" in text for text in said)


# --- forward --------------------------------------------------------------------------------------


def test_forward_from_every_recording(root: Path, bundle: Bundle, corpus: Corpus) -> None:
    for number, row in enumerate(corpus):
        (heard,) = mine(made_from_recording(root, str(corpus.audio_path(row))))
        (found,) = heard.children
        assert heard.facts == {"sha256": bundle.manifest["sha256"], "heard": True}
        assert found.facts["path"] == row.path and found.facts["speaker"] == row.speaker
        assert (found.facts["use"] == "held_out") == (number >= N_ROWS - N_HELD_OUT)


def test_a_recording_is_known_by_content_by_path_and_by_both_hashes(
    root: Path, bundle: Bundle, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(corpus.root / "3.wav", tmp_path / "renamed.ogg")
    (corpus.root / "3.wav").unlink()
    monkeypatch.chdir(corpus.root)
    asked = (
        *(str(tmp_path / "renamed.ogg"), str(corpus.root / "3.wav"), "3.wav"),
        *(sha256("file 3 of corpus"), sha256("sound 3.wav")),
    )
    for text in asked:
        (heard,) = mine(made_from_recording(root, text))
        assert [row.facts["path"] for row in heard.children] == ["3.wav"], text


def test_what_was_set_aside_was_not_heard(root: Path, bundle: Bundle) -> None:
    (found,) = mine(made_from_recording(root, sha256("aside")))
    assert found.facts["heard"] is False
    assert found.children[0].facts["reason"] == "silent"


def test_another_recording_was_not_heard(root: Path, bundle: Bundle, tmp_path: Path) -> None:
    """One of the same name in another folder is another one."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "3.wav").write_text("another")
    for text in (str(tmp_path / "other" / "3.wav"), sha256("another")):
        assert mine(made_from_recording(root, text)) == []


def test_a_path_that_holds_another_recording_now_is_told_too(
    root: Path, bundle: Bundle, corpus: Corpus
) -> None:
    (corpus.root / "3.wav").write_text("file 5 of corpus")
    (heard,) = mine(made_from_recording(root, str(corpus.root / "3.wav")))
    assert [row.facts["path"] for row in heard.children] == ["3.wav", "5.wav"]


def test_bundles_that_do_not_tell_are_named(root: Path, tmp_path: Path) -> None:
    bare = candidate_of(root / "bundles" / "mine" / "1")
    write_bundle(bare.folder, {**bare.manifest, "version": "1", "created": "-"})
    said = [each.name for each in child(made_from_recording(root, "x.wav"), "missing").children]
    assert "mine:1 does not tell all that it was made from" in said


def test_forward_from_a_corpus_counts_rows_by_use(
    root: Path, bundle: Bundle, corpus: Corpus
) -> None:
    files = [sha256(f"file {number} of corpus") for number in range(5, N_ROWS)]
    (heard,) = mine(made_from_files(root, "some", [*files, sha256("of no bundle")]))
    assert {key: heard.facts[key] for key in ("training", "held_out")} == {
        "training": 2,
        "held_out": 3,
    }


@pytest.mark.parametrize("what", ["rows", "code", "package", "artifact", "file"])
def test_forward_from_any_hash(root: Path, bundle: Bundle, what: str) -> None:
    lineage = read_lineage(bundle)
    assert lineage is not None
    hashes = {
        "rows": (lineage.corpus["rows_sha256"], "lineage.corpus.rows_sha256"),
        "code": (lineage.code["sha256"], "lineage.code.sha256"),
        "package": (lineage.code["packages"]["steps"], "lineage.code.packages.steps"),
        "artifact": ("3" * 8, "lineage.steps.train_cnn.outputs.fitted"),
        "file": (bundle.manifest["files"]["cnn.onnx"], "manifest.files.cnn.onnx"),
    }
    digits, place = hashes[what]
    (found,) = mine(made_from_artifact(root, digits))
    assert place in found.facts["as"].split(", ")


def test_a_hash_that_is_none(root: Path) -> None:
    with pytest.raises(BundleError, match="zzz: must be 8 to 64 hexadecimal digits"):
        made_from_artifact(root, "zzz")
    assert mine(made_from_artifact(root, "e" * 64)) == []


def adapted_from(bundle: Bundle, root: Path, tmp_path: Path) -> Bundle:
    """Keep a bundle as `adapt` makes it of another, from a corpus of its own."""
    clips = files_of(tmp_path / "clips", 4)
    own = keep_with_lineage(tmp_path / "elsewhere", tmp_path / "own", clips, made="adapted")
    folder = shutil.copytree(bundle.folder, root / "bundles" / "mine-adapted" / "1")
    hand_down(folder)
    for name in (LINEAGE, ROWS):
        shutil.copy(own.folder / name, folder / name)
    shutil.copy(folder / "cnn.onnx", folder / "adapter.onnx")
    entries = {"name": "mine-adapted", "parent": bundle.identity}
    adaptation = {"rows_sha256": "d" * 64, "clips": {"bonafide": 2, "spoof": 2}}
    return write_bundle(folder, {**bundle.manifest, **entries, "adaptation": adaptation})


def test_an_adapted_bundle_heard_what_its_parent_heard(
    root: Path, bundle: Bundle, corpus: Corpus, tmp_path: Path
) -> None:
    adapted = adapted_from(bundle, root, tmp_path)
    shutil.rmtree(bundle.folder)  # it tells even when its parent is gone
    for path, through in ((corpus.root / "3.wav", True), (tmp_path / "clips" / "3.wav", False)):
        (heard,) = mine(made_from_recording(root, str(path)))
        assert heard.name == "bundle mine-adapted:1" and ("through" in heard.facts) == through
    tree = bundle_tree(adapted)
    assert child(child(tree, "adapted from bundle mine:1"), "corpus").facts["held_out"] == 3
    assert child(bundle_tree(adapted), "own clips").facts["training"] == 4
    rows = every_row(adapted)
    assert rows["bundle"].value_counts().to_pylist() == [
        {"values": "mine-adapted:1", "counts": 4},
        {"values": "mine:1", "counts": N_ROWS + 1},
    ]
    assert "adapted" in lineage_page(tree, graph_of(adapted))


# --- names that are not published -----------------------------------------------------------------


@given(name=st.text(min_size=1))
def test_a_hidden_name_can_be_looked_for_and_not_be_read(name: str) -> None:
    hidden = hide_name(name)
    if name == UNKNOWN:
        assert hidden == UNKNOWN
    else:
        assert re.fullmatch("[0-9a-f]{16}", hidden)
        assert hidden.startswith(source_id(name))  # as configs/protocol.csv names sources


def test_a_published_bundle_holds_no_name(root: Path, bundle: Bundle, corpus: Corpus) -> None:
    hidden = publish(bundle)
    assert hidden.digest() == bundle.digest()
    table = pq.read_table(hidden.folder / ROWS)
    for row in corpus:
        assert row.speaker not in table["speaker"].to_pylist()
    texts = b"".join(
        (hidden.folder / name).read_bytes() for name in (LINEAGE, "manifest.json")
    ).decode()
    for text in ("Ann", str(corpus.root), "id of first"):
        assert text not in json.dumps(table.select(list(PERSONAL)).to_pylist()) + texts
    (heard,) = mine(made_from_recording(root, str(corpus.root / "3.wav")))  # by its content
    assert heard.children[0].facts["path"] == hide_name("3.wav")
    (corpus.root / "3.wav").unlink()
    assert mine(made_from_recording(root, "somewhere/else/3.wav"))  # by any end of its path
    assert publish(hidden).manifest == hidden.manifest  # twice is once


# --- pages ----------------------------------------------------------------------------------------


@given(st.lists(st.lists(st.integers(0, 100), max_size=4), min_size=1, max_size=20))
def test_everything_stands_below_what_it_takes_from(edges: list[list[int]]) -> None:
    notes = {str(number): "" for number in range(len(edges))}
    takes = {str(n): {str(k % n) for k in above} for n, above in enumerate(edges) if n}
    drawing = lay_out(notes, takes)
    y = {box.name: box.y for box in drawing.boxes}
    assert len(y) == len(notes) and len({(box.x, box.y) for box in drawing.boxes}) == len(notes)
    assert all(y[name] > y[each] for name, above in takes.items() for each in above)
    assert all(box.x >= 0 and box.y < drawing.height for box in drawing.boxes)


def test_a_line_that_another_way_stands_for_is_left_out(bundle: Bundle) -> None:
    assert len(lay_out({"a": "", "b": "", "c": ""}, {"b": {"a"}, "c": {"a", "b"}}).curves) == 2
    drawing = graph_of(bundle)
    assert [box.name for box in sorted(drawing.boxes, key=lambda box: box.y)] == [
        *("corpus", "ingest", "split", "train_cnn", "export", "bundle mine:1")
    ]


def test_the_page_needs_no_script_and_obeys_no_name(root: Path, bundle: Bundle) -> None:
    tree = Node("recording <b>.wav", {}, [Node("bundle <i>", {"speaker": "<script>x</script>"})])
    page = lineage_page(tree, tree_graph(tree))
    assert "<script" not in page and "<b>.wav" not in page and "&lt;script&gt;" in page
    whole = lineage_page(bundle_tree(bundle), graph_of(bundle))
    assert "<svg" in whole and whole.count("<path") == 5 and "train_cnn" in whole


# --- the command ----------------------------------------------------------------------------------


def run(*words: str | Path) -> str:
    done = CliRunner().invoke(cli, ["models", "lineage", *map(str, words)])
    assert done.exception is None, done.output
    return done.stdout


@pytest.mark.usefixtures("bundle")
class TestCommand:
    def test_tree_json_and_page(self, tmp_path: Path) -> None:
        assert "├── step train_cnn (from recordings, folds)" in run("mine").replace("│   ", "")
        written = json.loads(run("mine", "--json", "--html", tmp_path / "page.html"))
        assert written["name"] == "bundle mine:1"
        assert "Lineage of bundle mine:1" in (tmp_path / "page.html").read_text()

    def test_forward(self, corpus: Corpus, tmp_path: Path) -> None:
        path = corpus.root / "3.wav"
        for words in (("--recording", path), ("--artifact", "3" * 64)):
            tree = json.loads(run(*words, "--json"))
            assert tree["children"][0]["name"] == "bundle mine:1"
        (corpus.root / "manifest.csv").write_text("path,label\n1.wav,real\n2.wav,fake\n")
        by_files = json.loads(run("--corpus", corpus.root, "--json"))
        assert by_files["children"][0]["facts"]["training"] == 2
        rows = recordings_of(corpus).rows_sha256
        by_hash = json.loads(run("--corpus", rows, "--json"))
        assert "lineage.corpus.rows_sha256" in by_hash["children"][0]["facts"]["as"]

    def test_every_row(self) -> None:
        """Through a file descriptor: Arrow writes bytes."""
        words = [sys.executable, "-m", "bonafide.cli", "models", "lineage", "mine", "--rows"]
        done = subprocess.run(words, capture_output=True, text=True)
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        assert [row["row"] for row in rows] == [str(number) for number in range(N_ROWS + 1)]
        assert rows[0]["file_sha256"] == sha256("file 0 of corpus")
        assert json.loads(run("mine", "--rows", "--json"))[0]["bundle"] == "mine:1"

    @pytest.mark.parametrize(
        "words", ["mine --recording x", "--corpus x --artifact y", "--recording x --rows"]
    )
    def test_one_question_at_a_time(self, capsys: pytest.CaptureFixture[str], words: str) -> None:
        assert main(["models", "lineage", *words.split()]) == 2
        assert "stand alone" in capsys.readouterr().err


def test_neither_zenml_nor_what_trains_is_loaded(
    root: Path, bundle: Bundle, corpus: Corpus
) -> None:
    code = (
        "import sys; from bonafide.cli import main; main(sys.argv[1:])\n"
        "loaded = {'zenml', 'tensorflow', 'sklearn', 'xgboost'}\n"
        "sys.exit(str(loaded & set(sys.modules)) if loaded & set(sys.modules) else 0)"
    )
    for words in (("mine",), ("--recording", str(corpus.root / "3.wav")), ("mine", "--rows")):
        command = [sys.executable, "-c", code, "models", "lineage", *words]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
        assert done.returncode == 0, done.stderr


def test_a_hundred_thousand_rows_are_asked_after_in_no_time(root: Path, tmp_path: Path) -> None:
    rows = [Row(f"audio/{n}.flac", ("bonafide", "spoof")[n % 2]) for n in range(100_000)]
    hashes = [sha256(str(number)) for number in range(100_000)]
    bundle = keep_with_lineage(root, tmp_path / "big", Corpus(tmp_path, rows), hashes=hashes)
    assert (bundle.folder / ROWS).stat().st_size < 8_000_000
    asked = (
        lambda: bundle_tree(find_bundle(root, bundle.digest())),
        lambda: made_from_recording(root, hashes[77_777]),
        lambda: made_from_recording(root, str(tmp_path / "audio/99999.flac")),
        lambda: made_from_files(root, "all", hashes),
        lambda: every_row(bundle),
    )
    for ask in asked:
        started = time.process_time()  # others may hold the processors
        assert ask()
        assert time.process_time() - started < 4.0  # at most 0.4 s on two slow cores
