"""A Bento with a bundle inside, for BentoML to deploy, built from the installed packages.

    python -m serving.bento [--bundle DIR]

Prints its tag; `bentoml serve TAG` serves it, `bentoml containerize TAG` makes an image of it.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import bentoml

import bonafide
from bonafide.bundle import Bundle
from bonafide.home import SHIPPED, SHIPPED_ROOT, home
from bonafide.registry import find_bundle

PACKAGES = ("bonafide", "serving")
ROOT = Path(bonafide.__file__).resolve().parent.parent
REQUIREMENTS = "requirements-serving.lock"


def build(bundle: Bundle) -> str:
    """Build a Bento that serves a bundle.

    Parameters
    ----------
    bundle : Bundle
        Takes the place of the bundle that ships with the project.

    Returns
    -------
    str
        The Bento's tag, ``name:version``.
    """
    with tempfile.TemporaryDirectory() as name:
        context = Path(name)
        ignored = shutil.ignore_patterns("__pycache__", SHIPPED_ROOT.name, "training", "export")
        for package in PACKAGES:
            shutil.copytree(ROOT / package, context / package, ignore=ignored)
        shutil.copytree(bundle.folder, context / SHIPPED.relative_to(ROOT))
        shutil.copy2(ROOT / REQUIREMENTS, context)
        bento = bentoml.build(
            "serving.service:Bonafide",
            name="bonafide",
            labels={"bundle": bundle.identity["name"], "version": bundle.identity["version"]},
            include=[f"{package}/**" for package in PACKAGES],
            python={"requirements_txt": REQUIREMENTS, "lock_packages": False},
            build_ctx=str(context),
        )
    return str(bento.tag)


def main() -> None:
    """Build and print the tag."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="default: the one in production")
    tag = build(find_bundle(home(), parser.parse_args().bundle))
    sys.stdout.write(tag + "\n")


if __name__ == "__main__":
    main()
