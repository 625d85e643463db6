"""``WS /v1/stream``: a verdict while the sound still comes."""

from starlette.datastructures import State
from starlette.websockets import WebSocket

from serving.http.call import Call
from serving.http.errors import ApiError
from serving.http.stream.connection import Connection

MOST_LOAD = 0.8  # of the processor of a worker's scorer


async def stream(socket: WebSocket, state: State, call: Call) -> None:
    """Serve one stream, until either side ends it.

    Parameters
    ----------
    socket : WebSocket
        Not accepted yet.
    state : State
        The application's, as `serving.http.routes.lifespan` fills it.
    call : Call
        Gets what becomes known of the call.

    Raises
    ------
    ApiError
        ``busy`` where the worker has no place left, ``not_ready`` where nothing is scored now.
    """
    if state.scoring.trouble:
        await state.scoring.check_ready()
    name = call.key.name if call.key else ""
    owner = f"key {name}" if name else f"address {socket.client.host if socket.client else ''}"
    streams: dict[Connection, str] = state.streams
    most, load = state.scoring.settings.streams, sum(each.load for each in streams)
    # A key that has none gets one, whoever has the others.
    if not name or name in streams.values():
        if len(streams) >= most:
            raise ApiError("busy", f"{most} streams are open; try again", retry_after_s=1)
        if load > MOST_LOAD:
            message = f"open streams take {load:.0%} of a processor; try again"
            raise ApiError("busy", message, retry_after_s=1)
    connection = Connection(socket, state, call, owner)
    streams[connection] = name
    state.metrics.listens(len(streams))
    try:
        await connection.run()
    finally:
        del streams[connection]
        state.metrics.listens(len(streams))
        state.metrics.listened(call.code)
