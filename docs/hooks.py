"""MkDocs hook: pages from the repository's root, links that hold there too, and the API reference.

Documents link to each other by their paths in the repository, so that a forge shows them as they
are. Here those paths become the site's. The API reference has one page for each package.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
AT_ROOT = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changes.md",
    "LICENSE": "LICENSE",
}
PACKAGES = ("bonafide", "serving")
WITHOUT_HEADING = "    options: {show_root_heading: false}"
NOT_PUBLIC = "bonafide.cli"
TARGET = re.compile(r"""(\]\(|src=")([^)#:"\s]+)(?=[)#"])""")
ELSEWHERE = re.compile(r"""<(?!a\b)\w+[^>]*\s(?:src|href|srcset)=["']?(?:https?:)?//[^>]*>""")


def api_pages() -> dict[str, str]:
    """Return the Markdown of each page of the API reference: a package's public modules."""
    pages = {}
    folders = (path.parent for name in PACKAGES for path in (ROOT / name).rglob("__init__.py"))
    for folder in sorted(folders):
        name = ".".join(folder.relative_to(ROOT).parts)
        if name != NOT_PUBLIC:
            files = sorted(path for path in folder.glob("*.py") if path.stem[0] != "_")
            blocks = [f"# `{name}`", f"::: {name}\n{WITHOUT_HEADING}"]
            blocks += [f"::: {name}.{path.stem}" for path in files]
            pages[f"api/{name}.md"] = "\n\n".join(blocks)
    return pages


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the pages of the API reference in the navigation."""
    for entry in config.nav or []:
        if "API" in entry:
            entry["API"] = list(api_pages())
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what does not lie in the folder of documents."""
    for name, uri in AT_ROOT.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / name)))
    for uri, text in api_pages().items():
        files.append(File.generated(config, uri, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn paths in the repository into paths on the site."""
    here = page.file.src_uri
    at_root = {uri: name for name, uri in AT_ROOT.items()}
    folder = posixpath.dirname(at_root.get(here, f"docs/{here}"))

    def on_site(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, match[2]))
        uri = AT_ROOT.get(path, path.removeprefix("docs/"))
        return match[1] + posixpath.relpath(uri, posixpath.dirname(here) or ".")

    return TARGET.sub(on_site, markdown)


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> None:
    """Refuse a page that loads something from elsewhere: documents are read offline too."""
    if found := ELSEWHERE.search(output):
        raise PluginError(f"{page.file.src_uri} loads from elsewhere: {found[0]}")
