"""The documentation: it builds offline, its links hold, and the citation is one."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

import bonafide
from bonafide.bundle import read_bundle
from bonafide.evaluation.evaluate import percent
from bonafide.evaluation.metrics import Interval
from bonafide.home import SHIPPED
from research.shipped import table

REPOSITORY = Path(__file__).resolve().parents[2]
BROKEN = {
    "link": ("[gone](gone.md)", "'gone.md'"),
    "anchor": ("[gone](metrics.md#gone)", "'metrics.md#gone'"),
    "root": ("[gone](../GONE.md)", "GONE.md"),
    "elsewhere": ('<img src="https://example.org/pixel.png">', "loads from elsewhere"),
}


def build(folder: Path, site: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", site]
    settings = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(REPOSITORY, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_there(site: Path) -> None:
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    named = ("index", "train", "score", "contributing", "changes", "decisions/index")
    assert {f"{name}.html" for name in named} < pages
    assert 'id="bonafide.detector.Detector.score"' in (site / "api/bonafide.html").read_text()


def test_what_pages_point_at_is_there(site: Path) -> None:
    """Pictures written as HTML too, which MkDocs does not look at."""
    missing = []
    for page in site.rglob("*.html"):
        for target in re.findall(r"""(?:src|href)=["']?([^"'\s>]+)""", page.read_text()):
            parts = urlsplit(target)
            local = page.name != "404.html" and not parts.scheme and parts.path
            if local and not (page.parent / unquote(parts.path)).exists():
                missing.append(f"{page.name}: {target}")
    assert missing == []


def test_links_hold_on_a_forge() -> None:
    """Where documents are read as files, without the site."""
    pages = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]
    missing = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"""(?:\]\(|src=")([^)#:"\s]+)[)#"]""", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert missing == []


def little_site(folder: Path, text: str) -> "subprocess.CompletedProcess[str]":
    """Build a site of this repository's settings and hook, with one page beside two others."""
    (folder / "docs").mkdir()
    for name in ("hooks.py", "metrics.md"):
        shutil.copy(REPOSITORY / "docs" / name, folder / "docs")
    for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "LICENSE"):
        (folder / name).write_text(f"# {name}\n")
    settings = (REPOSITORY / "mkdocs.yml").read_text()
    (folder / "mkdocs.yml").write_text(settings.partition("nav:")[0])
    (folder / "docs" / "page.md").write_text(text)
    return build(folder, folder / "site")


def test_links_hold_in_the_repository_and_here(tmp_path: Path) -> None:
    done = little_site(tmp_path, "[a](../LICENSE) [b](../CHANGELOG.md) [c](metrics.md#metrics)\n")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site" / "page.html").read_text()
    for target in ("LICENSE", "changes.html", "metrics.html#metrics"):
        assert f'href="{target}"' in page


@pytest.mark.parametrize(("text", "said"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_fails(text: str, said: str, tmp_path: Path) -> None:
    done = little_site(tmp_path, text)
    assert done.returncode != 0 and said in done.stdout + done.stderr


def test_citation_has_what_the_format_requires() -> None:
    """The keys that CFF 1.2.0 requires (https://citation-file-format.github.io)."""
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["message"] and citation["title"] and citation["authors"]
    assert all("name" in author for author in citation["authors"])  # entities, no people
    assert citation["version"] == bonafide.__version__
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert citation["license"] == project["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE"]
    assert "Apache License" in (REPOSITORY / "LICENSE").read_text()


def test_the_readme_has_the_numbers_of_the_shipped_bundles() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert table() in readme
    manifest = read_bundle(SHIPPED).manifest
    assert f"recordings is {percent(Interval(**manifest['metrics']['eer']))}" in readme
