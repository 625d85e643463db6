"""A corpus format is added by one file: registered by hand, or found in another package."""

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from bonafide.corpora import READERS, Rank, Reader, Row, read_corpus, recognise
from bonafide.errors import BonafideError, ConfigError, CorpusError
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.training.ingest import ingest
from tests.extension import in_the_wild

READER = in_the_wild.READER
NAME = READER.name
SOURCE = Path(in_the_wild.__file__).read_text(encoding="utf-8")
BUILT_IN = ("manifest", "folder")
Install = Callable[..., None]
Register = Callable[[Reader], None]
ROWS = [
    Row("0.wav", "spoof", speaker="Alec Guinness", corpus="In-the-Wild"),
    Row("1.wav", "bonafide", speaker="Alec Guinness", corpus="In-the-Wild"),
    Row("2.wav", "bonafide", speaker="Ayn Rand", corpus="In-the-Wild"),
]
META = "file,speaker,label\n0.wav,Alec Guinness,spoof\n1.wav,Alec Guinness,bona-fide\n"
META += "2.wav,Ayn Rand,bona-fide\n"


@pytest.fixture
def register() -> Iterator[Register]:
    """Register readers, and take them out again."""
    names = []

    def put(reader: Reader) -> None:
        READERS.register(reader)
        names.append(reader.name)

    yield put
    for name in names:
        READERS.unregister(name)


@pytest.fixture
def registered(register: Register) -> None:
    register(READER)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The corpus as it is published, with its files named but empty."""
    root = tmp_path / "release_in_the_wild"
    root.mkdir()
    (root / "meta.csv").write_text(META, encoding="utf-8")
    for row in ROWS:
        (root / row.path).touch()
    return root


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Lay out an installed package: its module, and the metadata that pip writes beside it."""
    site = tmp_path / "site"
    modules, names = [], []

    def put(source: str, entry: str = f"{NAME} = wild:READER", package: str = "wild") -> None:
        metadata = site / f"{package}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (site / f"{package}.py").write_text(source, encoding="utf-8")
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
        (metadata / "entry_points.txt").write_text(f"[bonafide.readers]\n{entry}\n")
        monkeypatch.syspath_prepend(site)
        modules.append(package)
        names.append(entry.partition(" ")[0])

    yield put
    for package, name in zip(modules, names, strict=True):
        sys.modules.pop(package, None)
        if name not in BUILT_IN:
            READERS.unregister(name)


# --- registered by hand ---------------------------------------------------------------------------


@pytest.mark.usefixtures("registered")
def test_a_registered_reader_recognises_its_corpus(folder: Path) -> None:
    assert recognise(folder) == NAME
    corpus = read_corpus(folder)
    assert corpus.root == folder and corpus.rows == ROWS
    assert read_corpus(folder, NAME) == corpus


@pytest.mark.usefixtures("registered")
def test_its_corpus_is_ingested(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for row in ROWS:
        noise = 0.1 * rng.normal(size=2 * SAMPLE_RATE_HZ)
        sf.write(folder / row.path, noise, SAMPLE_RATE_HZ)
    recordings, quarantine = ingest(read_corpus(folder), workers=1)
    assert recordings.corpus.rows == ROWS and quarantine.counts() == {}
    assert len(set(recordings.sha256)) == len(ROWS)


def test_it_is_gone_again_afterwards(folder: Path) -> None:
    assert READERS.names() == BUILT_IN and READERS.find(NAME) is None
    assert recognise(folder) == "folder"
    with pytest.raises(CorpusError, match=r"must be one of manifest, folder$"):
        read_corpus(folder, NAME)


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ConfigError, match=r"folder: bonafide\.readers has a part of") as error:
        READERS.register(replace(READER, name="folder"))
    assert error.value.code == "bad_plugin"


# --- the most specific reader wins ----------------------------------------------------------------


@pytest.mark.usefixtures("registered")
def test_a_manifest_in_the_folder_wins(folder: Path) -> None:
    (folder / "manifest.csv").write_text("path,label\n0.wav,fake\n", encoding="utf-8")
    assert read_corpus(folder).rows == [Row("0.wav", "spoof")]
    assert read_corpus(folder, NAME).rows == ROWS


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("rank", [Rank.SHAPE, Rank.FORMAT])
def test_the_higher_rank_reads(rank: Rank, folder: Path, register: Register) -> None:
    register(replace(READER, name="other", rank=rank))
    assert recognise(folder) == NAME


@pytest.mark.usefixtures("registered")
def test_two_of_one_rank_are_not_guessed_between(folder: Path, register: Register) -> None:
    register(replace(READER, name="other"))
    with pytest.raises(CorpusError, match="fits the corpus formats in_the_wild, other") as error:
        read_corpus(folder)
    assert read_corpus(folder, "other").rows == ROWS
    assert error.value.code == "ambiguous_format"


# --- found in another package ---------------------------------------------------------------------


def test_an_installed_reader_is_found(folder: Path, install: Install) -> None:
    install(SOURCE)
    assert READERS.names() == (*BUILT_IN, NAME)
    assert "wild" not in sys.modules  # a name is known before its module is imported
    assert recognise(folder) == NAME
    assert read_corpus(folder).rows == ROWS
    with pytest.raises(CorpusError, match=f"must be one of manifest, folder, {NAME}$"):
        read_corpus(folder, "mlaad2")


def test_what_no_reader_knows_lists_the_installed_ones(tmp_path: Path, install: Install) -> None:
    install(SOURCE)
    (tmp_path / "m.txt").touch()
    with pytest.raises(CorpusError, match=f"for each class or {READER.layout}$") as error:
        read_corpus(tmp_path / "m.txt")
    assert error.value.code == "unknown_format"


@pytest.mark.parametrize(
    ("source", "entry", "message"),
    [
        (
            "import nowhere_to_be_found",
            f"{NAME} = wild:READER",
            "cannot be imported: ModuleNotFoundError.*fix",
        ),
        ("1 / 0", f"{NAME} = wild:READER", "cannot be imported: ZeroDivisionError"),
        ("def (", f"{NAME} = wild:READER", "cannot be imported: SyntaxError"),
        (SOURCE, f"{NAME} = wild:WRITER", "cannot be imported: AttributeError"),
        (SOURCE, f"{NAME} = wild:read", "is <function read .*; must be a Reader called"),
        (SOURCE, "wild = wild:READER", "is Reader.*; must be a Reader called 'wild'"),
        (SOURCE, "folder = wild:READER", "the name is taken"),
    ],
    ids=["no library", "raises", "no Python", "no name", "no reader", "other name", "taken"],
)
def test_a_broken_plugin_is_named(
    source: str, entry: str, message: str, folder: Path, install: Install
) -> None:
    install(source, entry)
    where = rf"entry point {entry} of bonafide\.readers: "
    with pytest.raises(ConfigError, match=where + message) as e:
        read_corpus(folder)
    assert e.value.code == "bad_plugin"
    (folder / "real").mkdir()
    (folder / "real" / "a.wav").touch()
    assert len(read_corpus(folder, "folder")) == 1  # who names a format does not need the others


def test_two_packages_cannot_share_a_name(folder: Path, install: Install) -> None:
    install(SOURCE)
    install(SOURCE, f"{NAME} = wilder:READER", "wilder")
    with pytest.raises(
        ConfigError, match=r"entry point in_the_wild = wild\w*:READER of .*: the name is taken"
    ):
        recognise(folder)


# --- a reader that breaks -------------------------------------------------------------------------


def breaks(_: Path) -> bool:
    raise ValueError("what a bug says")


@pytest.mark.parametrize("function", ["sniff", "read"])
def test_a_reader_that_breaks_is_named(function: str, folder: Path, register: Register) -> None:
    register(replace(READER, **{function: breaks}))
    with pytest.raises(BonafideError, match="the reader 'in_the_wild' failed: ValueError") as e:
        read_corpus(folder)
    assert e.value.code == "reader_failed"


def test_a_reader_s_own_errors_pass(folder: Path, register: Register) -> None:
    (folder / "meta.csv").write_text("file,speaker,label\n0.wav,ann,dubious\n", encoding="utf-8")
    register(READER)
    with pytest.raises(CorpusError, match=r"meta\.csv, row 2: label 'dubious'") as e:
        read_corpus(folder)
    assert e.value.code == "bad_label"


# --- the example of the documentation -------------------------------------------------------------


def test_the_documented_reader_works(tmp_path: Path, install: Install) -> None:
    page = (Path(__file__).parents[2] / "docs" / "corpora.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    install(code, "ljspeech = wild:READER")
    (tmp_path / "wavs").mkdir()
    (tmp_path / "metadata.csv").write_text("LJ001-0001|Printing|Printing\nLJ001-0002|in|in\n")
    assert read_corpus(tmp_path).rows == [
        Row("wavs/LJ001-0001.wav", "bonafide", speaker="LJ"),
        Row("wavs/LJ001-0002.wav", "bonafide", speaker="LJ"),
    ]
