/**
 * The Socket.IO server that is measured, run by Node: WebSocket transport alone, no compression.
 * `sub` joins a room and is acknowledged; `pub` goes to everyone in the room, sender included. The
 * argument is JSON: `packages`, the folder of node_modules, and with TLS `cert_file` and `key_file`.
 */
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { createRequire } from "node:module";
import process from "node:process";

const { packages, cert_file, key_file } = JSON.parse(process.argv[2]);
const load = createRequire(`${packages}/`);
const { Server } = load("socket.io");

const listener = cert_file === undefined
  ? createServer()
  : createSecureServer({ cert: readFileSync(cert_file), key: readFileSync(key_file) });
const io = new Server(listener, {
  transports: ["websocket"],
  perMessageDeflate: false,
  serveClient: false,
});

io.on("connection", (socket) => {
  socket.on("sub", (room, acknowledge) => {
    socket.join(room);
    acknowledge();
  });
  socket.on("pub", (room, body) => {
    io.to(room).emit("msg", body);
  });
});

process.once("SIGTERM", () => process.exit(0));
listener.listen(0, "127.0.0.1", () => {
  const versionOf = (name) => load(`${name}/package.json`).version;
  const ready = {
    port: listener.address().port,
    version: `socket.io ${versionOf("socket.io")} (ws ${versionOf("ws")}, Node ${process.version})`,
  };
  console.log(JSON.stringify(ready));
});
