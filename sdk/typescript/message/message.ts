/** A received message. The bytes of `data` are exactly the publisher's. */
import { ArqonError, gapSignal, readEnvelope, strictText, UNREADABLE } from "@arqon/proto";
import type { PlainEnvelope, PlainSignal, Uint64 } from "@arqon/proto";
import { OVERHEAD_BYTES } from "../wire/bounds.ts";
import { malformed } from "../wire/wire_error.ts";

/**
 * One item of a subscription: an event, a command, or a message of the system (`signal`). Text
 * fields that the publisher did not set are empty, never undefined.
 */
export class Message {
  declare readonly room: string;
  /** The event's type or the command's name; empty for a signal. */
  declare readonly type: string;
  declare readonly data: Uint8Array;
  declare readonly content_type: string;
  /** The Protobuf type of `data`, as the publisher named it. */
  declare readonly schema_id: string;
  /** User id of the publisher, stamped by the Shield. */
  declare readonly sender: string;
  /** Unix ms, stamped by the Shield. */
  declare readonly timestamp_ms: number;
  /** Headers by name; the object has no prototype, so any name is safe to look up. */
  declare readonly headers: Readonly<Record<string, string>>;
  declare readonly message_id: string;
  declare readonly trace_id: string;
  /** The publisher's signature of the payload, if it signs; the transparency log has it, too. */
  declare readonly signature: Uint8Array | undefined;
  /** The offset in a durable room, otherwise 0. */
  declare readonly offset: Uint64;
  /** The epoch of that offset; empty if unknown, and in rooms that are not durable. */
  declare readonly epoch: string;
  /** Set for a message of the system. The kind `GAP` means lost messages: see `reason`. */
  declare readonly signal: PlainSignal | undefined;
  constructor(envelope: PlainEnvelope, epoch = "") {
    const { event, command } = envelope;
    const payload = event ?? command;
    this.room = envelope.room_id;
    this.type = event?.type ?? command?.name ?? "";
    this.data = payload?.data ?? new Uint8Array();
    this.content_type = payload?.content_type ?? "";
    this.schema_id = event?.schema_id ?? "";
    this.sender = envelope.sender_id;
    this.timestamp_ms = envelope.timestamp_ms;
    this.headers = envelope.headers;
    this.message_id = envelope.message_id;
    this.trace_id = envelope.trace_id;
    this.signature = envelope.signature;
    this.offset = envelope.offset;
    this.epoch = epoch;
    this.signal = envelope.signal;
  }

  /** The bus's own id (`X-Twist-ID`), the argument of `arq why --twist`; empty for a signal. */
  get id(): string {
    return this.headers["X-Twist-ID"] ?? "";
  }

  /**
   * Set for a publisher's unreadable message. `signal` is then a GAP with reason `unreadable`; `offset`, `sender` and
   * the Shield's other fields are set.
   */
  get error(): ArqonError | undefined {
    return this.signal?.reason === UNREADABLE ? malformed(UNREADABLE) : undefined;
  }

  /** The message's size for the limits of buffers, in bytes. */
  get size_bytes(): number {
    return this.data.length + OVERHEAD_BYTES;
  }

  /** The data as text. Throws TypeError if it is not UTF-8. */
  text(): string {
    return strictText(this.data);
  }

  /**
   * The data as JSON. Throws SyntaxError or TypeError if it is not JSON. `Value` is not checked: use it for trusted
   * data, and `typedRoom` for everything else.
   */
  json<Value = unknown>(): Value {
    return JSON.parse(this.text());
  }
}

/** A GAP that the SDK itself inserts where messages were lost. */
export function gapMessage(room_id: string, reason: string, timestamp_ms: number): Message {
  return new Message({
    ...readEnvelope(new Uint8Array()),
    room_id,
    timestamp_ms,
    signal: gapSignal(room_id, reason),
  });
}

/** Throws if the bus ends the loop over a room with this message: after a kick or a ban. A service may signal, too. */
export function requireIn(room_id: string, { room, signal, sender }: Message): void {
  const kind = !sender && signal?.target === room ? signal.kind : "GAP";
  if (kind !== "BAN" && kind !== "DISCONNECT") return;
  const reason = kind === "BAN" ? "room-banned" : "disconnected";
  throw new ArqonError(reason, `${room_id}: ${signal?.reason}`);
}
