"use strict";

// A server of the package ws. A connection to /NAME?id=ID gets the behavior of
// that name, or is an echo with the compression of that name. Standard output
// has the line "listening on http://...", then how each connection ended, one JSON
// object a line. SIGTERM ends it.

const http = require("http");
const { WebSocketServer } = require("ws");

const behaviors = {
  echo: { start: echo },
  close: { start: (socket, query) => (query.has("code") ? socket.close(Number(query.get("code")), query.get("reason")) : socket.close()) },
  terminate: { start: (socket) => socket.terminate() },
  ping: {
    start(socket) {
      socket.on("pong", (data) => socket.send("pong " + data));
      socket.ping("are you there?");
    },
  },
  stream: {
    start(socket) {
      for (let i = 0; i < 10; i++) {
        socket.send(String(i).repeat(1000), { fin: i === 9 });
        if (i === 5) socket.ping("in between");
      }
    },
  },
  "invalid-text": { start: (socket) => socket.send(Buffer.from("caf\xe9", "latin1"), { binary: false }) },
  big: { start: (socket) => socket.send("x".repeat((1 << 20) + 1)) },
  refuse: { verifyClient: (_, answer) => answer(false, 401, "who are you?", { "WWW-Authenticate": "Basic" }) },

  "deflate-default": { perMessageDeflate: true, start: echo },
  "deflate-everything": { perMessageDeflate: { threshold: 0 }, start: echo },
  "deflate-client-window": { perMessageDeflate: { threshold: 0, clientMaxWindowBits: true }, start: echo },
  "deflate-server-window": { perMessageDeflate: { threshold: 0, serverMaxWindowBits: 9 }, start: echo },
  "deflate-stateless": {
    perMessageDeflate: { threshold: 0, serverNoContextTakeover: true, clientNoContextTakeover: true },
    start: echo,
  },
};

// "deflate" and "exchange" compress as the query says: its perMessageDeflate is the option of ws with
// this name, in JSON. The note of the end says how many bytes have come.
const deflating = { deflate: echo, exchange };

function deflatingServer(start, query) {
  const server = new WebSocketServer({ noServer: true, perMessageDeflate: JSON.parse(query.get("perMessageDeflate")) });
  server.on("connection", (socket, request) => serve(socket, query, start, request.socket));
  return server;
}

// exchange follows a plan, which is the first message. It takes the plan's steps, which are steps of
// play.js. When plan.count more messages have come, it sends what they were.
function exchange(socket) {
  let plan;
  const come = [];
  const told = () => come.length === plan.count && socket.send(JSON.stringify(come));
  socket.on("message", (data, isBinary) => {
    if (plan) {
      come.push(isBinary ? { binary: data.toString("base64") } : { text: String(data) });
      told();
      return;
    }
    plan = JSON.parse(data);
    for (const { do: what, text, binary, as } of plan.steps) {
      if (what === "ping") socket.ping(text);
      else socket.send(binary === undefined ? text : Buffer.from(binary, "base64"), as);
    }
    told();
  });
}

function serve(socket, query, start, raw) {
  const note = { id: query.get("id"), event: "ended" };
  socket.on("error", (error) => (note.error = error.message));
  socket.on("close", (code, reason) =>
    console.log(JSON.stringify({ ...note, code, reason: String(reason), received: raw && raw.bytesRead })));
  start(socket, query);
}

function echo(socket) {
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
}

const listener = http.createServer();
const servers = {};
for (const [name, { start, ...options }] of Object.entries(behaviors)) {
  servers[name] = new WebSocketServer({ noServer: true, ...options });
  servers[name].on("connection", (socket, request) => {
    serve(socket, new URL(request.url, "http://localhost").searchParams, start);
  });
}
listener.on("upgrade", (request, socket, head) => {
  const { pathname, searchParams } = new URL(request.url, "http://localhost");
  const name = pathname.slice(1);
  const server = deflating[name] ? deflatingServer(deflating[name], searchParams) : servers[name];
  server.handleUpgrade(request, socket, head, (client) => server.emit("connection", client, request));
});
listener.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${listener.address().port}`));
process.on("SIGTERM", () => process.exit(0));
