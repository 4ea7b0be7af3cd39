"""An echo of the package websockets, with the compression that its argument describes as the package
ws does, in JSON. Standard output has the line "listening on http://...", then how each connection to
/?id=ID ended, one JSON object a line. SIGTERM ends it.
"""

import asyncio
import json
import signal
import sys
import urllib.parse

import websockets
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory


async def echo(socket, _=None):
    path = socket.path if hasattr(socket, "path") else socket.request.path
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(path).query)
    try:
        async for message in socket:
            await socket.send(message)
    except websockets.exceptions.ConnectionClosedError:
        pass  # the code says so
    note = {"id": query["id"][0], "event": "ended", "code": socket.close_code, "reason": socket.close_reason}
    print(json.dumps(note), flush=True)


async def main():
    wanted = json.loads(sys.argv[1])
    compression = ServerPerMessageDeflateFactory(
        server_no_context_takeover=wanted.get("serverNoContextTakeover", False),
        client_no_context_takeover=wanted.get("clientNoContextTakeover", False),
        server_max_window_bits=wanted.get("serverMaxWindowBits"),
        client_max_window_bits=wanted.get("clientMaxWindowBits"),
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await websockets.serve(
        echo, "127.0.0.1", 0, compression=None, extensions=[compression], max_size=None
    )
    print(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await stop.wait()
    server.close()
    await server.wait_closed()


asyncio.run(main())
