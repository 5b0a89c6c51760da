/**
 * A message of a room: its frames, its owner, the key by which a newer one replaces it for a slow reader, and the GAP
 * in its place. The key is computed on first use, once for all receivers: without slow readers, never.
 */
import {
  DecodeError,
  encodeMsg,
  encodeMsgAt,
  encodeTextMessage,
  gapSignal,
  readEnvelope,
  readRouted,
} from "@arqon/proto";
import type { PlainEnvelope } from "@arqon/proto";
import { type StampSource, systemEnvelope } from "../../shared/records/system_envelope.ts";
import { isReservedType } from "../auth/authorize.ts";
import type { RoomMessage } from "./backlog.ts";
import type { Entry } from "./entry.ts";
import type { Frame } from "./frame_bytes.ts";
import type { RoomClass } from "../../shared/rooms/room_class.ts";

/** The header, in any case, with the key of a publisher's message. For rooms that keep only the latest message. */
const KEY_HEADER = "x-key";

/** A room and its class; undefined means the default class. */
export interface ClassedRoom {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly room_class: Pick<RoomClass, "slow_reader" | "pattern"> | undefined;
}

/** An envelope of a room; `plain` is its content, if it has been decoded. */
export interface Envelope {
  readonly envelope: Uint8Array;
  /** The message's offset; 0 in rooms that are not durable. */
  readonly offset: number;
  readonly plain?: PlainEnvelope | undefined;
}

/** A message in delivery to subscribers. */
export interface Outgoing extends Envelope {
  readonly origin: string | undefined;
  /** Whether the bus itself is the sender; absent: it is not. */
  readonly is_own?: boolean | undefined;
  /** Its entry in the room's log, which caches its frames; absent: it is not from the log. */
  readonly entry?: Entry;
}

/** The frame of a durable room's message in one of the two forms. */
export function entryFrame(entry: Entry, is_text: boolean): Frame {
  if (!is_text) return entry.binary;
  return entry.text ??= encodeTextMessage(readRouted(entry.binary.subarray(1)));
}

/** The frame of a message in one of its two forms. */
export function frameOf({ entry, envelope, offset, plain }: Outgoing, is_text: boolean): Frame {
  if (entry !== undefined) return entryFrame(entry, is_text);
  if (!is_text) return encodeMsgAt(envelope, offset);
  const shown = plain ?? readRouted(envelope);
  return encodeTextMessage(offset === 0 ? shown : { ...shown, offset });
}

/** The bytes of a GAP signal of a room, with the reason why messages are missing. */
export function gapEnvelope(
  stamps: StampSource,
  { tenant_id, room_id }: Pick<ClassedRoom, "tenant_id" | "room_id">,
  reason: string,
): Uint8Array<ArrayBuffer> {
  return systemEnvelope(stamps, { tenant_id, room_id, signal: gapSignal(room_id, reason) });
}

/**
 * The key by which a newer message replaces this one: the publisher's `x-key`, otherwise the event's type. Undefined
 * for signals, commands and the events of the bus, which every receiver must get.
 */
export function keyOf({ event, headers }: PlainEnvelope): string | undefined {
  if (event === undefined || isReservedType(event.type)) return undefined;
  const name = Object.keys(headers).find((one) => one.toLowerCase() === KEY_HEADER);
  const key = name === undefined ? undefined : headers[name];
  // The key is marked with its origin: an `x-key` equal to a type is not that type.
  return key === undefined ? `type ${event.type}` : `key ${key}`;
}

/** The key of an envelope; undefined also for an unreadable one, as its sender is unknown. */
function keyIn(envelope: Uint8Array): string | undefined {
  try {
    return keyOf(readEnvelope(envelope));
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

/**
 * The message as one that may be left out, shared by all its receivers; undefined if the room's class leaves nothing
 * out. `position` is the ledger's; 0: it has none.
 */
export function droppable(
  stamps: StampSource,
  room: ClassedRoom,
  message: Envelope,
  position: number = 0,
): RoomMessage | undefined {
  const slow_reader = room.room_class?.slow_reader ?? "disconnect";
  if (slow_reader === "disconnect") return undefined;
  return droppableAs(slow_reader, stamps, room, message, position);
}

/** Makes the message in a function of its own, so that a message of any other room allocates nothing. */
function droppableAs(
  slow_reader: RoomMessage["slow_reader"],
  stamps: StampSource,
  room: ClassedRoom,
  { envelope, offset, plain }: Envelope,
  position: number,
): RoomMessage {
  const { room_id } = room;
  let key: { readonly value: string | undefined } | undefined;
  let gap: Uint8Array<ArrayBuffer> | undefined;
  const frames: { binary?: Frame; text?: Frame } = {};
  return {
    room_id,
    pattern: room.room_class?.pattern ?? "",
    slow_reader,
    durable: offset > 0,
    position,
    key: () => (key ??= { value: plain ? keyOf(plain) : keyIn(envelope) }).value,
    gap(text) {
      gap ??= gapEnvelope(stamps, room, "slow-consumer");
      if (text) return frames.text ??= encodeTextMessage(readEnvelope(gap));
      return frames.binary ??= encodeMsg(gap);
    },
  };
}

/** Whether the bus itself is the sender: of an event of a reserved type, or of a signal. */
export function isOwnEvent(plain: PlainEnvelope | undefined): boolean {
  if (plain === undefined) return false;
  return plain.signal !== undefined ||
    plain.event !== undefined && isReservedType(plain.event.type);
}

/**
 * Reads an envelope from a backend. Throws DecodeError if it cannot be read, or names another tenant or room than its
 * subject.
 */
export function readForeign(
  { tenant_id, room_id }: { readonly tenant_id: string; readonly room_id: string },
  payload: Uint8Array,
): PlainEnvelope {
  const plain = readEnvelope(payload);
  const tenant_fits = plain.tenant_id === "" || plain.tenant_id === tenant_id;
  if (tenant_fits && (plain.room_id === "" || plain.room_id === room_id)) return plain;
  throw new DecodeError("invalid-field", "tenant_id or room_id differs from the subject");
}
