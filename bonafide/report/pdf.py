"""A report on paper: the same page, printed."""

import hashlib
from collections.abc import Callable

from bonafide.errors import ConfigError, missing_extra

PANGO = "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"  # of Debian


def printer() -> Callable[[str], bytes]:
    """Return what prints reports, or fail before the work for one starts.

    Returns
    -------
    callable
        Makes a report, as `bonafide.report.render` returns it, a tagged PDF on A4: the same bytes
        for the same page, by the same fonts and versions. It loads nothing.

    Raises
    ------
    ConfigError
        ``not_installed`` without WeasyPrint (extra ``report``), or without Pango, which the system
        brings.
    """
    try:
        from weasyprint import HTML
        from weasyprint.urls import URLFetcher
    except ModuleNotFoundError as error:
        missing = missing_extra(error.name, "report")
        raise missing from error
    except OSError as error:  # it looks for Pango while it is imported
        message = f"Pango is missing: apt-get install {PANGO}, or what your system calls them"
        raise ConfigError("not_installed", message) from error

    def to_pdf(html: str) -> bytes:
        page = HTML(string=html, url_fetcher=URLFetcher(allowed_protocols=["data"]))
        identifier = hashlib.sha256(html.encode()).digest()[:16]
        printed: bytes = page.write_pdf(pdf_tags=True, pdf_identifier=identifier)
        return printed

    return to_pdf
