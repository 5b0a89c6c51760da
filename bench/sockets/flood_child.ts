/**
 * A client that sends one kind of bytes as fast as they are accepted and reads nothing. It reconnects after each
 * disconnection until its standard input ends. Its argument is a `FloodPlan` as JSON.
 */
import process from "node:process";
import { deflateRawSync } from "node:zlib";
import { encodePing, encodePub, encodeSub, writeEnvelope } from "@arqon/proto";

/** The kind of bytes that are sent at full speed. */
export type Flood =
  | "small"
  | "big"
  | "echo"
  | "pings"
  | "ws-pings"
  | "fragments"
  | "garbage"
  | "http"
  | "batch"
  | "bombs";

/** The plan of the client. */
export interface FloodPlan {
  /** Address of the bus: `ws://host:port/path`. */
  readonly url: string;
  readonly token: string;
  readonly flood: Flood;
}

const CHUNK_BYTES = 262_144;
const BINARY = 0x82, BINARY_MORE = 0x02, MORE = 0x00, PING = 0x89, COMPRESSED = 0xc2;
const PAUSE_MS = 20;

/** The bytes of a client's frame. Its mask is 0, which changes nothing. */
function frame(first: number, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const { length } = body;
  const extra = length < 126 ? 0 : length < 0x1_0000 ? 2 : 8;
  const bytes = new Uint8Array(2 + extra + 4 + length);
  const view = new DataView(bytes.buffer);
  bytes[0] = first;
  bytes[1] = 0x80 | (extra === 0 ? length : extra === 2 ? 126 : 127);
  if (extra === 2) view.setUint16(2, length);
  if (extra === 8) view.setBigUint64(2, BigInt(length));
  bytes.set(body, 6 + extra);
  return bytes;
}

function repeated(one: Uint8Array, bytes = CHUNK_BYTES): Uint8Array<ArrayBuffer> {
  const count = Math.max(1, Math.floor(bytes / one.length));
  const all = new Uint8Array(count * one.length);
  for (let at = 0; at < all.length; at += one.length) all.set(one, at);
  return all;
}

function publication(room_id: string, size_bytes: number): Uint8Array {
  const content_type = "application/octet-stream";
  const data = new Uint8Array(size_bytes);
  return encodePub(
    writeEnvelope({ room_id, event: { type: "f", data, content_type, schema_id: "" } }),
  );
}

/** The bytes that are sent once, and the bytes that are sent repeatedly. */
function bytesOf(
  { flood, token }: FloodPlan,
): [first: Uint8Array<ArrayBuffer>, then: Uint8Array<ArrayBuffer>] {
  const nothing = new Uint8Array(0);
  const small = publication("flood", 8);
  switch (flood) {
    case "small":
      return [nothing, repeated(frame(BINARY, small))];
    case "big":
      return [nothing, repeated(frame(BINARY, publication("flood", 200_000)))];
    case "echo":
      return [frame(BINARY, encodeSub({ room_id: "flood" })), repeated(frame(BINARY, small))];
    case "pings":
      return [nothing, repeated(frame(BINARY, encodePing(new Uint8Array([1]))))];
    case "ws-pings":
      return [nothing, repeated(frame(PING, nothing))];
    case "fragments":
      return [frame(BINARY_MORE, nothing), repeated(frame(MORE, nothing))];
    case "garbage":
      return [nothing, repeated(frame(BINARY, new Uint8Array([0x42])))];
    case "bombs":
      return [nothing, repeated(frame(COMPRESSED, bomb()), 65_536)];
    case "http":
      return [nothing, repeated(post("/v1/rooms/flood/messages", token, '{"type":"f","data":{}}'))];
    case "batch":
      return [nothing, repeated(post("/v1/messages", token, batch()))];
  }
}

/** A publish that is as large as a frame may be, compressed to a thousandth. */
function bomb(): Uint8Array {
  const whole = publication("flood", 262_000);
  // The empty block at the end is left out (RFC 7692, 7.2.1).
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

function upgrade(url: URL, token: string): Uint8Array {
  const lines = [
    `GET ${url.pathname} HTTP/1.1`,
    `Host: ${url.host}`,
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Extensions: permessage-deflate",
    `Sec-WebSocket-Protocol: arqon.v1, arqon.token.${token}`,
  ];
  return new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n`);
}

async function writeAll(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}

/** Sends on one connection until it is closed. It reads HTTP answers, so that the bus need not buffer them. */
async function attack(plan: FloodPlan, count: (bytes: number) => void): Promise<void> {
  const url = new URL(plan.url);
  using connection = await Deno.connect({ hostname: url.hostname, port: Number(url.port) });
  const [first, then] = bytesOf(plan);
  if (plan.flood === "http" || plan.flood === "batch") {
    connection.readable.pipeTo(new WritableStream()).catch(() => {});
  } else {
    await writeAll(connection, upgrade(url, plan.token));
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
