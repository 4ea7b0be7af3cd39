"""Reads exchanges from standard input and plays them with the package websockets. It writes a line for
each exchange that ends, as client.js does, and knows the steps send, receive, ping and close.
"""

import asyncio
import base64
import json
import sys

import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

PATIENCE = 15  # seconds that one connection may take


def compression(options):
    """Returns the offers for what the package ws calls perMessageDeflate."""
    wanted = options.get("perMessageDeflate", {})
    if wanted is False:
        return []
    return [
        ClientPerMessageDeflateFactory(
            server_no_context_takeover=wanted.get("serverNoContextTakeover", False),
            client_no_context_takeover=wanted.get("clientNoContextTakeover", False),
            server_max_window_bits=wanted.get("serverMaxWindowBits"),
            client_max_window_bits=wanted.get("clientMaxWindowBits", True) or None,
        )
    ]


class Player:
    def __init__(self, exchange):
        self.steps = exchange.get("steps", [])
        self.seen = {"messages": [], "pings": [], "pongs": []}
        self.parts = []  # of a message that is not complete
        self.wanted = 0  # how many messages must have come
        self.changed = asyncio.Event()

    async def read(self, socket):
        try:
            async for message in socket:
                if isinstance(message, str):
                    self.seen["messages"].append({"text": message})
                else:
                    self.seen["messages"].append({"binary": base64.b64encode(message).decode()})
                self.changed.set()
        except websockets.exceptions.ConnectionClosedError as error:
            self.seen["error"] = str(error)

    async def send(self, socket, step):
        data = step["text"]
        if "binary" in step:
            data = base64.b64decode(step["binary"])
        data *= step.get("times", 1)
        last = step.get("as", {}).get("fin", True)
        if last and not self.parts:
            await socket.send(data)
            return
        self.parts.append(data)
        if last:
            parts, self.parts = self.parts, []
            await socket.send(parts)  # in a frame each

    async def receive(self, reading, step):
        self.wanted += step.get("count", 1)
        while len(self.seen["messages"]) < self.wanted and not reading.done():
            self.changed.clear()
            change = asyncio.ensure_future(self.changed.wait())
            await asyncio.wait([reading, change], return_when=asyncio.FIRST_COMPLETED)
            change.cancel()

    async def ping(self, socket, step):
        await (await socket.ping(step["text"]))
        self.seen["pongs"].append(step["text"])

    async def play(self, socket):
        self.seen["opened"] = True
        answer = socket.response_headers if hasattr(socket, "response_headers") else socket.response.headers
        self.seen["agreed"] = answer.get("Sec-WebSocket-Extensions", "")
        reading = asyncio.ensure_future(self.read(socket))
        for step in self.steps:
            if step["do"] == "send":
                await self.send(socket, step)
            elif step["do"] == "receive":
                await self.receive(reading, step)
            elif step["do"] == "ping":
                await self.ping(socket, step)
            elif step["do"] == "close":
                await socket.close(step["code"], step.get("reason", ""))
            else:
                raise ValueError(f"{step['do']}: there is no such step")
        await reading
        await socket.wait_closed()
        code = socket.close_code
        self.seen["closed"] = {"code": code, "reason": socket.close_reason, "wasClean": code != 1006}


async def play(exchange):
    player = Player(exchange)
    try:
        extensions = compression(exchange.get("options", {}))
        socket = await websockets.connect(exchange["url"], compression=None, extensions=extensions, max_size=None)
        await asyncio.wait_for(player.play(socket), PATIENCE)
    except Exception as error:  # the test looks at it
        player.seen["failed"] = f"{type(error).__name__}: {error}"
    return player.seen


async def main():
    async def tell(index, exchange):
        seen = await play(exchange)
        print(json.dumps({"index": index, "seen": seen}), flush=True)

    exchanges = json.load(sys.stdin)
    await asyncio.gather(*(tell(index, exchange) for index, exchange in enumerate(exchanges)))


asyncio.run(main())
