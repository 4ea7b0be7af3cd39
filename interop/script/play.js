"use strict";

// How long one connection may take, in milliseconds: shorter than anything the
// servers wait for in vain.
const patience = 15_000;

// play makes one connection, does the steps of the exchange and resolves to what
// the client has seen when the connection is closed. It runs in Node and in a
// page. Connect returns a socket with the API of browsers; meet resolves when
// every exchange that is played at the same time has called it.
async function play({ url, protocols = [], options, steps = [] }, connect, meet) {
  const seen = { opened: false, protocol: "", extensions: "", messages: [], pings: [], pongs: [] };
  const socket = connect(url, protocols, options);
  socket.binaryType = "arraybuffer";

  let wake;
  let event = new Promise((resolve) => (wake = resolve));
  const until = async (condition) => {
    while (!condition() && !seen.closed) await event;
  };
  const noting = (note) => (...args) => {
    note(...args);
    wake();
    event = new Promise((resolve) => (wake = resolve));
  };
  const listen = (name, note) => socket.addEventListener(name, noting(note));

  listen("open", () => {
    seen.opened = true;
    seen.protocol = socket.protocol;
    seen.extensions = socket.extensions;
  });
  listen("message", ({ data }) => seen.messages.push(typeof data === "string" ? { text: data } : { binary: toBase64(data) }));
  listen("error", ({ message }) => (seen.error = message || "error"));
  listen("close", ({ code, reason, wasClean }) => (seen.closed = { code, reason, wasClean }));
  if (socket.on) { // ws, which tells more than a browser
    let raw;
    socket.on("upgrade", (response) => {
      raw = response.socket;
      seen.agreed = response.headers["sec-websocket-extensions"];
    });
    socket.on("ping", noting((data) => seen.pings.push(String(data))));
    socket.on("pong", noting((data) => seen.pongs.push(String(data))));
    socket.on("close", () => raw && (seen.received = raw.bytesRead));
  }

  let received = 0;
  const actions = {
    send({ text, binary, times = 1, as }) {
      const data = binary === undefined ? text.repeat(times) : fromBase64(binary, times);
      as ? socket.send(data, as) : socket.send(data); // only ws knows a second argument
    },
    receive({ count = 1 }) {
      received += count;
      return until(() => seen.messages.length >= received);
    },
    ping({ text }) {
      const answered = seen.pongs.length;
      socket.ping(text);
      return until(() => seen.pongs.length > answered);
    },
    meet: () => meet(),
    close: ({ code, reason }) => (code === undefined ? socket.close() : socket.close(code, reason)),
  };

  let doing = "open";
  const done = (async () => {
    await until(() => seen.opened);
    for (const step of steps) {
      if (seen.closed) return;
      doing = step.do;
      await actions[step.do](step);
    }
    doing = "wait for the end";
    await until(() => false);
  })();
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${doing}: nothing happens`)), patience);
  });
  try {
    await Promise.race([done, late]);
  } catch (error) {
    seen.failed = error.message;
    if (socket.terminate) socket.terminate();
    else socket.close();
  } finally {
    clearTimeout(timer);
  }
  return seen;
}

// playAll plays exchanges at the same time and tells of each as it ends, by its
// place in the list.
async function playAll(exchanges, connect, tell) {
  let missing = exchanges.length;
  let complete;
  let together = new Promise((resolve) => (complete = resolve));
  const meet = () => {
    const all = together;
    if (--missing === 0) {
      complete();
      missing = exchanges.length;
      together = new Promise((resolve) => (complete = resolve));
    }
    return all;
  };
  await Promise.all(exchanges.map(async (exchange, i) => tell(i, await play(exchange, connect, meet))));
}

function toBase64(buffer) {
  return btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(""));
}

function fromBase64(text, times) {
  return Uint8Array.from(atob(text).repeat(times), (c) => c.charCodeAt(0));
}

if (typeof module === "object") module.exports = { playAll };
