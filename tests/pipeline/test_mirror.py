"""ZenML's Model Control Plane says what the registry says: in a store of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY

SCRIPT = """
import json, sys
from pathlib import Path
from zenml.client import Client
from bonafide.registry import Registry
from pipelines.store import prepare_store
from steps import mirror as mirroring
from steps.mirror import mirror
from tests.unit.test_bundle import make

folder = Path(sys.argv[1])
registry = Registry(folder / "home")
prepare_store()
Client().create_model("mine", save_models_to_registry=False)
Client().create_model_version("mine", name="of an earlier version")
Client().update_model_version("mine", "of an earlier version", stage="production", force=True)
kept = [
    registry.versions.keep(make(folder / salt, salt, name="mine"), {}, "card") for salt in "abcd"
]
said = []

def look():
    mirror(registry)
    found = Client().list_model_versions(model_name_or_id="mine").items
    said.append({each.name: str(each.stage or "none") for each in found})

look()
recorded = mirroring._recorded
stale = iter([{}])  # as another home sees it that was slower
mirroring._recorded = lambda name: next(stale, None) or recorded(name)
look()
mirroring._recorded = recorded
for bundle in kept[:2]:
    registry.promote(bundle, override="a test")
look()
registry.rollback()
look()
look()
print(json.dumps(said))
"""


def test_versions_and_stages_are_the_registrys(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path],
        cwd=REPOSITORY,
        env={**os.environ, "ZENML_CONFIG_PATH": str(tmp_path / "zenml")},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    earlier = [each.pop("of an earlier version") for each in said]
    names = [f"mine:{number}" for number in range(1, 5)]
    stages = [
        ["none", "none", "none", "staging"],
        ["none", "none", "none", "staging"],
        ["archived", "production", "none", "staging"],
        ["production", "archived", "none", "staging"],
        ["production", "archived", "none", "staging"],
    ]
    assert said == [dict(zip(names, each, strict=True)) for each in stages]
    assert earlier == ["archived"] * 5
