/**
 * A client that sends one kind of bytes as fast as they are accepted and reads nothing. It reconnects after each
 * disconnection until its standard input ends. Its argument is a `FloodPlan` as JSON.
 */
import process from "node:process";
import { deflateRawSync } from "node:zlib";
import { encodePing, encodePub, encodeSub, writeEnvelope } from "@arqon/proto";
import { BINARY, clientFrame, upgradeRequest } from "../measure/socket.ts";

/** The kinds of bytes that are sent at full speed. */
export const FLOODS = [
  ...["small", "big", "echo", "pings", "ws-pings", "fragments", "garbage", "http"] as const,
  ...["batch", "bombs"] as const,
] as const;
/** One of `FLOODS`. */
export type Flood = typeof FLOODS[number];

/** The plan of the client. */
export interface FloodPlan {
  /** Address of the bus: `ws://host:port/path`. */
  readonly url: string;
  readonly token: string;
  readonly flood: Flood;
}

const CHUNK_BYTES = 262_144;
const BINARY_MORE = 0x02, MORE = 0x00, PING = 0x89, COMPRESSED = 0xc2;
const PAUSE_MS = 20;

function repeated(one: Uint8Array, bytes = CHUNK_BYTES): Uint8Array<ArrayBuffer> {
  const count = Math.max(1, Math.floor(bytes / one.length));
  const all = new Uint8Array(count * one.length);
  for (let at = 0; at < all.length; at += one.length) all.set(one, at);
  return all;
}

function publication(room_id: string, size_bytes: number): Uint8Array {
  const content_type = "application/octet-stream";
  const data = new Uint8Array(size_bytes);
  const event = { type: "f", data, content_type, schema_id: "" };
  return encodePub(writeEnvelope({ room_id, event }));
}

const NOTHING = new Uint8Array(0);
const SMALL = publication("flood", 8);
const MESSAGE = '{"type":"f","data":{}}';

const BYTES: Readonly<Record<Flood, (token: string) => Uint8Array<ArrayBuffer>>> = {
  small: () => repeated(clientFrame(BINARY, SMALL)),
  big: () => repeated(clientFrame(BINARY, publication("flood", 200_000))),
  echo: () => repeated(clientFrame(BINARY, SMALL)),
  pings: () => repeated(clientFrame(BINARY, encodePing(new Uint8Array([1])))),
  "ws-pings": () => repeated(clientFrame(PING, NOTHING)),
  fragments: () => repeated(clientFrame(MORE, NOTHING)),
  garbage: () => repeated(clientFrame(BINARY, new Uint8Array([0x42]))),
  bombs: () => repeated(clientFrame(COMPRESSED, bomb()), 65_536),
  http: (token) => repeated(post("/v1/rooms/flood/messages", token, MESSAGE)),
  batch: (token) => repeated(post("/v1/messages", token, batch())),
};

/** The bytes that are sent once before them. */
const FIRST: Partial<Record<Flood, Uint8Array<ArrayBuffer>>> = {
  echo: clientFrame(BINARY, encodeSub({ room_id: "flood" })),
  fragments: clientFrame(BINARY_MORE, NOTHING),
};

/** A publish of the maximum frame size, compressed to a thousandth. */
function bomb(): Uint8Array {
  const whole = publication("flood", 262_000);
  // The empty block at the end is omitted (RFC 7692, 7.2.1).
  return deflateRawSync(whole, { finishFlush: 2 }).subarray(0, -4);
}

function batch(): string {
  const one = '{"room":"flood","type":"f","data":{}}';
  return `{"messages":[${new Array(1_000).fill(one).join(",")}]}`;
}

function post(path: string, token: string, body: string): Uint8Array {
  return new TextEncoder().encode(
    `POST ${path} HTTP/1.1\r\nHost: bus\r\nAuthorization: Bearer ${token}\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
}

async function writeAll(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}

/** Sends on one connection until it is closed. It reads HTTP answers, so that the bus need not buffer them. */
async function attack(plan: FloodPlan, count: (bytes: number) => void): Promise<void> {
  const url = new URL(plan.url);
  using connection = await Deno.connect({ hostname: url.hostname, port: Number(url.port) });
  const first = FIRST[plan.flood] ?? NOTHING;
  const then = BYTES[plan.flood](plan.token);
  if (plan.flood === "http" || plan.flood === "batch") {
    connection.readable.pipeTo(new WritableStream()).catch(() => {});
  } else {
    const protocols = ["arqon.v1", `arqon.token.${plan.token}`];
    const extensions = "Sec-WebSocket-Extensions: permessage-deflate";
    await writeAll(connection, upgradeRequest(url, protocols, extensions));
    await connection.read(new Uint8Array(4_096));
  }
  await writeAll(connection, first);
  for (;;) {
    await writeAll(connection, then);
    count(then.length);
  }
}

if (import.meta.main) {
  const plan: FloodPlan = JSON.parse(Deno.args[0] ?? "{}");
  process.stdin.on("end", () => Deno.exit(0)).resume();
  let bytes = 0;
  let connections = 0;
  setInterval(() => console.log(JSON.stringify({ bytes, connections })), 1_000);
  console.log(JSON.stringify({ bytes, connections }));
  for (;;) {
    connections++;
    await attack(plan, (more) => bytes += more).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}
