/**
 * The behaviour of every implementation of client sockets, on real listeners with real peers; `conformance_test.ts`
 * runs it against all. This file has the shared parts, and the cases of messages and closing; the others are in
 * `conformance_fair.ts` and `conformance_http.ts`.
 */
import assert from "node:assert/strict";
import { until } from "../../../shared/testing/until.ts";
import type { ClientSocket, SocketServer, Upgraded } from "../client_socket.ts";
import {
  BINARY,
  CLOSE,
  CONTINUATION,
  PING,
  PONG,
  rawFrame,
  RawPeer,
  TEXT,
} from "./conformance_peer.ts";

/** Of every host; only what crosses it may differ. */
export const MESSAGE_BYTES_MAX = 1_000_000;

/** One upgraded socket as the server sees it. */
export class Seen {
  readonly socket: ClientSocket;
  /** In order: "open", messages, and the close code. */
  readonly events: (string | Uint8Array | number)[] = [];
  /** Called for each recorded message. */
  onmessage: () => void = () => {};

  constructor({ socket, listen }: Upgraded) {
    this.socket = socket;
    listen({
      opened: () => this.events.push("open"),
      message: (data) => {
        this.events.push(typeof data === "string" ? data : new Uint8Array(data));
        this.onmessage();
      },
      flooded: () => this.events.push("flooded"),
      tooLong: () => {},
      closed: (code) => this.events.push(code),
    });
  }

  /** Resolves once that many events were recorded. Rejects after 20 s. */
  async count(count: number): Promise<readonly (string | Uint8Array | number)[]> {
    const what = () => `${count} events, not ${this.events.length}`;
    await until(what, () => this.events.length >= count);
    return this.events;
  }

  /** Resolves with the close code. */
  async closed(): Promise<number> {
    await until("the close", () => typeof this.events.at(-1) === "number");
    return this.events.at(-1) as number;
  }
}

/** A listener with upgrades by one implementation. */
export interface Host extends AsyncDisposable {
  readonly implementation: SocketServer["implementation"];
  readonly url: string;
  /** Of its certificate; absent without TLS. */
  readonly ca?: string;
  /** The next socket; must be called before its client connects. */
  next(): Promise<Seen>;
}

/** Options of a case's host. */
export interface HostOptions {
  readonly heartbeat_ms?: number;
  readonly close_ms?: number;
  /** The most queued messages of one connection; by default more than any case sends. */
  readonly waiting_messages?: number;
  /** Monotonic ms, for shares of turns. */
  readonly now_ms?: () => number;
  readonly tls?: boolean;
  /** Answers requests that are no upgrade, and upgrades to `/refused`. */
  readonly handler?: (request: Request) => Response | Promise<Response>;
}

/** One behaviour of every implementation. */
export interface Case {
  readonly behaviour: string;
  /** The behaviour of an implementation that lacks this one; the case tests it. */
  readonly except?: Partial<Readonly<Record<SocketServer["implementation"], string>>>;
  readonly options?: HostOptions;
  run(host: Host): Promise<void>;
}

/** A raw peer and its socket, open. */
export async function open(
  host: Host,
  headers: readonly string[] = [],
): Promise<{ peer: RawPeer; seen: Seen }> {
  const next = host.next();
  const peer = await RawPeer.connect(host.url, headers, host.ca);
  assert.match(peer.head, /^HTTP\/1\.1 101 /);
  const seen = await next;
  await seen.count(1);
  return { peer, seen };
}

/** A case of one open socket, whose peer disconnects at the end. */
export function opened(
  run: (pair: Awaited<ReturnType<typeof open>>, host: Host) => Promise<void>,
): Case["run"] {
  return async (host) => {
    const pair = await open(host);
    using _peer = pair.peer;
    await run(pair, host);
  };
}

const bytes = (text: string) => new TextEncoder().encode(text);
const fill = (length: number, value = 7) => new Uint8Array(length).fill(value);

const MESSAGES: readonly Case[] = [
  {
    behaviour: "opens once, then delivers text and binary messages whole and in order",
    run: opened(async ({ peer, seen }) => {
      const long = fill(200_000);
      const frames = [
        rawFrame(TEXT, bytes("grüße")),
        rawFrame(BINARY, long),
        rawFrame(TEXT, bytes("")),
      ];
      for (const frame of frames) await peer.write(frame);
      assert.deepEqual(await seen.count(4), ["open", "grüße", long, ""]);
    }),
  },
  {
    behaviour: "joins a fragmented message, with or without control frames between the fragments",
    run: opened(async ({ peer, seen }) => {
      await peer.write(rawFrame(TEXT, bytes("one "), false));
      await peer.write(rawFrame(CONTINUATION, bytes("two "), false));
      await peer.write(rawFrame(PING, bytes("?")));
      assert.deepEqual(await peer.frame(), { opcode: PONG, body: bytes("?") });
      await peer.write(rawFrame(CONTINUATION, bytes("three")));
      assert.deepEqual(await seen.count(2), ["open", "one two three"]);
    }),
  },
  {
    behaviour: "sends text and binary frames in the order of send",
    run: opened(async ({ peer, seen }) => {
      const { socket } = seen;
      socket.send("a");
      socket.send(fill(100_000));
      socket.send("z");
      assert.deepEqual(await peer.frame(), { opcode: TEXT, body: bytes("a") });
      assert.deepEqual(await peer.frame(), { opcode: BINARY, body: fill(100_000) });
      assert.deepEqual(await peer.frame(), { opcode: TEXT, body: bytes("z") });
    }),
  },
  {
    behaviour: "a message has its own buffer, also for messages that arrived in one packet",
    run: opened(async ({ peer, seen }) => {
      const two = [...rawFrame(BINARY, fill(3, 1)), ...rawFrame(BINARY, fill(3, 2))];
      await peer.write(new Uint8Array(two));
      const [, first, second] = await seen.count(3);
      assert.deepEqual([first, second], [fill(3, 1), fill(3, 2)]);
      assert.notEqual((first as Uint8Array).buffer, (second as Uint8Array).buffer);
      assert.equal((first as Uint8Array).buffer.byteLength, 3);
    }),
  },
  {
    behaviour: "keeps a byte order mark, and refuses text that is not UTF-8",
    run: opened(async ({ peer, seen }) => {
      await peer.write(rawFrame(TEXT, bytes("\ufeffx")));
      assert.deepEqual(await seen.count(2), ["open", "\ufeffx"]);
      await peer.write(rawFrame(TEXT, new Uint8Array([0xff, 0xfe])));
      await peer.leave();
      await seen.closed();
      assert.equal(seen.events.length, 3);
    }),
  },
  {
    behaviour: "reports the unsent bytes of a peer that does not read",
    run: opened(async ({ peer, seen }) => {
      const { socket } = seen;
      assert.equal(socket.bufferedAmount, 0);
      for (let frames = 0; frames < 200; frames++) socket.send(fill(100_000));
      assert(socket.bufferedAmount > 1_000_000);
      for (let frames = 0; frames < 200; frames++) await peer.frame();
      await until("an empty buffer", () => socket.bufferedAmount === 0);
    }),
  },
];

const CLOSES: readonly Case[] = [
  {
    behaviour: "closes with code and reason, after the sent frames, once the peer has answered",
    run: opened(async ({ peer, seen }) => {
      seen.socket.send("last");
      seen.socket.close(1012, "restart");
      seen.socket.close(4413, "again");
      assert.equal((await peer.frame())?.opcode, TEXT);
      const close = await peer.frame();
      assert.deepEqual(close, {
        opcode: CLOSE,
        body: new Uint8Array([3, 0xf4, ...bytes("restart")]),
      });
      assert.deepEqual(seen.events, ["open"]);
      await peer.write(rawFrame(CLOSE, new Uint8Array([3, 0xf4])));
      peer[Symbol.dispose]();
      assert.equal(await seen.closed(), 1012);
    }),
  },
  {
    behaviour: "reports the code of a peer that closes, and answers it",
    run: opened(async ({ peer, seen }) => {
      await peer.write(rawFrame(CLOSE, new Uint8Array([0x0f, 0xa1, ...bytes("bye")])));
      assert.equal(await peer.closeCode(), 4001);
      peer[Symbol.dispose]();
      assert.deepEqual(await seen.count(2), ["open", 4001]);
    }),
  },
  {
    behaviour: "a peer that closes like a given-up one has closed itself",
    run: opened(async ({ peer, seen }) => {
      const reason = bytes("No response from ping frame.");
      await peer.write(rawFrame(CLOSE, new Uint8Array([0x03, 0xe9, ...reason])));
      await peer.leave();
      assert.deepEqual(await seen.count(2), ["open", 1001]);
    }),
  },
  {
    behaviour: "a peer that disconnects is 1006, and sending and closing then do nothing",
    async run(host) {
      const { peer, seen } = await open(host);
      peer[Symbol.dispose]();
      assert.equal(await seen.closed(), 1006);
      seen.socket.send("nobody");
      seen.socket.close(1000, "");
      seen.socket.terminate();
      assert.deepEqual(seen.events, ["open", 1006]);
    },
  },
  {
    behaviour: "ends a peer that violates the protocol",
    run: opened(async ({ peer, seen }) => {
      // A continuation of nothing.
      await peer.write(rawFrame(CONTINUATION, bytes("x")));
      await peer.leave();
      await seen.closed();
      assert.equal(seen.events.length, 2);
    }),
  },
  {
    behaviour:
      "a message below the limit arrives; above it, if there is a limit, the peer sees 1009",
    run: opened(async ({ peer, seen }, host) => {
      await peer.write(rawFrame(BINARY, fill(MESSAGE_BYTES_MAX)));
      await seen.count(2);
      await peer.write(rawFrame(BINARY, fill(MESSAGE_BYTES_MAX / 2), false));
      await peer.write(rawFrame(CONTINUATION, fill(MESSAGE_BYTES_MAX / 2 + 1)));
      if (host.implementation === "native") {
        assert.equal(((await seen.count(3))[2] as Uint8Array).length, MESSAGE_BYTES_MAX + 1);
      } else {
        assert.equal(await peer.closeCode(), 1009);
        await peer.write(rawFrame(CLOSE, new Uint8Array([3, 0xf1])));
        peer[Symbol.dispose]();
        assert.equal(await seen.closed(), 4413);
      }
    }),
  },
  {
    behaviour:
      "a peer with a partial message is cut off, or the implementation reports that it cannot",
    run: opened(async ({ peer, seen }, host) => {
      await peer.write(rawFrame(BINARY, fill(300_000), false));
      await peer.write(rawFrame(PING, bytes("?")));
      await peer.frame();
      const { unfinished_bytes } = seen.socket;
      assert.equal(seen.socket.terminate(), host.implementation !== "native");
      if (host.implementation === "native") return assert.equal(unfinished_bytes, undefined);
      assert(unfinished_bytes !== undefined && unfinished_bytes >= 300_000, `${unfinished_bytes}`);
      assert.equal(await seen.closed(), 1006);
      assert.equal(await peer.frame(), undefined);
    }),
  },
];

const HEARTBEAT: readonly Case[] = [
  {
    behaviour:
      "pings a silent peer, keeps one that answers, gives up one silent for three heartbeats",
    options: { heartbeat_ms: 2_000 },
    async run(host) {
      const began_ms = performance.now();
      const alive = await open(host);
      const dead = await open(host);
      using peer = alive.peer;
      using _dead = dead.peer;
      let pings = 0;
      while (pings < 3 || dead.seen.events.length < 2) {
        const frame = await peer.frame();
        assert.equal(frame?.opcode, PING);
        pings++;
        await peer.write(rawFrame(PONG, frame?.body ?? new Uint8Array(0)));
      }
      assert.deepEqual(dead.seen.events, ["open", 4408]);
      // Native sockets are closed by Deno, with its own code.
      const code = host.implementation === "own" ? 4408 : 1001;
      assert.equal(await dead.peer.closeCode(), code);
      const silent_ms = performance.now() - began_ms;
      assert(silent_ms >= 6_000, `given up after ${silent_ms} ms`);
      assert.deepEqual(alive.seen.events, ["open"]);
    },
  },
];

/** Messages, closing, heartbeat. */
export const SOCKET_CASES: readonly Case[] = [...MESSAGES, ...CLOSES, ...HEARTBEAT];
