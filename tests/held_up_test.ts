/**
 * A Shield that gets no CPU for longer than clients have to answer its PING: their answers lie unread
 * in its own sockets meanwhile, and nobody is ended for that. A process that is stopped, not a busy one.
 */
import assert from "node:assert/strict";
import { encodePing, encodePong } from "@arqon/proto";
import { pace } from "../shared/testing/pace.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { openBinary } from "./peers/raw_client.ts";
import type { RawClient } from "./peers/raw_client.ts";

const CLIENTS = 40;
/** More than two heartbeats. */
const HELD_UP_MS = 3_500;

/** Answers PINGs until a PONG comes; rejects when the connection ends first. */
async function echoed(client: RawClient): Promise<void> {
  client.send(encodePing(new Uint8Array([1])));
  for (;;) {
    const frame = await client.frame();
    if (frame.kind === "pong") return;
    if (frame.kind === "ping") client.send(encodePong(frame.body));
  }
}

async function heldUp(websocket: string): Promise<void> {
  const lines = `heartbeat_ms = 1_000\nrequire_pong = true\nwebsocket = "${websocket}"`;
  const issuer = await createIssuer();
  try {
    await using shield = await startServer("shield", issuer.config, issuer.dir, lines);
    const url = `${shield.ready["url"]?.replace(/^http/, "ws")}/v1/socket`;
    const token = await issuer.tokenFor();
    const clients = await Promise.all(
      Array.from({ length: CLIENTS }, () => openBinary(url, token)),
    );
    try {
      await Promise.all(clients.map(async (client) => {
        const { kind } = await client.frame();
        assert.equal(kind, "ping");
      }));
      shield.signal("SIGSTOP");
      for (const client of clients) client.send(encodePong(new Uint8Array()));
      await pace(HELD_UP_MS);
      shield.signal("SIGCONT");
      await Promise.all(clients.map(echoed));
    } finally {
      for (const client of clients) client[Symbol.dispose]();
    }
  } finally {
    await Deno.remove(issuer.dir, { recursive: true });
  }
}

for (const websocket of ["native", "ws", "own"]) {
  Deno.test(`clients that answered a Shield which was held up are not given up for it (${websocket})`, () =>
    heldUp(websocket));
}
