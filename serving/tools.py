"""Detection as tools of an agent, by the Model Context Protocol: the official SDK's server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

import bonafide
from bonafide.client import AsyncClient
from bonafide.detection import Detection
from bonafide.errors import BonafideError
from bonafide.explanation import Explained
from bonafide.provenance import Origin
from serving.local import read_local

AT_ONCE = 4  # files in memory; further calls wait
INSTRUCTIONS = """\
Tells machine-generated speech from human speech. A verdict is a statistical statement, never
proof: say the verdict together with p_spoof, the channel, how often verdicts on it are wrong
(channel.wrong), and every warning. "inconclusive" is an answer, not a failure. What a file says of
its origin (provenance) is apart from any verdict, and the lack of a finding means nothing.
Files must lie in {folder}."""


def tool_server(
    client: AsyncClient, folder: Path, most_bytes: int, wait_ready: Callable[[], None]
) -> MCPServer:
    """Make the server.

    Parameters
    ----------
    client : AsyncClient
        Asks the service that answers.
    folder : Path
        Whose files may be judged; what leads out of it is refused.
    most_bytes : int
        The largest file that is read.
    wait_ready : callable
        Waits until the service can be asked; raises `BonafideError` where it will not be.

    Returns
    -------
    MCPServer
        With the tools ``detect``, ``explain`` and ``provenance``. What cannot be judged is a tool
        error, whose text ends with ``code: message``.
    """
    server = MCPServer(
        "bonafide",
        title="Bonafide",
        instructions=INSTRUCTIONS.format(folder=folder),
        version=bonafide.__version__,
        log_level="WARNING",
    )

    held = asyncio.Semaphore(AT_ONCE)

    @contextlib.asynccontextmanager
    async def read(path: str) -> AsyncIterator[bytes]:
        """Hold a file's content while the block lasts; tell the agent what goes wrong in it."""
        try:
            async with held:
                await asyncio.to_thread(wait_ready)
                _, content = await asyncio.to_thread(read_local, folder, path, most_bytes)
                yield content
        except BonafideError as error:
            raise ToolError(f"{error.code}: {error.message}") from error

    @server.tool()
    async def detect(path: str) -> Detection:
        """Judge whether the speech in an audio or video file is human or machine-generated.

        Give a path within the open folder. The answer has the verdict (bonafide, spoof,
        partly_spoof or inconclusive), p_spoof, the channel that the sound went through with the
        error rate measured on it, segments with times, and warnings.
        """
        async with read(path) as content:
            return await client.detect(content)

    @server.tool()
    async def explain(path: str) -> Explained:
        """Judge a file as detect does; say which seconds, bands and models the answer rests on."""
        async with read(path) as content:
            return await client.explain(content)

    @server.tool()
    async def provenance(path: str) -> Origin:
        """Say what an audio or video file itself tells of its origin, apart from any verdict.

        Content credentials, tags of encoders and generators, traces of earlier compression,
        splices, watermarks: each finding with what it proves, and what its lack does not.
        """
        async with read(path) as content:
            return await client.provenance(content)

    return server
