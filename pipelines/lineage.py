"""Lineage: where bundles came from and what was made of corpora, from ZenML's own records."""

from pathlib import Path
from typing import Any

from zenml.client import Client
from zenml.models import ArtifactVersionResponse, PipelineRunResponse

from bonafide.corpora import read_corpus
from bonafide.errors import BundleError
from bonafide.home import home
from bonafide.registry import find_bundle
from bonafide.training.ingest import ingest
from pipelines.store import prepare_store

Tree = dict[str, Any]
Facts = dict[str, Any]


def _facts(artifact: ArtifactVersionResponse) -> Facts:
    return dict(artifact.run_metadata)


def _bundles() -> list[ArtifactVersionResponse]:
    """Return the bundle artifacts, newest first, each bundle once: as of its latest run."""
    prepare_store()
    page = Client().list_artifact_versions(
        artifact="bundle", sort_by="desc:created", size=1000, hydrate=True
    )
    newest: dict[tuple[str, str], ArtifactVersionResponse] = {}
    for artifact in page.items:
        facts = _facts(artifact)
        newest.setdefault((facts["name"], facts["version"]), artifact)
    return list(newest.values())


def _find(model: str | None) -> ArtifactVersionResponse:
    """Find the record of a bundle that is named as everywhere; of the newest by default."""
    wanted = find_bundle(home(), model).identity if model else None
    for artifact in _bundles():
        facts = _facts(artifact)
        if wanted is None or all(facts[key] == wanted[key] for key in wanted):
            return artifact
    where = "ZenML's store that is active here"
    raise BundleError("no_record", f"{model or 'bundles'}: made by no run in {where}")


def _artifact_node(name: str, artifact: ArtifactVersionResponse) -> Tree:
    facts = _facts(artifact)
    keys = ("rows_sha256", "rows", "version", "sha256")
    return {
        "name": f"artifact {name}",
        "facts": {"id": str(artifact.id), **{key: facts[key] for key in keys if key in facts}},
    }


def _step_nodes(run: PipelineRunResponse) -> list[Tree]:
    """Return each step with its outputs and their hashes, in the order in which they ran."""
    ordered = sorted(run.steps.values(), key=lambda step: (step.start_time, step.name))
    return [
        {
            "name": f"step {step.name}",
            "facts": {"status": str(step.status.value)},
            "children": [
                _artifact_node(name, artifact)
                for name, artifacts in step.outputs.items()
                for artifact in artifacts
            ],
        }
        for step in ordered
    ]


def _adapted_lineage(manifest: Facts) -> Tree:
    parent, adaptation = manifest["parent"], manifest["adaptation"]
    clips = {"rows": sum(adaptation["clips"].values()), "rows_sha256": adaptation["rows_sha256"]}
    return {
        "name": f"bundle {manifest['name']}:{manifest['version']}",
        "facts": {"sha256": manifest["sha256"], "created": manifest["created"]},
        "children": [
            {"name": "own clips", "facts": clips},
            {"name": "code", "facts": manifest["code"]},
            {
                "name": f"adapted from bundle {parent['name']}:{parent['version']}",
                "facts": {"sha256": parent["sha256"]},
            },
        ],
    }


def model_lineage(model: str | None) -> Tree:
    """Return the tree from a bundle back to its run, steps, artifacts, corpus, config and code.

    An adapted bundle goes back to the bundle that it was made from, and to the clips.
    """
    if model and "parent" in (manifest := find_bundle(home(), model).manifest):
        return _adapted_lineage(manifest)
    artifact = _find(model)
    facts = _facts(artifact)
    run = artifact.run
    manifest = artifact.load().manifest
    recordings = run.steps["ingest"].outputs["recordings"][0]
    corpus = _facts(recordings)
    return {
        "name": f"bundle {facts['name']}:{facts['version']}",
        "facts": {"sha256": facts["sha256"], "created": facts["created"]},
        "children": [
            {
                "name": f"corpus {corpus['root']}",
                "facts": {"rows": corpus["rows"], "rows_sha256": corpus["rows_sha256"]},
            },
            {"name": "config", "facts": {"sha256": manifest["config_sha256"]}},
            {"name": "code", "facts": manifest["code"]},
            {
                "name": f"run {run.name}",
                "facts": {"id": str(run.id), "status": str(run.status.value)},
                "children": _step_nodes(run),
            },
        ],
    }


def corpus_rows_sha256(corpus: str) -> str:
    """Return the rows' hash of a corpus on disk, or take it as given if no such path exists."""
    if not Path(corpus).exists():
        return corpus
    recordings, _ = ingest(read_corpus(Path(corpus)))
    return recordings.rows_sha256


def corpus_lineage(corpus: str) -> Tree:
    """Return the tree from a corpus forward to the bundles that were made from it.

    Parameters
    ----------
    corpus : str
        Manifest or folder, or the hash of its rows.

    Returns
    -------
    dict
        ``name``, ``facts`` and ``children``, each of these a tree likewise.

    Raises
    ------
    BundleError
        ``no_bundle`` if none was.
    """
    digest = corpus_rows_sha256(corpus)
    made = [artifact for artifact in _bundles() if _facts(artifact)["rows_sha256"] == digest]
    if not made:
        raise BundleError("no_bundle", f"no bundle was made from {corpus} (rows hash {digest})")
    return {
        "name": f"corpus {corpus}",
        "facts": {"rows_sha256": digest},
        "children": [
            {
                "name": f"bundle {_facts(artifact)['name']}:{_facts(artifact)['version']}",
                "facts": {"sha256": _facts(artifact)["sha256"], "run": artifact.run.name},
            }
            for artifact in made
        ],
    }
