"""Train a detector on a corpus of your own, without an orchestrator, and print how good it is.

    python examples/train_on_your_corpus.py CORPUS CONFIG.yaml

The corpus is a manifest or a folder with real/ and fake/ in it. Needs the extra ``train``.
"""

import sys
from pathlib import Path

from bonafide import read_config, read_corpus, train


def main(corpus: Path, config: Path) -> None:
    """Train, and print the bundle with its EER on sources never heard in training."""
    bundle = train(read_config(config), read_corpus(corpus))
    eer = bundle.manifest["metrics"]["eer"]
    print(f"{bundle.folder}\nbase models: {', '.join(bundle.models)}")
    print(f"EER {eer['value']:.1%} [{eer['low']:.1%}, {eer['high']:.1%}]")


if __name__ == "__main__":  # recordings are decoded in processes that import this file
    main(Path(sys.argv[1]), Path(sys.argv[2]))
