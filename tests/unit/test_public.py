"""The names that `import bonafide` gives."""

import subprocess
import sys

import numpy as np

import bonafide


def test_the_public_names_are_there_and_cost_nothing_before_they_are_used() -> None:
    script = (
        "import sys, bonafide; before = set(sys.modules)\n"
        "assert 'numpy' not in before and 'bonafide.detector' not in before\n"
        "heavy = {'tensorflow', 'zenml', 'xgboost', 'sklearn', 'librosa', 'onnx'}\n"
        "for name in bonafide.__all__:\n"
        "    if name not in ('train', 'adapt'): getattr(bonafide, name)\n"
        "print(heavy & set(sys.modules))\n"
        "both = callable(bonafide.train) and callable(bonafide.adapt)\n"
        "print(both, {'tensorflow', 'zenml'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "set()\nTrue set()\n", done.stderr
    assert set(bonafide.__all__) <= set(dir(bonafide))
    silence = bonafide.Detector().score(np.zeros(16_000, np.float32))
    assert isinstance(silence, bonafide.Detection)
