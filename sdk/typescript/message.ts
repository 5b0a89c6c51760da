/**
 * A message as a subscriber sees it. The bytes of `data` are exactly the publisher's.
 */
import type { PlainEnvelope, PlainSignal, Uint64 } from "@arqon/proto";

/** What a message costs besides its data (headers, strings, the frame it is a part of): measured. */
const OVERHEAD_BYTES = 2_048;

/**
 * One item of a subscription: an event, a command, or a word of the system (`signal`). Text fields
 * that the publisher did not set are empty, never undefined.
 */
export class Message {
  readonly room: string;
  /** The event's type or the command's name; empty for a signal. */
  readonly type: string;
  readonly data: Uint8Array;
  readonly content_type: string;
  /** The Protobuf type of `data`, as the publisher named it. */
  readonly schema_id: string;
  /** User id of the publisher, stamped by the Shield. */
  readonly sender: string;
  /** Unix ms, stamped by the Shield. */
  readonly timestamp_ms: number;
  /** Without a prototype: any name is safe to look up. */
  readonly headers: Readonly<Record<string, string>>;
  readonly message_id: string;
  readonly trace_id: string;
  /** Position in a durable room, else 0. */
  readonly offset: Uint64;
  /** The epoch of that position; empty where it is not known, and in rooms that are not durable. */
  readonly epoch: string;
  /**
   * Set when this is a word from the system and not a publisher's message. Kind `GAP` says that
   * messages of this room were lost right here: after a reconnect, because the loop was too slow, or,
   * in a durable room, because what this client missed is no longer kept; `reason` says which.
   */
  readonly signal: PlainSignal | undefined;

  constructor(envelope: PlainEnvelope, epoch = "") {
    this.room = envelope.room_id;
    this.type = envelope.event?.type ?? envelope.command?.name ?? "";
    this.data = envelope.event?.data ?? envelope.command?.data ?? new Uint8Array();
    this.content_type = envelope.event?.content_type ?? envelope.command?.content_type ?? "";
    this.schema_id = envelope.event?.schema_id ?? "";
    this.sender = envelope.sender_id;
    this.timestamp_ms = envelope.timestamp_ms;
    this.headers = envelope.headers;
    this.message_id = envelope.message_id;
    this.trace_id = envelope.trace_id;
    this.offset = envelope.offset;
    this.epoch = epoch;
    this.signal = envelope.signal;
  }

  /** Size for buffer limits, in bytes. */
  get size_bytes(): number {
    return this.data.length + OVERHEAD_BYTES;
  }

  /** The data as text. Throws TypeError when it is not UTF-8. */
  text(): string {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(this.data);
  }

  /** The data as JSON. Throws SyntaxError or TypeError when it is not. */
  json(): unknown {
    return JSON.parse(this.text());
  }
}

/** The GAP that the SDK itself puts where messages were lost. */
export function gapMessage(room_id: string, reason: string, timestamp_ms: number): Message {
  return new Message({
    trace_id: "",
    tenant_id: "",
    room_id,
    timestamp_ms,
    headers: Object.create(null),
    ack_requested: false,
    request_id: 0,
    sender_id: "",
    offset: 0,
    message_id: "",
    signal: { kind: "GAP", target: room_id, reason, until_ms: 0 },
  });
}
