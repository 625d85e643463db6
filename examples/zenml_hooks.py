"""Hooks for ZenML's YAML (`zenml.yaml` beside this file): tell somebody how a run ended.

Each sends one line of JSON to the URL in BONAFIDE_TELL, such as that of a chat's webhook.
"""

import json
import os
import urllib.request


def tell_success() -> None:
    """Say that a run, or a step, came to its end."""
    _tell({"status": "done"})


def tell_failure(error: BaseException) -> None:
    """Say what a run, or a step, failed with."""
    _tell({"status": "failed", "error": f"{type(error).__name__}: {error}"})


def _tell(said: dict[str, str]) -> None:
    body = json.dumps({"text": json.dumps(said)}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(os.environ["BONAFIDE_TELL"], body, headers)  # noqa: S310
    urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
