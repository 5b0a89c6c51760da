/**
 * One connection of a soak run: it hears one room, tells the room's checker everything that comes, and
 * answers PINGs. The first one of a room is its sender. It does not come back when it ends: nothing is
 * hurt here, so nothing may end.
 */
import {
  decodeServerFrame,
  encodePong,
  encodePub,
  encodeSub,
  readPresenceLeave,
  readPresenceUpdate,
  writeEnvelope,
} from "@arqon/proto";
import type { Ack, PlainEnvelope } from "@arqon/proto";
import { pace } from "../../shared/testing/pace.ts";
import { UpgradeError, WireSocket } from "../load/wire_socket.ts";
import { readSampleJson, readSampleProtobuf, sampleJson, sampleProtobuf } from "../load/sample.ts";
import type { RoomCheck } from "./room_check.ts";
import type { RoomKind } from "./plan.ts";

/** Where to, and what for. */
export interface MemberOptions {
  readonly hostname: string;
  readonly port: number;
  readonly token: string;
  readonly local_address: string;
  readonly kind: RoomKind;
  readonly check: RoomCheck;
  /** The checker's number for it. */
  readonly hearer: number;
  /** Hears how long a message was on its way. */
  readonly onLatency: (latency_ms: number) => void;
  /** Hears what has no other place. */
  readonly onFinding: (text: string) => void;
}

const SUB_ID = 1;
/** Ids of messages: their sequence above this. */
const FIRST_ID = 1;
const RETRY_MS = 500;
const ATTEMPTS = 60;

/** One member of one room. */
export class Member {
  /** Presence events that came. */
  presence = 0;
  /** The room's connections as last told, where presence is on. */
  connections = 0;
  readonly #options: MemberOptions;
  readonly #subscribed = Promise.withResolvers<void>();
  #socket: WireSocket | undefined;
  #closing = false;

  constructor(options: MemberOptions) {
    this.#options = options;
    // Whoever awaits `open` hears of it.
    this.#subscribed.promise.catch(() => {});
  }

  /** Resolves when it is subscribed. Rejects when it is refused in the end. */
  async open(): Promise<void> {
    const { kind, check } = this.#options;
    this.#socket = await this.#connect();
    const presence = kind === "people";
    this.#socket.send(encodeSub({ room_id: check.room_id, request_id: SUB_ID, presence }));
    await this.#subscribed.promise;
  }

  /** Sends the room's next message. */
  send(): void {
    const { check, kind } = this.#options;
    const { tenant_id, room_id } = check;
    const sequence = check.send();
    const sample = { tenant_id, room_id, sequence, sent_ms: performance.now() };
    const binary = kind === "feed";
    const event = {
      type: "sample",
      data: binary ? sampleProtobuf(sample) : sampleJson(sample),
      content_type: binary ? "application/protobuf" : "application/json",
    };
    const request_id = sequence + FIRST_ID;
    const envelope = { room_id, request_id, ack_requested: true, event };
    this.#socket?.send(encodePub(writeEnvelope(envelope)));
  }

  close(): void {
    this.#closing = true;
    this.#socket?.close();
  }

  async #connect(): Promise<WireSocket> {
    const { hostname, port, token, local_address } = this.#options;
    for (let attempt = 1;; attempt++) {
      const socket = new WireSocket({
        hostname,
        port,
        token,
        local_address,
        onMessage: (body) => this.#onFrame(body),
        onClose: (code, reason) => this.#onClose(code, reason),
      });
      try {
        await socket.opened;
        return socket;
      } catch (error) {
        const later = error instanceof UpgradeError && error.is_temporary;
        if (!later || attempt === ATTEMPTS) throw error;
        await pace(error.retry_after_ms ?? RETRY_MS);
      }
    }
  }

  #onClose(code: number, reason: string): void {
    const { check, onFinding } = this.#options;
    this.#subscribed.reject(new Error(`closed with ${code} ${reason}`));
    if (this.#closing) return;
    check.faults.disconnected++;
    onFinding(`a connection in ${check.tenant_id}/${check.room_id} was closed: ${code} ${reason}`);
  }

  #onFrame(body: Uint8Array): void {
    const frame = decodeServerFrame(body);
    if (frame.kind === "msg") this.#onMessage(frame.envelope);
    else if (frame.kind === "batch") {
      for (const envelope of frame.envelopes) this.#onMessage(envelope);
    } else if (frame.kind === "ack") this.#onAck(frame.ack);
    else if (frame.kind === "ping") this.#socket?.send(encodePong(frame.body));
    else if (frame.kind === "err") {
      this.#options.onFinding(`ERR ${frame.code}: ${frame.message}`);
    }
  }

  #onAck({ request_id, code, reason, message, result }: Ack): void {
    const id = Number(request_id);
    if (id > FIRST_ID) return this.#options.check.answered(id - FIRST_ID, code === 0 ? "" : reason);
    if (code !== 0) return this.#subscribed.reject(new Error(`SUB: ${code} ${reason} ${message}`));
    if (this.#options.kind === "people") {
      this.connections = JSON.parse(new TextDecoder().decode(result)).connections;
    }
    this.#subscribed.resolve();
  }

  #onMessage({ tenant_id, room_id, event, signal }: PlainEnvelope): void {
    const { check, kind, hearer, onLatency, onFinding } = this.#options;
    if (signal !== undefined) {
      check.faults.gaps++;
      return onFinding(`${signal.kind} in ${tenant_id}/${room_id}: ${signal.reason}`);
    }
    if (event === undefined) return;
    if (event.type === "PRESENCE_UPDATE" || event.type === "PRESENCE_LEAVE") {
      this.presence++;
      const read = event.type === "PRESENCE_UPDATE" ? readPresenceUpdate : readPresenceLeave;
      this.connections = read(event.data).connections;
      return;
    }
    if (event.type !== "sample") return;
    const sample = kind === "feed" ? readSampleProtobuf(event.data) : readSampleJson(event.data);
    onLatency(performance.now() - sample.sent_ms);
    // Both what the sender wrote and what the Shield says must be this room's.
    const astray = tenant_id !== check.tenant_id || room_id !== check.room_id;
    check.heard(hearer, astray ? { ...sample, tenant_id, room_id } : sample);
  }
}
