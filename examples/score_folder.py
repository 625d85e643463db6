"""Score every recording below a folder, and print the most suspicious first.

python examples/score_folder.py FOLDER
"""

import sys
from pathlib import Path

from bonafide import BonafideError, Detector


def main(folder: Path) -> None:
    """Score with the detector in production, or else the one that ships with the package."""
    detector, found = Detector(), []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            found.append((detector.score(path), path))
        except BonafideError as error:
            print(f"{'-':>6}  {error.code:<13} {path.name}")
    for detection, path in sorted(found, key=lambda item: -item[0].p_spoof):
        print(f"{detection.p_spoof:>6.1%}  {detection.verdict:<13} {path.name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
