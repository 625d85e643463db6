"""Listens for exchanges until a signal says to stop."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

from websockets.asyncio.server import serve

from bonafide.errors import ConfigError
from serving.calls.relay import Relay

Address = tuple[str, int]
MESSAGE_BYTES = 65_536


def listen(
    places: Mapping[str, Address], service: str, key: str, write: Callable[[str], None]
) -> None:
    """Serve calls until SIGINT or SIGTERM; then every call is ended, and its end said.

    Parameters
    ----------
    places : mapping of str to tuple of str and int
        Where ``audiosocket`` and ``twilio`` listen.
    service, key : str
        As of `serving.calls.relay.Relay`.
    write : callable
        Gets JSON objects, a line each.

    Raises
    ------
    ConfigError
        ``bad_address`` where it cannot listen there.
    """
    asyncio.run(_listen(places, service, key, write))


async def _listen(
    places: Mapping[str, Address], service: str, key: str, write: Callable[[str], None]
) -> None:
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    failed = list[OSError]()

    def tell(said: Mapping[str, Any]) -> None:
        try:
            write(json.dumps(said))
        except OSError as error:  # who reads it is gone, or the disk is full
            failed.append(error)
            stopped.set()

    def stop(number: int) -> None:
        stopped.set()
        loop.remove_signal_handler(number)  # a second one does not wait

    relay = Relay(service, key, tell)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    async with contextlib.AsyncExitStack() as opened:
        for name, (host, port) in places.items():
            try:
                if name == "audiosocket":
                    server = await asyncio.start_server(relay.audiosocket, host, port)
                    opened.push_async_callback(_closed, server)
                else:
                    made = serve(relay.twilio, host, port, max_size=MESSAGE_BYTES, compression=None)
                    server = (await opened.enter_async_context(made)).server
            except OSError as error:
                message = f"{host}:{port}: cannot listen there: {error.strerror or error}"
                raise ConfigError("bad_address", message) from error
            where = server.sockets[0].getsockname()
            sys.stderr.write(f"{name}: listening on {where[0]}:{where[1]}\n")
        opened.push_async_callback(relay.close)
        await stopped.wait()
    if failed:
        raise failed[0]


async def _closed(server: asyncio.Server) -> None:
    server.close()
