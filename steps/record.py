"""The record of a run's steps, which goes into the bundle that it made."""

from zenml.models import ArtifactVersionResponse, PipelineRunResponse

from bonafide.lineage.record import Step
from bonafide.training.record import digest_of

OURS = "sha256"  # a fact of every artifact of ours; see `materializers.artifact`


def recorded_steps(run: PipelineRunResponse) -> list[Step]:
    """Return the finished steps of a run with the hashes of what they made, as they ended."""
    done = [step for step in run.steps.values() if step.end_time]
    made = {output.id: name for step in done for name, (output,) in step.outputs.items()}
    return [
        Step(
            step.name,
            tuple(
                dict.fromkeys(
                    made[taken.id]
                    for several in step.inputs.values()
                    for taken in several
                    if taken.id in made
                )
            ),
            {name: _digest(output) for name, (output,) in step.outputs.items()},
        )
        for step in sorted(done, key=lambda step: (step.end_time, step.name))
    ]


def _digest(output: ArtifactVersionResponse) -> str:
    facts = output.run_metadata
    return str(facts[OURS]) if OURS in facts else digest_of(output.load())
