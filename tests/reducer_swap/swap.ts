/**
 * A module is deployed to rooms that are called while many connections hear them: every room tells of its migration
 * once, every connection hears that of its room, and none ends. Sockets are the platform's, not an SDK's.
 */
import { connect } from "@arqon/sdk";
import { reduced } from "@arqon/sdk/reducers";
import { SUM } from "../../brain/reducers/testing/deploys.ts";
import { found } from "../../shared/testing/until.ts";
import { startBusWith } from "../harness/bus.ts";

const COUNTER = new URL("../../policies/build/reducers/counter.wasm", import.meta.url).pathname;
const CONFIG = `
[server]
host = "127.0.0.1"
port = 0
drain_ms = 0
[ops]
host = "127.0.0.1"
[admin]
host = "127.0.0.1"
[limits]
#constant limits.command_timeout_ms = 60_000
handshakes_per_second = 100_000
[[reducers]]
name = "counter"
file = "${COUNTER}"
[[rooms]]
room = "count-*"
durable = true
reducer = "counter"
`;
/** Sockets that are opened at a time. */
const OPENING = 50;

/** What a swap came to. */
export interface Swap {
  readonly connections: number;
  /** Connections that ended, for whatever reason. */
  readonly ended: number;
  readonly rooms: number;
  /** Calls that were answered, and refused, while the rooms were switched. */
  readonly calls: number;
  readonly refused: number;
  /** From the answer to the deploy until so many connections had heard of it, in ms. */
  readonly half_ms: number;
  readonly last_ms: number;
  /** Connections that heard of it twice. */
  readonly twice: number;
}

interface Heard {
  ended: number;
  /** When each connection heard its room's migration, monotonic ms. */
  readonly moved: Map<WebSocket, number>;
  twice: number;
}

async function openOne(url: string, token: string, room: string, heard: Heard): Promise<WebSocket> {
  const socket = new WebSocket(url, ["arqon.v1.json", `arqon.token.${token}`]);
  const ready = Promise.withResolvers<void>();
  socket.onclose = () => {
    heard.ended++;
    ready.reject(new Error("a connection ended while it was opened"));
  };
  socket.onopen = () => socket.send(JSON.stringify({ op: "sub", room, id: 1 }));
  socket.onmessage = ({ data }) => {
    const said = JSON.parse(String(data));
    if (said.op === "ack" && said.id === 1) ready.resolve();
    if (said.op !== "msg" || said.type !== "moved") return;
    if (heard.moved.has(socket)) heard.twice++;
    else heard.moved.set(socket, performance.now());
  };
  await ready.promise;
  return socket;
}

/** Rejects when a connection cannot be opened, or not every one hears of it within two minutes. */
export async function swapUnder(connections: number, rooms: number): Promise<Swap> {
  await using bus = await startBusWith(CONFIG);
  await using client = await connect({
    ...{ url: bus.url, token: await bus.tokenFor(), request_timeout_ms: 60_000 },
  });
  const roomOf = (at: number) => `count-${at % rooms}`;
  const called = Array.from(
    { length: rooms },
    (_, at) => reduced<{ add: [number, number] }>(client.room(roomOf(at))),
  );
  for (const room of called) await room.call("add", 1);
  const heard: Heard = { ended: 0, moved: new Map(), twice: 0 };
  const sockets: WebSocket[] = [];
  const token = await bus.tokenFor({ user: "listener" });
  for (let at = 0; at < connections; at += OPENING) {
    const count = Math.min(OPENING, connections - at);
    const opened = Array.from(
      { length: count },
      (_, one) => openOne(bus.url, token, roomOf(at + one), heard),
    );
    sockets.push(...await Promise.all(opened));
  }
  let is_over = false, calls = 0, refused = 0;
  const calling = called.slice(0, 8).map(async (room) => {
    while (!is_over) {
      await room.call("add", 1).then(() => calls++, () => refused++);
    }
  });
  const admin = await bus.tokenFor({ role: "admin", user: "root" });
  const response = await fetch(`${bus.admin_url}/v1/tenants/default/reducers/count-*`, {
    ...{ method: "PUT", body: new Uint8Array(SUM) },
    headers: { authorization: `Bearer ${admin}`, "content-type": "application/wasm" },
  });
  if (!response.ok) throw new Error(await response.text());
  const deployed_ms = performance.now();
  try {
    await found("every connection", () => heard.moved.size === connections || undefined, 120_000);
  } finally {
    is_over = true;
  }
  await Promise.all(calling);
  const { ended, twice } = heard;
  for (const socket of sockets) {
    socket.onclose = null;
    socket.close();
  }
  const times = [...heard.moved.values()].map((ms) => Math.max(0, ms - deployed_ms))
    .sort((one, other) => one - other);
  const [half_ms = 0, last_ms = 0] = [times[times.length >> 1], times.at(-1)].map((ms) =>
    Math.round(ms ?? 0)
  );
  return { connections, ended, rooms, calls, refused, half_ms, last_ms, twice };
}
