/**
 * Translates a room's messages in a Shield's frames into publications. Pure. A frame for several clients of a process
 * is decoded and encoded once.
 */
import { dataForm, readHistory, readRouted } from "@arqon/proto";
import type { PlainEnvelope, PlainEvent } from "@arqon/proto";
import { createFossil } from "../../shared/fossil/encode.ts";
import type { Form } from "./forms.ts";
import { type Data, NULL, type Publication, type Reply } from "./messages.ts";
import { tagsOf } from "./tags.ts";

/** The user id of backends with an API key. Their publications have no client info. */
export const API_USER = "centrifugo:api";
/** Types of events that the bus itself sends. */
const OF_THE_BUS = /^(?:PRESENCE_UPDATE|PRESENCE_LEAVE|ROOM_UPDATE)$/;

/** A signal of a room, or of the Shield if the room id is empty. */
export interface Signal {
  readonly kind: string;
  readonly reason?: string;
}

/** A decoded message of a room. */
export interface RoomMessage {
  readonly room_id: string;
  /** "" for a signal. */
  readonly type: string;
  /** "" for an event of the bus. */
  readonly sender: string;
  readonly signal: Signal | undefined;
  /** Undefined for a signal or an event of the bus. */
  readonly publication: Publication | undefined;
  readonly data: Data;
}

/** The data of an event; empty JSON data is null. */
function eventData({ data, content_type }: PlainEvent): Data {
  const is_null = data.length === 0 && (content_type === "" || dataForm(content_type) === "json");
  return is_null ? NULL : { bytes: data, content_type };
}

/** Decodes a routed message of a frame or of a history. */
function readRoomMessage(envelope: PlainEnvelope): RoomMessage {
  const { room_id, sender_id: sender, event, signal, offset } = envelope;
  const { type = "" } = event ?? {};
  const data = event === undefined ? NULL : eventData(event);
  const about = { room_id, type, sender, data, signal };
  if (signal !== undefined || OF_THE_BUS.test(type)) return { ...about, publication: undefined };
  const tags = tagsOf(envelope.headers, type);
  const publication: Publication = {
    data,
    ...(sender === "" || sender === API_USER ? {} : { info: { user: sender, client: "" } }),
    ...(offset === 0 ? {} : { offset: Number(offset) }),
    ...(tags === undefined ? {} : { tags }),
    time: envelope.timestamp_ms,
  };
  return { ...about, publication };
}

/** The publications of a history in its order, without signals and events of the bus. */
export function readPage(result: Uint8Array) {
  const { messages, epoch, offset } = readHistory(result);
  const publications = messages.flatMap((message) =>
    readRoomMessage(readRouted(message)).publication ?? []
  );
  return { publications, epoch, offset: Number(offset) };
}

/** The most diffs of one message, one for each base. Receivers with further bases get the full data. */
const DIFFS_MAX = 16;

/** A frame for a client, and the client's next base; undefined if no diff can use the data. */
interface Folded {
  readonly written: string | Uint8Array<ArrayBuffer>;
  readonly base: DeltaBase | undefined;
}

/** Caches the last frame and its encodings. */
export class RoomMessages {
  readonly #bases: DeltaBases;
  #frame: Uint8Array | undefined;
  #message: RoomMessage | undefined;
  readonly #written = new Map<Form, string | Uint8Array<ArrayBuffer>>();
  /** Frames for clients with deltas, by the client's base, or by its form if it has none. */
  readonly #folded = new Map<Form | DeltaBase, Folded>();

  constructor(bases: DeltaBases) {
    this.#bases = bases;
  }

  of(frame: Uint8Array): RoomMessage {
    if (this.#message !== undefined && this.#frame === frame) return this.#message;
    this.#frame = frame;
    this.#written.clear();
    this.#folded.clear();
    return this.#message = readRoomMessage(readRouted(frame.subarray(1)));
  }

  /** Encodes `reply`, which is the same for every client that receives this message. */
  written(form: Form, message: RoomMessage, reply: () => Reply): string | Uint8Array<ArrayBuffer> {
    if (message !== this.#message) return form.encode(reply());
    let written = this.#written.get(form);
    if (written === undefined) {
      written = form.encode(reply());
      this.#written.set(form, written);
    }
    return written;
  }

  /** Encodes a publication of the last message for a client with deltas whose base is `before`. */
  folded(
    form: Form,
    publication: Publication,
    before: DeltaBase | undefined,
    reply: (publication: Publication) => Reply,
  ): Folded {
    let whole = this.#folded.get(form);
    if (whole === undefined) {
      const { data: plain = NULL } = publication;
      const bytes = form.deltaBytes(plain);
      const data = form.deltaData(bytes) ?? plain;
      const base = this.#bases.of(bytes);
      whole = { written: form.encode(reply({ ...publication, data })), base };
      this.#folded.set(form, whole);
    }
    const { base } = whole;
    if (before === undefined || base === undefined) return whole;
    let folded = this.#folded.get(before);
    if (folded === undefined) {
      folded = whole;
      const diff = this.#folded.size > DIFFS_MAX
        ? base.bytes
        : createFossil(before.bytes, base.bytes);
      const data = diff.length < base.bytes.length ? form.deltaData(diff) : undefined;
      if (data !== undefined) {
        folded = { written: form.encode(reply({ ...publication, data, delta: true })), base };
      }
      this.#folded.set(before, folded);
    }
    return folded;
  }
}

// Deltas: each publication of a channel is a diff from the previous one, which the client keeps. Unlike the bus's own
// deltas (docs/deltas.md), a channel has one chain for all message keys.

/** The data that clients received last in a channel. Clients with the same data share one base. */
export interface DeltaBase {
  readonly bytes: Uint8Array;
  holders: number;
}

/** The limits of deltas, from `[limits]`. */
interface DeltaBounds {
  readonly delta_bytes: number;
  readonly delta_message_bytes: number;
}

/** The bases of all clients of a process. */
export class DeltaBases {
  readonly #bounds: DeltaBounds;
  bytes = 0;

  constructor(bounds: DeltaBounds) {
    this.#bounds = bounds;
  }

  /** The base for a diff of the next publication; undefined if the data is too long. */
  of(bytes: Uint8Array): DeltaBase | undefined {
    return bytes.length > this.#bounds.delta_message_bytes ? undefined : { bytes, holders: 0 };
  }

  /** Replaces a client's base. Returns undefined if it keeps none; the next publication then has the full data. */
  replace(before: DeltaBase | undefined, after: DeltaBase | undefined): DeltaBase | undefined {
    if (before !== undefined && --before.holders === 0) this.bytes -= before.bytes.length;
    if (after === undefined) return undefined;
    if (after.holders === 0) {
      if (this.bytes + after.bytes.length > this.#bounds.delta_bytes) return undefined;
      this.bytes += after.bytes.length;
    }
    after.holders++;
    return after;
  }
}
