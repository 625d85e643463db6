"""Reading corpora: manifests, folders of classes, recognition, and every error."""

import csv
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bonafide.corpora import COLUMNS, Corpus, Row, read_corpus, recognise
from bonafide.corpora.folder import read as read_folder
from bonafide.corpora.manifest import read as read_manifest
from bonafide.corpora.schema import LABEL_NAMES, describe, join, read_value, require_both_labels
from bonafide.errors import ConfigError, CorpusError
from bonafide.training.folds import connected_groups

LABEL_WORDS = "bonafide, bona-fide, real, genuine, human, spoof, fake, deepfake, generated"
BONAFIDE = ("bonafide", "bona-fide", "real", "genuine", "human")
SPOOF = ("spoof", "fake", "deepfake", "generated")

FULL = Row(
    path="a/b.flac",
    label="spoof",
    attack_type="tts",
    system="VITS",
    speaker="s1",
    language="en",
    source="here",
    corpus="mine",
    split="train",
    original_rate="24000",
    original_codec="mp3",
    duration_s="4.000",
    licence="MIT",
    text_id="t1",
)


def csv_file(folder: Path, text: str, name: str = "m.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


Columns = dict[str, list[Any]] | list[tuple[str, list[Any]]]


def parquet_file(folder: Path, columns: Columns, name: str = "m.parquet") -> Path:
    pairs = columns.items() if isinstance(columns, dict) else columns
    names, values = zip(*pairs, strict=True)
    pq.write_table(pa.table([pa.array(each) for each in values], list(names)), folder / name)
    return folder / name


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


# --- manifests ------------------------------------------------------------------------------------


def test_the_row_schema_is_the_real_manifests(corpus_folder: Path) -> None:
    with (corpus_folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        assert tuple(next(csv.reader(file))) == COLUMNS


def test_the_real_manifest(corpus_folder: Path) -> None:
    corpus = read_corpus(corpus_folder / "manifest.csv")
    with (corpus_folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(corpus) == len(lines) > 4_000
    for row, wanted in zip(corpus, lines, strict=True):
        assert {name: getattr(row, name) for name in COLUMNS} == wanted
    assert {row.label for row in corpus} == {"bonafide", "spoof"}
    assert {row.attack_type for row in corpus} == {"-", "tts", "vc", "vocoder"}
    assert describe(corpus)["sources"] == len({line["source"] for line in lines})
    assert all(corpus.audio_path(row).is_file() for row in corpus.rows[::50])
    assert read_corpus(str(corpus_folder)) == corpus  # the folder is read through its manifest


def test_a_manifest_of_two_columns(tmp_path: Path) -> None:
    corpus = read_corpus(csv_file(tmp_path, "label,path\nReal, a.wav \n fake ,b.wav\n"))
    assert corpus.rows == [Row("a.wav", "bonafide"), Row("b.wav", "spoof")]
    assert corpus.rows[0].speaker == corpus.rows[0].licence == "-"
    assert corpus.audio_path(corpus.rows[0]) == tmp_path / "a.wav"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("path,label\na.wav,spoof\n", "utf-8-sig"),
        ("path,label\r\na.wav,spoof\r\n", "utf-8"),
        ("path,label\na.wav,spoof", "utf-8"),
        ('"path","label"\n"a.wav","spoof"\n', "utf-8"),
        ("path,label,mine\na.wav,spoof,what\n", "utf-8"),
        ("path,label\na.wav,spoof,,\n", "utf-8"),
        ("path,label,speaker\na.wav,spoof\n", "utf-8"),
        ("path,label\n\na.wav,spoof\n\n", "utf-8"),
        ("path,label,speaker\na.wav,spoof,\n", "utf-8"),
        ("path,label\na.wav,spoof\n,\n , \n,,,\n", "utf-8"),
        ("path,label,,\n,,,\na.wav,spoof,,\n,,,\n", "utf-8-sig"),
        ("path;label\r\na.wav;spoof\r\n;\r\n", "utf-8-sig"),
        ("path\tlabel\r\na.wav\tspoof\r\n", "utf-16"),
        ("path,label\na.wav,spoof\n", "utf-16-le"),
        ("\ufeffpath,label\na.wav,spoof\n", "utf-16-be"),
        ("path,label\na.wav,spoof\n", "utf-16-be"),
        ("path,label\na.wav,spoof\n", "utf-32"),
        ("label|path\nspoof|a.wav\n", "utf-8"),
        ("sep=;\r\npath;label\r\na.wav;spoof\r\n", "utf-8"),
        ("sep=;\rpath;label\ra.wav;spoof\r", "utf-8"),
        ('"sep=;"\npath;label\na.wav;spoof\n', "utf-8-sig"),
        ("Path, LABEL \na.wav,spoof\n", "utf-8"),
        ("path,label\ra.wav,spoof\r", "utf-8"),
        ("\n,,\n;;\npath;label\na.wav;spoof\n".replace(",", ";"), "utf-8"),
        ("mine,mine,path,label\n1,2,a.wav,spoof\n", "utf-8"),
        ('path,label,mine\na.wav,spoof,"two\n\nlines, with ""quotes"""\n', "utf-8"),
    ],
    ids=[
        *(
            "bom",
            "crlf",
            "no end",
            "quoted",
            "column more",
            "cells more",
            "short",
            "blank",
            "empty",
        ),
        *("blank rows at the end", "blank columns and rows", "semicolons", "tabs in utf-16"),
        *("utf-16 without mark", "utf-16, big end first", "utf-16 big, without mark", "utf-32"),
        *(
            "bars",
            "Excel's separator",
            "Excel's separator, old mac",
            "Excel's separator, quoted",
            "case and spaces",
            "old mac",
            "blank rows before",
            "ours once",
            "quoted lines",
        ),
    ],
)
def test_ways_to_write_the_same(text: str, encoding: str, tmp_path: Path) -> None:
    assert read_manifest(csv_file(tmp_path, text, encoding=encoding)).rows == [
        Row("a.wav", "spoof")
    ]


@pytest.mark.parametrize("written", [*BONAFIDE, *SPOOF])
@pytest.mark.parametrize(
    "change", [str, str.upper, str.title, lambda s: f" {s}\t", lambda s: s.replace("-", "_")]
)
def test_label_synonyms(written: str, change: Callable[[str], str], tmp_path: Path) -> None:
    corpus = read_manifest(csv_file(tmp_path, f"path,label\na.wav,{change(written)}\n"))
    assert corpus.rows[0].label == ("bonafide" if written in BONAFIDE else "spoof")


def test_these_are_all_labels() -> None:
    assert set(LABEL_NAMES) == {*BONAFIDE, *SPOOF}


def test_names_may_hold_any_letters(tmp_path: Path) -> None:
    path = csv_file(tmp_path, 'path,label,speaker\n"ü, ""x"".wav",real,Łukasz 王\n')
    assert read_manifest(path).rows == [Row('ü, "x".wav', "bonafide", speaker="Łukasz 王")]


UNKNOWNS = (
    "",
    "-",
    "?",
    " -- ",
    "nan",
    "NaN",
    "NA",
    "N/A",
    "n/a",
    "None",
    "null",
    "NULL",
    "#N/A",
    "<NA>",
    "#NV",
    "-1.#QNAN",
    "n / a",
    r"\N",
    "\u2014",
    "missing",
)


@pytest.mark.parametrize("column", sorted(set(COLUMNS) - {"path", "label"}))
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_word_for_unknown_is_no_group(kind: str, column: str, tmp_path: Path) -> None:
    paths = [f"{number}.wav" for number in range(len(UNKNOWNS) + 1)]
    values = [*UNKNOWNS, " Nan Xu "]
    if kind == "csv":
        lines = [f"{path},real,{value}\n" for path, value in zip(paths, values, strict=True)]
        manifest = csv_file(tmp_path, f"path,label,{column}\n" + "".join(lines))
    else:
        columns = {"path": paths, "label": ["real"] * len(paths), column: values}
        manifest = parquet_file(tmp_path, columns)
    corpus = read_corpus(manifest)
    assert corpus.column(column).tolist() == ["-"] * len(UNKNOWNS) + ["Nan Xu"]


@pytest.mark.parametrize("word", ["nan", "NULL", "N/A", "?", ""])
def test_unknown_speakers_stand_alone(word: str, tmp_path: Path) -> None:
    labels = ["real", "fake"] * 4
    lines = [f"{number}.wav,{label},{word},None\n" for number, label in enumerate(labels)]
    corpus = read_corpus(csv_file(tmp_path, "path,label,speaker,source\n" + "".join(lines)))
    assert describe(corpus)["speakers"] == describe(corpus)["sources"] == 0
    assert len(set(connected_groups(corpus).tolist())) == 8


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"audio\a.wav", "audio/a.wav"),
        (r".\audio\deep/a.wav", "audio/deep/a.wav"),
        (r"..\a.wav", "../a.wav"),
        (r"C:\corpus\a.wav", "C:/corpus/a.wav"),
        (r"\\server\share\a.wav", "//server/share/a.wav"),
        (r"a\b.wav", r"a\b.wav"),  # a file has this very name
        ("a\\" + "b" * 300, "a/" + "b" * 300),  # none can have this one
    ],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_paths_of_windows(kind: str, written: str, read: str, tmp_path: Path) -> None:
    touch(tmp_path, r"a\b.wav")
    if kind == "csv":
        manifest = csv_file(tmp_path, f"path,label\n{written},real\n")
    else:
        manifest = parquet_file(tmp_path, {"path": [written], "label": ["real"]})
    assert read_corpus(manifest).rows == [Row(read, "bonafide")]


@pytest.mark.parametrize(
    ("written", "named", "read"),
    [
        (" lead.wav", " lead.wav", " lead.wav"),
        ("trail.wav ", "trail.wav ", "trail.wav "),
        (" a.wav ", "a.wav", "a.wav"),
        ("e\u0301t\u00e9.wav", "\u00e9t\u00e9.wav", "\u00e9t\u00e9.wav"),
        ("\u00fcber.wav", "u\u0308ber.wav", "u\u0308ber.wav"),
        ("b\\\u00fcber.wav", "b/u\u0308ber.wav", "b/u\u0308ber.wav"),
        ("file:///x/a%20b.wav", "a.wav", "/x/a b.wav"),
        ("a%20b.wav", "a b.wav", "a%20b.wav"),
        ("x\\" + 5000 * "y", "a.wav", "x/" + 5000 * "y"),
    ],
)
def test_the_file_that_a_path_means(written: str, named: str, read: str, tmp_path: Path) -> None:
    touch(tmp_path, named)
    manifest = csv_file(tmp_path, f"path,label\n{written},real\n")
    assert [row.path for row in read_corpus(manifest)] == [read]


def test_a_nul_in_a_path_is_the_rows_own_matter(tmp_path: Path) -> None:
    corpus = read_corpus(csv_file(tmp_path, "path,label\na.wav,real\nb\0.wav,fake\n"))
    assert [row.path for row in corpus] == ["a.wav", "b\0.wav"]


def test_blank_rows_of_parquet(tmp_path: Path) -> None:
    columns = {"path": ["a.wav", None, ""], "label": ["real", None, " "], "duration_s": [1.0] * 3}
    columns["duration_s"][1:] = [float("nan"), None]
    path = parquet_file(tmp_path, columns)
    assert read_corpus(path).rows == [Row("a.wav", "bonafide", duration_s="1.0")]


def test_parquet_reads_as_csv(tmp_path: Path) -> None:
    rows = [FULL, Row("c.wav", "bonafide", speaker="s2")]
    columns = {name: [getattr(row, name) for row in rows] for name in COLUMNS}
    corpus = read_corpus(parquet_file(tmp_path, columns))
    assert list(corpus) == rows and corpus.root == tmp_path


def test_parquet_numbers_and_nulls_become_texts(tmp_path: Path) -> None:
    path = parquet_file(
        tmp_path,
        {
            "path": ["a.wav"],
            "label": ["fake"],
            "original_rate": [16_000],
            "duration_s": [2.5],
            "speaker": [None],
        },
    )
    wanted = Row("a.wav", "spoof", original_rate="16000", duration_s="2.5")
    assert read_manifest(path).rows == [wanted]


def test_parquet_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = parquet_file(tmp_path, {"path": ["a.wav"], "label": ["real"]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pyarrow is missing: pip install .bonafide.train.") as e:
        read_corpus(path)
    assert e.value.code == "not_installed"


@pytest.mark.parametrize("suffix", [".csv", ".CSV", ".parquet", ".Parquet", ".PARQUET"])
def test_the_suffix_in_any_case(suffix: str, tmp_path: Path) -> None:
    if suffix.lower() == ".csv":
        path = csv_file(tmp_path, "path,label\na.wav,real\n", f"m{suffix}")
    else:
        path = parquet_file(tmp_path, {"path": ["a.wav"], "label": ["real"]}, f"m{suffix}")
    assert read_corpus(path).rows == [Row("a.wav", "bonafide")]


# --- reasons -------------------------------------------------------------------------------------


def truncated_parquet(folder: Path) -> Path:
    path = parquet_file(folder, {"path": ["a.wav"] * 50, "label": ["real"] * 50})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def bent_parquet(folder: Path) -> Path:
    path = parquet_file(folder, {"path": ["a.wav"] * 50, "label": ["real"] * 50})
    content = bytearray(path.read_bytes())
    content[20:-8] = b"\xa5" * (len(content) - 28)
    path.write_bytes(content)
    return path


ERRORS: dict[str, tuple[Callable[[Path], Path], str, str]] = {
    "nothing there": (
        lambda d: d / "no.csv",
        "no_corpus",
        r"no\.csv: no such file or folder",
    ),
    "unknown suffix": (
        lambda d: csv_file(d, "path,label\n", "m.txt"),
        "unknown_format",
        r"m\.txt: no corpus format fits; must be a \.csv or \.parquet manifest or a folder",
    ),
    "empty file": (
        lambda d: csv_file(d, ""),
        "missing_column",
        r"m\.csv, row 1: column 'path' is missing",
    ),
    "no path": (
        lambda d: csv_file(d, "file,label\na.wav,real\n"),
        "missing_column",
        "row 1: column 'path' is missing; seen are file, label; needed are path, label, and known "
        "are path, label, attack_type, .*, text_id",
    ),
    "no label": (
        lambda d: csv_file(d, "path,Labels\na.wav,real\n"),
        "missing_column",
        "row 1: column 'label' is missing; seen are path, Labels",
    ),
    "colons": (
        lambda d: csv_file(d, "path:label\na.wav:real\n"),
        "missing_column",
        "row 1: column 'path' is missing; seen are path:label",
    ),
    "a column twice": (
        lambda d: csv_file(d, "path,label,label\na.wav,real,fake\n"),
        "duplicate_column",
        r"m\.csv, row 1: column 'label' stands 2 times; seen are path, label, label; each must",
    ),
    "the same column twice, and equal": (
        lambda d: csv_file(d, "path,label,path\na.wav,real,a.wav\n"),
        "duplicate_column",
        "column 'path' stands 2 times",
    ),
    "a column twice but for case and spaces": (
        lambda d: csv_file(d, "path,label,Speaker, speaker \na.wav,real,ann,bob\n"),
        "duplicate_column",
        "column 'speaker' stands 2 times; seen are path, label, Speaker,  speaker ; each must",
    ),
    "parquet, a column twice": (
        lambda d: parquet_file(d, [("path", ["a"]), ("label", ["real"]), ("Label", ["fake"])]),
        "duplicate_column",
        r"m\.parquet, row 1: column 'label' stands 2 times; seen are path, label, Label",
    ),
    "parquet, a column twice, letter for letter": (
        lambda d: parquet_file(d, [("path", ["a"]), ("label", ["real"]), ("label", ["fake"])]),
        "duplicate_column",
        "column 'label' stands 2 times",
    ),
    "no text at all": (
        lambda d: csv_file(d, "\0" * 4096 + "\ufdd0\n"),
        "missing_column",
        r"row 1: column 'path' is missing; seen are \?{500}; needed",
    ),
    "a comma too many": (
        lambda d: csv_file(d, "path,label,speaker\na.wav,real,Smith, Ann\n"),
        "bad_row",
        r"m\.csv, row 2: 4 cells under 3 columns; must be at most 3: quote a text",
    ),
    "a quote that is never closed": (
        lambda d: csv_file(d, 'path,label,text_id\na.wav,real,"one\nb.wav,fake,two\n'),
        "bad_manifest",
        "row 3: not a CSV file in UTF-8: unexpected end of data",
    ),
    "rows of commas alone": (
        lambda d: csv_file(d, "path,label\n,\n , \n"),
        "no_rows",
        "holds no recording",
    ),
    "a path that is not known": (
        lambda d: csv_file(d, "path,label\na.wav,real\nnan,real\n"),
        "bad_row",
        "row 3: the path is empty",
    ),
    "a label that is not known": (
        lambda d: csv_file(d, "path,label\na.wav,N/A\n"),
        "bad_label",
        "row 2: label 'N/A' is not known",
    ),
    "unknown label": (
        lambda d: csv_file(d, "path,label\na.wav,real\nb.wav,synthetic\n"),
        "bad_label",
        rf"m\.csv, row 3: label 'synthetic' is not known; must be one of {LABEL_WORDS}",
    ),
    "label of a number": (
        lambda d: csv_file(d, "path,label\na.wav,1\n"),
        "bad_label",
        rf"row 2: label '1' is not known; must be one of {LABEL_WORDS}",
    ),
    "empty label": (
        lambda d: csv_file(d, "path,label\na.wav,\n"),
        "bad_label",
        "row 2: label '-' is not known",
    ),
    "no label in a short row": (
        lambda d: csv_file(d, "path,label\na.wav,real\na.wav\n"),
        "bad_label",
        "row 3: label '-' is not known",
    ),
    "empty path": (
        lambda d: csv_file(d, "path,label\na.wav,real\n  ,real\n"),
        "bad_row",
        r"m\.csv, row 3: the path is empty",
    ),
    "after a blank line": (
        lambda d: csv_file(d, "path,label\na.wav,real\n\nb.wav,synthetic\n"),
        "bad_label",
        "row 4: label 'synthetic'",
    ),
    "latin-1": (
        lambda d: csv_file(d, "path,label\nü.wav,real\n", encoding="latin-1"),
        "bad_manifest",
        r"m\.csv: not a CSV file in UTF-8: row 2: .*utf-8.*; save it as CSV UTF-8",
    ),
    "utf-16, cut": (
        lambda d: csv_file(d, "path,label\na.wav,real\n\0", encoding="utf-16-le"),
        "bad_label",
        "row 3: label '-'",
    ),
    "a huge field": (
        lambda d: csv_file(d, "path,label\n" + "a" * 200_000 + ",real\n"),
        "bad_manifest",
        "not a CSV file in UTF-8: field larger than field limit",
    ),
    "no rows": (lambda d: csv_file(d, "path,label\n"), "no_rows", r"m\.csv: holds no recording"),
    "parquet of text": (
        lambda d: csv_file(d, "path,label\na.wav,real\n", "m.parquet"),
        "bad_manifest",
        r"m\.parquet: not a Parquet file: ",
    ),
    "parquet, truncated": (truncated_parquet, "bad_manifest", "not a Parquet file: "),
    "parquet, bent": (bent_parquet, "bad_manifest", "not a Parquet file: "),
    "parquet, no label": (
        lambda d: parquet_file(d, {"path": ["a"], "speaker": ["s"]}),
        "missing_column",
        r"m\.parquet, row 1: column 'label' is missing; seen are path, speaker; needed are path",
    ),
    "parquet, unknown label": (
        lambda d: parquet_file(d, {"path": ["a", "b"], "label": ["real", "unreal"]}),
        "bad_label",
        r"m\.parquet, row 3: label 'unreal' is not known; must be one of bonafide",
    ),
    "parquet, null path": (
        lambda d: parquet_file(d, {"path": ["a", None], "label": ["real", "fake"]}),
        "bad_row",
        "row 3: the path is empty",
    ),
    "empty folder": (
        lambda d: d,
        "bad_folder",
        rf"no subfolder names a class, one of {LABEL_WORDS}",
    ),
    "folder of other folders": (
        lambda d: touch(d, "train/real/a.wav", "notes/x.wav"),
        "bad_folder",
        "no subfolder names a class",
    ),
    "class is a file": (lambda d: touch(d, "real"), "bad_folder", "no subfolder names a class"),
    "folder without recordings": (
        lambda d: touch(d, "real/readme.txt", "fake/list.csv"),
        "no_rows",
        "holds no recording",
    ),
}


@pytest.mark.parametrize(("make", "code", "message"), ERRORS.values(), ids=ERRORS)
def test_errors(make: Callable[[Path], Path], code: str, message: str, tmp_path: Path) -> None:
    path = make(tmp_path)
    with pytest.raises(CorpusError, match=message) as error:
        read_corpus(path)
    assert error.value.code == code
    assert str(path) in error.value.message


@pytest.mark.parametrize(
    ("name", "corpus_format", "code"),
    [
        ("missing.csv", "manifest", "no_corpus"),
        ("missing", "folder", "no_corpus"),
        ("m.csv", "folder", "no_corpus"),
        ("inner", "manifest", "no_corpus"),
    ],
)
def test_a_format_that_does_not_fit_is_a_corpus_error(
    name: str, corpus_format: str, code: str, tmp_path: Path
) -> None:
    csv_file(tmp_path, "path,label\na.wav,real\n")
    (tmp_path / "inner").mkdir()
    with pytest.raises(CorpusError, match=name) as error:
        read_corpus(tmp_path / name, corpus_format)
    assert error.value.code == code


def test_an_unknown_format_lists_the_known(tmp_path: Path) -> None:
    message = "corpus format 'mlaad2': must be one of manifest, folder"
    with pytest.raises(CorpusError, match=message) as error:
        read_corpus(touch(tmp_path, "real/a.wav"), "mlaad2")
    assert error.value.code == "unknown_format"


# --- folders --------------------------------------------------------------------------------------


def test_a_folder_of_classes(tmp_path: Path) -> None:
    root = touch(
        tmp_path / "mine",
        *("real/ann/2.wav", "real/ann/deep/1.FLAC", "real/z.mp3"),
        *("fake/VITS/b.m4a", "fake/c.opus", "fake/notes.txt", "other/d.wav", "e.wav"),
    )
    corpus = read_corpus(root)
    assert corpus.root == root
    assert corpus.rows == [
        Row("fake/VITS/b.m4a", "spoof", system="VITS", corpus="mine"),
        Row("fake/c.opus", "spoof", corpus="mine"),
        Row("real/ann/2.wav", "bonafide", speaker="ann", corpus="mine"),
        Row("real/ann/deep/1.FLAC", "bonafide", speaker="ann", corpus="mine"),
        Row("real/z.mp3", "bonafide", corpus="mine"),
    ]
    assert all(corpus.audio_path(row).is_file() for row in corpus)


@pytest.mark.parametrize("name", [*BONAFIDE, *SPOOF, "REAL", "Deepfake", "Bona-Fide", "Deep_Fake"])
def test_folder_synonyms(name: str, tmp_path: Path) -> None:
    (row,) = read_folder(touch(tmp_path, f"{name}/a.wav"))
    assert row.path == f"{name}/a.wav"
    assert row.label == ("bonafide" if name.lower() in BONAFIDE else "spoof")


@pytest.mark.parametrize(
    ("name", "language", "system"),
    [
        ("fake/de/vits/a.wav", "de", "vits"),
        ("fake/zh-CN/tts_models_zh/sub/a.wav", "zh-CN", "tts_models_zh"),
        ("fake/en/a.wav", "en", "-"),
        ("fake/none/a.wav", "-", "-"),
        ("fake/vits/a.wav", "-", "vits"),
        ("fake/xtts/de/a.wav", "-", "xtts"),
    ],
)
def test_a_level_of_languages(name: str, language: str, system: str, tmp_path: Path) -> None:
    (row,) = read_folder(touch(tmp_path, name))
    assert (row.language, row.system) == (language, system)


def test_mlaad(tmp_path: Path) -> None:
    """Its lists in the models' folders tell a language without a code of two letters."""
    for model in ("de/vits", "en/bark", "fil/xtts_v2"):
        touch(tmp_path, f"fake/{model}/1.wav", f"fake/{model}/meta.csv", "real/en/ann/1.wav")
    fakes = [row for row in read_corpus(tmp_path) if row.label == "spoof"]
    assert [(row.language, row.system) for row in fakes] == [
        ("de", "vits"),
        ("en", "bark"),
        ("fil", "xtts_v2"),
    ]
    (real,) = (row for row in read_corpus(tmp_path) if row.label == "bonafide")
    assert (real.language, real.speaker) == ("en", "ann")


def test_initials_are_no_languages(tmp_path: Path) -> None:
    corpus = read_folder(touch(tmp_path, "real/de/1.wav", "real/jm/1.wav", "real/ab/1.wav"))
    assert [row.speaker for row in corpus] == ["ab", "de", "jm"]
    assert set(corpus.column("language").tolist()) == {"-"}


def test_several_folders_of_one_class(tmp_path: Path) -> None:
    corpus = read_folder(touch(tmp_path, "real/a.wav", "human/a.wav", "spoof/a.wav", "fake/a.wav"))
    assert describe(corpus)["bonafide"] == describe(corpus)["spoof"] == 2


def test_a_folder_named_like_a_recording_is_none(tmp_path: Path) -> None:
    corpus = read_folder(touch(tmp_path, "real/ann.wav/1.wav", "fake/a.wav"))
    assert [row.path for row in corpus] == ["fake/a.wav", "real/ann.wav/1.wav"]


def test_a_folder_and_its_manifest(tmp_path: Path) -> None:
    """A manifest wins, unless the format is given."""
    touch(tmp_path, "real/a.wav", "fake/b.wav")
    csv_file(tmp_path, "path,label\nreal/a.wav,real\n", "manifest.csv")
    assert [row.path for row in read_corpus(tmp_path)] == ["real/a.wav"]
    assert [row.path for row in read_corpus(tmp_path, "folder")] == ["fake/b.wav", "real/a.wav"]


def test_recognition(tmp_path: Path) -> None:
    assert recognise(csv_file(tmp_path, "")) == "manifest"
    assert recognise(csv_file(tmp_path, "", "M.CSV")) == "manifest"
    assert recognise(csv_file(tmp_path, "", "m.parquet")) == "manifest"
    assert recognise(tmp_path) == "folder"
    (tmp_path / "folder.csv").mkdir()
    assert recognise(tmp_path / "folder.csv") == "folder"


# --- rows, and several corpora as one -------------------------------------------------------------


def test_join_keeps_rows_and_finds_their_files(tmp_path: Path) -> None:
    one = read_folder(touch(tmp_path / "one", "real/a.wav"))
    touch(tmp_path / "two", "x/b.wav")
    two = read_manifest(
        csv_file(tmp_path / "two", "path,label,source\nx/b.wav,fake,web\nx/b.wav,fake,\n")
    )
    both = join([one, two])
    assert [row.label for row in both] == ["bonafide", "spoof", "spoof"]
    assert [row.source for row in both] == ["one", "web", "two"]
    assert [both.audio_path(row) for row in both] == [
        (tmp_path / "one/real/a.wav").resolve(),
        *[(tmp_path / "two/x/b.wav").resolve()] * 2,
    ]
    assert one.rows[0].source == "-"  # the parts stay as they were


def test_join_of_none_is_refused() -> None:
    with pytest.raises(CorpusError, match="no corpus is named") as error:
        join([])
    assert error.value.code == "no_corpus"


def test_join_of_one_is_itself(tmp_path: Path) -> None:
    corpus = read_folder(touch(tmp_path, "real/a.wav"))
    assert join([corpus]) is corpus


def test_joined_relative_corpora_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "a/real/1.wav", "b/fake/1.wav")
    both = join([read_corpus(Path("a")), read_corpus(Path("b"))])
    monkeypatch.chdir("/")
    assert all(both.audio_path(row).is_file() for row in both)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["spoof"] * 3, "mine: rows 2 to 4 are all spoof; at least one bonafide is needed"),
        (["bonafide"], "mine: rows 2 to 2 are all bonafide; at least one spoof is needed"),
    ],
)
def test_one_class_teaches_nothing(labels: list[str], message: str) -> None:
    corpus = Corpus(Path(), [Row("a.wav", label) for label in labels])
    with pytest.raises(CorpusError, match=message) as error:
        require_both_labels(corpus, "mine")
    assert error.value.code == "one_class"


def test_both_classes_are_enough() -> None:
    require_both_labels(Corpus(Path(), [Row("a", "spoof"), Row("b", "bonafide")]), "mine")


def test_views_of_a_corpus() -> None:
    corpus = Corpus(Path("r"), [FULL, Row("x.wav", "bonafide"), replace(FULL, path="c")])
    assert len(corpus) == 3 and list(corpus) == list(corpus.rows)
    assert corpus.column("path").tolist() == ["a/b.flac", "x.wav", "c"]
    assert corpus.is_spoof.tolist() == [True, False, True]
    assert corpus.take(np.array([2, 0])).rows == [corpus.rows[2], corpus.rows[0]]
    assert corpus.take([1]).root == Path("r")
    assert corpus.audio_path(Row("/abs/x.wav", "spoof")) == Path("/abs/x.wav")
    assert describe(corpus) == {
        "rows": 3,
        "bonafide": 1,
        "spoof": 2,
        "sources": 1,
        "speakers": 1,
        "generators": 1,
    }


@pytest.mark.parametrize("name", COLUMNS)
def test_the_hash_sees_every_column(name: str) -> None:
    changed = replace(FULL, **{name: "bonafide" if name == "label" else "other"})
    one, other = Corpus(Path(), [FULL]), Corpus(Path(), [changed])
    assert one.sha256 != other.sha256
    assert one.sha256 == Corpus(Path("elsewhere"), [FULL]).sha256


def test_the_hash_sees_the_order() -> None:
    rows = [FULL, replace(FULL, path="c")]
    assert Corpus(Path(), rows).sha256 != Corpus(Path(), rows[::-1]).sha256


def test_the_real_manifest_round_trips(corpus_folder: Path, tmp_path: Path) -> None:
    corpus = read_corpus(corpus_folder)
    again = read_corpus(csv_file(tmp_path, corpus.to_csv()))
    assert list(again) == list(corpus) and again.sha256 == corpus.sha256


texts = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=12
).filter(lambda text: text == text.strip())
rows = st.builds(
    Row,
    path=texts.filter(lambda text: read_value(text) != "-" and "\\" not in text),
    label=st.sampled_from(("bonafide", "spoof")),
    speaker=texts.map(read_value),
    text_id=texts.map(read_value),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(rows, min_size=1, max_size=4))
def test_to_csv_round_trips(tmp_path_factory: pytest.TempPathFactory, some: list[Row]) -> None:
    path = csv_file(tmp_path_factory.getbasetemp(), Corpus(Path(), some).to_csv(), "round.csv")
    assert list(read_corpus(path)) == some


def test_a_carriage_return_round_trips(tmp_path: Path) -> None:
    row = Row("a.wav", "spoof", text_id="one\rtwo")
    assert list(read_corpus(csv_file(tmp_path, Corpus(Path(), [row]).to_csv()))) == [row]
