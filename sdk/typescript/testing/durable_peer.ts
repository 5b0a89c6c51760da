/**
 * A peer that serves one durable room: frames of the test, or of a small log. Real sockets; not a Shield, and not part
 * of the package.
 */
import { decodeClientFrame, encodeAck, encodeMsg, writeEnvelope } from "@arqon/proto";
import type { ClientOperation, EnvelopeInput, Subscribe, Uint64 } from "@arqon/proto";
import { bytes, LIMITS, type Peer, startPeer, welcome } from "./scripted_peer.ts";

/** The room of all these tests. */
export const ROOM = "orders";

/** The ACK of a SUB to a durable room. */
export interface Standing {
  readonly offset: number;
  readonly epoch: string;
  readonly recovered?: boolean;
  readonly reason?: string;
}

const encoder = new TextEncoder();

/** One connection of a client, from the peer's side. */
export class Line {
  readonly #socket: WebSocket;

  constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  /** Accepts a SUB; without `standing` as a room that is not durable. */
  accept({ request_id }: Subscribe, standing?: Standing): void {
    if (standing === undefined) return this.send(encodeAck({ request_id }));
    this.answer(request_id, encoder.encode(JSON.stringify(standing)), standing.offset);
  }

  /** Accepts any request. */
  answer(request_id: Uint64, result: Uint8Array, offset = 0): void {
    this.send(encodeAck({ request_id, offset, result }));
  }

  refuse(
    { request_id }: { readonly request_id: Uint64 },
    code: number,
    reason: string,
  ): void {
    this.send(encodeAck({ request_id, code, reason, message: "no" }));
  }

  /** A publisher's message; offset 0 in a room that is not durable. */
  message(offset: number, text: string): void {
    this.say({ sender_id: "ann", offset, event: { type: "x", data: encoder.encode(text) } });
  }

  gap(reason: string): void {
    this.say({ signal: { kind: "GAP", target: ROOM, reason, until_ms: 0 } });
  }

  say(envelope: EnvelopeInput): void {
    this.send(encodeMsg(writeEnvelope({ room_id: ROOM, ...envelope })));
  }

  send(frame: Uint8Array): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(bytes(frame));
  }

  /** Ends the connection so that the client reconnects; earlier frames arrive. */
  drop(): void {
    this.#socket.close(4408, "");
  }
}

/** A running peer, all received SUBs, and the latest connection. */
export interface Room extends AsyncDisposable {
  readonly peer: Peer;
  readonly subs: Subscribe[];
  readonly line: Line;
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
  const lines = new Map<WebSocket, Line>();
  const peer = startPeer({
    open(socket) {
      lines.set(socket, new Line(socket));
      welcome(socket);
    },
    message(socket, data) {
      const line = lines.get(socket);
      if (line === undefined) return;
      const operation = decodeClientFrame(new Uint8Array(data), LIMITS);
      if (operation.kind !== "subscribe") return other(line, operation);
      subs.push(operation.subscribe);
      hear(line, operation.subscribe, subs.length);
    },
  });
  return {
    peer,
    subs,
    get line() {
      return [...lines.values()].at(-1) as Line;
    },
    [Symbol.asyncDispose]: () => peer[Symbol.asyncDispose](),
  };
}
