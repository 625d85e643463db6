"""A step operator that runs a step in a process of this machine, as remote ones do elsewhere."""

import os
import subprocess
import sys
from typing import Any

from zenml.enums import ExecutionStatus
from zenml.step_operators import BaseStepOperator, BaseStepOperatorFlavor
from zenml.step_operators.base_step_operator import BaseStepOperatorConfig

_running: dict[str, "subprocess.Popen[bytes]"] = {}


class HereConfig(BaseStepOperatorConfig):
    """Nothing to set."""


class Here(BaseStepOperator):
    """Runs in the background, as those of a dynamic pipeline must."""

    def submit(self, info: Any, entrypoint_command: list[str], environment: dict[str, str]) -> None:
        """Start the step."""
        command = [sys.executable, *entrypoint_command[1:]]
        _running[str(info.step_run_id)] = subprocess.Popen(
            command, env={**os.environ, **environment, "HERE": "1"}
        )

    def get_status(self, step_run: Any) -> ExecutionStatus:
        """Look at the step's process."""
        status = _running[str(step_run.id)].poll()
        if status is None:
            return ExecutionStatus.RUNNING
        return ExecutionStatus.FAILED if status else ExecutionStatus.COMPLETED

    def cancel(self, step_run: Any) -> None:
        """End the step's process."""
        _running[str(step_run.id)].kill()


class HereFlavor(BaseStepOperatorFlavor):
    """The flavor `here`."""

    @property
    def name(self) -> str:
        """Its name."""
        return "here"

    @property
    def config_class(self) -> type[HereConfig]:
        """What can be set."""
        return HereConfig

    @property
    def implementation_class(self) -> type[Here]:
        """What runs steps."""
        return Here
