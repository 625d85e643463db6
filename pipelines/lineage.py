"""What ZenML's own records add to the lineage in a bundle, where they still exist."""

from zenml.client import Client
from zenml.models import PipelineRunResponse, StepRunResponse

from bonafide.bundle import Bundle
from bonafide.lineage.tree import Node
from pipelines.store import prepare_store

HERE = "in ZenML's store that is active here"


def zenml_records(bundle: Bundle) -> tuple[list[Node], list[str]]:
    """Look up the run that made a bundle.

    Parameters
    ----------
    bundle : Bundle
        Any; one that no run of ZenML made has no records.

    Returns
    -------
    list of Node
        The run with its steps: how they ended, how long they took, and where the artifacts are.
    list of str
        What there is no record of, in words.
    """
    run_id = bundle.manifest.get("zenml", {}).get("run_id")
    if run_id is None:
        return [], ["ZenML's records: no run of ZenML made this bundle"]
    prepare_store()
    try:
        run = Client().get_pipeline_run(run_id, allow_name_prefix_match=False)
    except KeyError:
        return [], [f"ZenML's records: there is no run {run_id} {HERE}"]
    return [_run(run)], []


def _run(run: PipelineRunResponse) -> Node:
    steps = sorted(run.steps.values(), key=lambda step: (step.start_time, step.name))
    facts = {"id": str(run.id), "status": str(run.status.value), "started": str(run.start_time)}
    return Node(f"ZenML's records of run {run.name}", facts, [_step(step) for step in steps])


def _step(step: StepRunResponse) -> Node:
    took = (step.end_time - step.start_time).total_seconds() if step.end_time else None
    facts = {"status": str(step.status.value), "id": str(step.id)}
    return Node(
        f"step {step.name}",
        facts if took is None else {**facts, "seconds": round(took, 1)},
        [
            Node(f"artifact {name}", {"id": str(artifact.id), "uri": artifact.uri})
            for name, artifacts in step.outputs.items()
            for artifact in artifacts
        ],
    )
