"""``WS /v1/stream``: a verdict while the sound still comes."""

from collections import Counter

from starlette.datastructures import State
from starlette.websockets import WebSocket

from serving.http.call import Call
from serving.http.errors import ApiError
from serving.http.stream.connection import Connection


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
    streams: Counter[str] = state.streams
    most = state.scoring.settings.streams
    # A key that has none gets one, whoever has the others.
    if streams.total() >= most and (not name or streams[name]):
        raise ApiError("busy", f"{most} streams are open; try again", retry_after_s=1)
    connection = Connection(socket, state, call, owner)
    streams[name] += 1
    state.metrics.listens(streams.total())
    try:
        await connection.run()
    finally:
        streams[name] -= 1
        state.metrics.listens(streams.total())
        state.metrics.listened(call.code)
