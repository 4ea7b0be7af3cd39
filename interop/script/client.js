"use strict";

// Plays the exchanges that it reads from standard input, and writes one line for
// each as it ends.
//
//   node client.js ws|own     ws, or Node's own WebSocket

const { playAll } = require("./play.js");

const clients = {
  ws: () => {
    const { WebSocket } = require("ws");
    return (url, protocols, options) => new WebSocket(url, protocols, options);
  },
  own: () => (url, protocols) => new WebSocket(url, protocols),
};

async function main() {
  let input = "";
  for await (const chunk of process.stdin.setEncoding("utf8")) input += chunk;
  const tell = (index, seen) => process.stdout.write(JSON.stringify({ index, seen }) + "\n");
  await playAll(JSON.parse(input), clients[process.argv[2]](), tell);
}

main();
