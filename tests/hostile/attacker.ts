/**
 * A program that attacks a bus in one way until its standard input ends. The first line of stdin is the order as JSON.
 * Prints when it has begun, then one report. Whatever it needs deployed, its parent has deployed.
 */
import { ownLines } from "../../bench/measure/text_lines.ts";
import { pace } from "../../shared/testing/pace.ts";
import {
  BINARY,
  PING,
  rawFrame,
  RawPeer,
  TEXT,
} from "../../shield/socket/testing/conformance_peer.ts";

/** What to do, and on which server. */
export type Order =
  /** Connections that send `says` and nothing else; the oldest is closed when there are `at_once`. */
  | {
    readonly kind: "strangers";
    readonly url: string;
    readonly at_once: number;
    readonly says: string;
  }
  /** Text frames of clients, `rate` per second from each one that sends any. */
  | {
    readonly kind: "frames";
    readonly url: string;
    readonly clients: readonly FrameClient[];
    readonly rate: number;
  }
  /** One connection that sends as fast as the bus reads, even after it was asked to close; then the next one. */
  | {
    readonly kind: "flood";
    readonly url: string;
    readonly token: string;
    readonly frames: "publications" | "pings" | "garbage";
  }
  /** The same request repeatedly, `at_once` in parallel, each with the file as its body if there is one. */
  | {
    readonly kind: "requests";
    readonly url: string;
    readonly method: string;
    readonly token: string;
    readonly at_once: number;
    readonly body?: { readonly type: string; readonly file: string };
  };

/** A client of an attack. `%n` in a frame is the frame's number, which is never repeated. */
export interface FrameClient {
  readonly token: string;
  /** Sent once after connecting. */
  readonly first?: readonly string[];
  /** Sent in turn until the attack ends. */
  readonly frames?: readonly string[];
  /** The number of the first of those; 0 if omitted. */
  readonly from?: number;
}

/** How often it attacked, and how often the bus answered with each code or status, or closed the connection. */
export interface AttackReport {
  readonly times: number;
  readonly answers: Readonly<Record<string, number>>;
}

const answers: Record<string, number> = {};
let times = 0;
let over = false;

function count(answer: string | number): void {
  answers[answer] = (answers[answer] ?? 0) + 1;
}

async function strangers({ url, at_once, says }: Order & { kind: "strangers" }): Promise<void> {
  const { hostname, port } = new URL(url);
  const open: Deno.Conn[] = [];
  const close = (connection: Deno.Conn | undefined) => {
    try {
      connection?.close();
    } catch {
      // The bus has closed it.
    }
  };
  while (!over) {
    try {
      const connection = await Deno.connect({ hostname, port: Number(port) });
      open.push(connection);
      times++;
      if (says !== "") await connection.write(new TextEncoder().encode(says));
    } catch (error) {
      count((error as Error).name);
      await pace(10);
    }
    if (open.length > at_once) close(open.shift());
  }
  for (const connection of open) close(connection);
}

async function sender(url: string, token: string): Promise<WebSocket> {
  const socket = new WebSocket(url, ["arqon.v1.json", `arqon.token.${token}`]);
  await new Promise<void>((resolve, reject) => {
    socket.onmessage = () => resolve();
    socket.onclose = ({ code }) => reject(new Error(`closed with ${code}`));
  });
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.op === "ack" || frame.op === "err") count(frame.reason ?? frame.code);
  };
  socket.onclose = ({ code }) => count(`closed ${code}`);
  return socket;
}

async function frames({ url, clients, rate }: Order & { kind: "frames" }): Promise<void> {
  const sockets = await Promise.all(clients.map(async (client) => {
    const { token, first = [], frames = [], from = 0 } = client;
    const socket = await sender(url, token);
    for (const frame of first) socket.send(frame);
    return { socket, frames, from };
  }));
  const began_ms = performance.now();
  let rounds = 0;
  while (!over) {
    for (; rounds < (performance.now() - began_ms) * rate / 1_000; rounds++) {
      for (const { socket, frames, from } of sockets) {
        if (frames.length === 0 || socket.readyState !== WebSocket.OPEN) continue;
        socket.send(frames[rounds % frames.length]!.replaceAll("%n", String(from + rounds)));
        times++;
      }
    }
    await pace(1);
  }
  for (const { socket } of sockets) socket.close();
}

const CHUNK_BYTES = 65_536;

/** Many frames in one write. */
function crowd(frame: Uint8Array): { readonly bytes: Uint8Array; readonly frames: number } {
  const frames = Math.max(1, Math.floor(CHUNK_BYTES / frame.length));
  const bytes = new Uint8Array(frames * frame.length);
  for (let at = 0; at < frames; at++) bytes.set(frame, at * frame.length);
  return { bytes, frames };
}

const FLOODS = {
  publications: () =>
    rawFrame(
      TEXT,
      new TextEncoder().encode(JSON.stringify({ op: "pub", room: "flood", data: "x", id: 1 })),
    ),
  pings: () => rawFrame(PING, new Uint8Array(8)),
  garbage: () => rawFrame(BINARY, new Uint8Array(8)),
};

async function flood({ url, token, frames }: Order & { kind: "flood" }): Promise<void> {
  const { bytes, frames: each } = crowd(FLOODS[frames]());
  while (!over) {
    const peer = await RawPeer.connect(url, [
      `Authorization: Bearer ${token}`,
      ...(frames === "publications" ? ["Sec-WebSocket-Protocol: arqon.v1.json"] : []),
    ]).catch(() => undefined);
    if (!peer?.head.startsWith("HTTP/1.1 101 ")) {
      count(peer?.head.slice(9, 12) ?? "no answer");
      peer?.[Symbol.dispose]();
      await pace(10);
      continue;
    }
    const reading = peer.closeCode().then((code) => count(`closed ${code ?? "hard"}`), () => {});
    try {
      while (!over) {
        await peer.write(bytes);
        times += each;
      }
    } catch {
      // Nobody reads it now.
    }
    peer[Symbol.dispose]();
    await reading;
  }
}

async function requests(order: Order & { kind: "requests" }): Promise<void> {
  const { method, token, body, at_once } = order;
  const authorization = `Bearer ${token}`;
  const sent = body === undefined ? { headers: { authorization } } : {
    headers: { authorization, "content-type": body.type },
    body: await Deno.readFile(body.file),
  };
  const one = async () => {
    while (!over) {
      times++;
      const response = await fetch(order.url, { method, ...sent }).catch(() => undefined);
      count(response?.status ?? "no answer");
      await response?.arrayBuffer().catch(() => {});
    }
  };
  await Promise.all(Array.from({ length: at_once }, one));
}

async function attack(order: Order): Promise<void> {
  if (order.kind === "strangers") await strangers(order);
  else if (order.kind === "frames") await frames(order);
  else if (order.kind === "flood") await flood(order);
  else await requests(order);
}

if (import.meta.main) {
  const lines = ownLines();
  const order: Order = JSON.parse((await lines.next()).value ?? "");
  const attacking = attack(order);
  console.log(JSON.stringify({ ready: true }));
  await Promise.race([lines.next(), attacking]);
  over = true;
  await attacking;
  console.log(JSON.stringify({ times, answers } satisfies AttackReport));
  Deno.exit(0);
}
