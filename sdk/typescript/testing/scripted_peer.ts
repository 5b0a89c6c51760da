/**
 * A scripted peer with real sockets, for rare or impossible behaviour of a Shield. Not part of the package.
 */
import assert from "node:assert/strict";
import { ArqonError, decodeClientFrame, encodeAck, encodeMsg, encodeWelcome } from "@arqon/proto";
import { type Reason, writeEnvelope } from "@arqon/proto";
import type { ClientOperation, EnvelopeInput, PresentMember, Subscribe } from "@arqon/proto";
import type { Uint64 } from "@arqon/proto";
import type { ConnectOptions, Status } from "../mod.ts";

const TOKEN = "e30.e30.c2ln";
/** For `decodeClientFrame`. */
export const LIMITS = { headers: 64, header_bytes: 16_384, field_bytes: 256 };
/** The room of all these tests. */
export const ROOM = "lobby";
const encoder = new TextEncoder();

/** One connection of a client, from the peer's side. */
export class Line {
  readonly socket: WebSocket;
  /** Counts from 0. */
  readonly index: number;

  constructor(socket: WebSocket, index: number) {
    this.socket = socket;
    this.index = index;
  }

  get is_closed(): boolean {
    return this.socket.readyState === WebSocket.CLOSED;
  }

  /** Sends WELCOME; the Shield's clock is then at 1. */
  welcome(max_frame_bytes = 1_024): void {
    this.send(encodeWelcome({
      connection_id: "c",
      user_id: "u",
      tenant_id: "t",
      server_time_ms: 1,
      heartbeat_ms: 60_000,
      max_frame_bytes,
      token_expires_ms: 0,
      node_id: "n",
      protocol_version: 1,
    }));
  }

  /** Accepts a request, with this JSON as the result; an offset in it is the ACK's, too. */
  accept({ request_id }: { readonly request_id: Uint64 }, result?: object): void {
    if (result === undefined) return this.send(encodeAck({ request_id }));
    const offset = "offset" in result ? Number(result.offset) : 0;
    this.answer(request_id, encoder.encode(JSON.stringify(result)), offset);
  }

  /** Accepts a request, with any bytes as the result. */
  answer(request_id: Uint64, result: Uint8Array, offset = 0): void {
    this.send(encodeAck({ request_id, offset, result }));
  }

  refuse(
    { request_id }: { readonly request_id: Uint64 },
    code: number,
    reason: string,
    retry_after_ms = 0,
  ): void {
    this.send(encodeAck({ request_id, code, reason, message: "no", retry_after_ms }));
  }

  /** A publisher's message; offset 0 in a room that is not durable. */
  message(offset: number, text: string): void {
    this.say({ sender_id: "ann", offset, event: { type: "x", data: encoder.encode(text) } });
  }

  gap(reason: string): void {
    this.say({ signal: { kind: "GAP", target: ROOM, reason, until_ms: 0 } });
  }

  /** Requests a move, as a Shield does that stops. */
  drain(window_ms = 60_000): void {
    const until_ms = 1 + window_ms;
    this.say({ room_id: "", signal: { kind: "DRAIN", target: "n", reason: "restart", until_ms } });
  }

  say(envelope: EnvelopeInput): void {
    this.send(encodeMsg(writeEnvelope({ room_id: ROOM, ...envelope })));
  }

  send(frame: Uint8Array<ArrayBuffer>): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(frame);
  }

  /** Ends the connection so that the client reconnects; earlier frames arrive. */
  drop(): void {
    this.socket.close(4408, "");
  }
}

/** A member as its Shield describes it, without metadata. */
export function member(connection_id: string): PresentMember {
  return { connection_id, user_id: `user-${connection_id}`, meta: "", joined_ms: 1 };
}

/** The result of a SUB with presence: a list of these members. */
export function listOf(ids: readonly string[]) {
  const members = ids.map((id) => ({ ...member(id), meta: null }));
  return { members, connections: ids.length, users: ids.length, pages: 1 };
}

/** A running peer. */
export interface Peer extends AsyncDisposable {
  readonly url: string;
  /** How many sockets were opened. */
  readonly sockets: number;
  /** The open ones, and those that were. */
  readonly lines: readonly Line[];
  /** The latest. */
  readonly line: Line;
}

/** The behaviour of a peer. */
export interface Script {
  /** Called for each line when it is open; by default it sends WELCOME. */
  open?(line: Line): void;
  /** Called for each frame of a client. */
  hear?(line: Line, operation: ClientOperation): void;
  /** Answers requests other than upgrades, and with `refuse` also upgrades. */
  http?(request: Request): Response;
  refuse?(index: number): boolean;
}

/** A peer on a free port; it ends with the test's scope. */
export function startPeer(script: Script = {}): Peer {
  let count = 0;
  const lines: Line[] = [];
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
    const upgrade = request.headers.get("upgrade") === "websocket";
    const index = count;
    if (!upgrade || script.refuse?.(index)) {
      if (upgrade) count += 1;
      return script.http?.(request) ?? new Response("{}", { status: 200 });
    }
    count += 1;
    const { socket, response } = Deno.upgradeWebSocket(request, { protocol: "arqon.v1" });
    const line = new Line(socket, index);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      lines.push(line);
      if (script.open) script.open(line);
      else line.welcome();
    };
    socket.onmessage = ({ data }) =>
      script.hear?.(line, decodeClientFrame(new Uint8Array(data), LIMITS));
    return response;
  });
  return {
    url: `ws://127.0.0.1:${server.addr.port}`,
    lines,
    get line() {
      return lines.at(-1)!;
    },
    get sockets() {
      return count;
    },
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** A peer, and all received SUBs. */
export interface Room extends Peer {
  readonly subs: readonly Subscribe[];
}

/** The positions in the SUBs: offset and epoch of each. */
export const placesOf = (subs: readonly Subscribe[]) =>
  subs.map(({ after_offset, epoch }) => [Number(after_offset), epoch]);

/** Receives every SUB with its number, from 1, and with `other` every other operation. */
export function startRoom(
  hear: (line: Line, subscribe: Subscribe, count: number) => void,
  other: (line: Line, operation: ClientOperation) => void = () => {},
): Room {
  const subs: Subscribe[] = [];
  const peer = startPeer({
    hear(line, operation) {
      if (operation.kind !== "subscribe") return other(line, operation);
      subs.push(operation.subscribe);
      hear(line, operation.subscribe, subs.length);
    },
  });
  return Object.assign(peer, { subs });
}

/** For `assert.rejects`: an ArqonError with this reason. */
export const refusedWith = (reason: Reason) => (error: unknown) => {
  assert.ok(error instanceof ArqonError, String(error));
  assert.equal(error.reason, reason, error.message);
  return true;
};

/** Options with short waits, and all received statuses. */
export function quick(url: string): { options: ConnectOptions; statuses: Status[] } {
  const statuses: Status[] = [];
  return {
    options: {
      url,
      token: TOKEN,
      backoff: { base_ms: 1, max_ms: 5 },
      onStatus: (status) => statuses.push(status),
    },
    statuses,
  };
}
