"""Clients of the service, on this machine or another: `Client`, and `AsyncClient` for asyncio.

Examples
--------
>>> from bonafide.client import Client
>>> with Client("http://127.0.0.1:3000") as client:  # doctest: +SKIP
...     print(client.detect("call.wav").verdict)
spoof
"""

from bonafide.client.awaited import AsyncClient as AsyncClient
from bonafide.client.blocking import Client as Client
from bonafide.client.shared import BUNDLE_HEADER as BUNDLE_HEADER
from bonafide.client.shared import ServiceError as ServiceError
from bonafide.client.shared import Source as Source
from bonafide.client.shared import remote_host as remote_host
from bonafide.client.shared import service_address as service_address
