/**
 * Messages of rooms, as a Shield's frames have them, as publications. Pure. The same frame for several clients of a
 * process is read and written once.
 */
import { dataForm, readHistory, readRouted } from "@arqon/proto";
import type { PlainEnvelope, PlainEvent } from "@arqon/proto";
import { createFossil } from "../fossil/encode.ts";
import type { Form } from "./forms.ts";
import { jsonData } from "./messages.ts";
import type { Data, Publication, Reply } from "./messages.ts";
import { tagsOf } from "./tags.ts";

/** The user that a backend with an API key is: no client, whose info its publications would have. */
export const API_USER = "centrifugo:api";
/** Types of what the bus itself reports of a room. */
const OF_THE_BUS = /^(?:PRESENCE|ROOM)_/;

/** What a publication has that has no data. */
const NULL: Data = jsonData("null");

/** A signal of a room, or of the Shield where the room is "". */
export interface Signal {
  readonly kind: string;
  readonly reason?: string;
}

/** What a room's frame says. */
export interface RoomMessage {
  readonly room_id: string;
  /** "" for a signal. */
  readonly type: string;
  /** "": it is the bus's own. */
  readonly sender: string;
  readonly signal: Signal | undefined;
  /** Undefined: it is none, but a signal or what the bus reports of the room. */
  readonly publication: Publication | undefined;
  readonly data: Data;
}

/** The data of an event; JSON without any text is null. */
function eventData({ data, content_type }: PlainEvent): Data {
  const is_null = data.length === 0 && (content_type === "" || dataForm(content_type) === "json");
  return is_null ? NULL : { bytes: data, content_type };
}

/** Reads a message of a room, as it is routed to a client or read from a history. */
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

/** The publications of a history, in its order; what cannot be read is left out. */
export function readPage(result: Uint8Array) {
  const { messages, epoch, offset } = readHistory(result);
  const publications = messages.flatMap((message) =>
    readRoomMessage(readRouted(message)).publication ?? []
  );
  return { publications, epoch, offset: Number(offset) };
}

/** Diffs of one message, by what their receivers have; further receivers get it whole. */
const DIFFS_MAX = 16;

/** What a client receives, and the data that it has then; undefined: none that a diff could be made from. */
interface Folded {
  readonly written: string | Uint8Array<ArrayBuffer>;
  readonly base: DeltaBase | undefined;
}

/** Remembers the frame that came last, and what was written of it. */
export class RoomMessages {
  readonly #bases: DeltaBases;
  #frame: Uint8Array | undefined;
  #message: RoomMessage | undefined;
  readonly #written = new Map<Form, string | Uint8Array<ArrayBuffer>>();
  /** What was written as deltas, by the data that receivers have, and for those without any by their form. */
  readonly #folded = new Map<Form | DeltaBase, Folded>();

  constructor(bases: DeltaBases) {
    this.#bases = bases;
  }

  /** A frame MSG. */
  of(frame: Uint8Array): RoomMessage {
    if (this.#message !== undefined && this.#frame === frame) return this.#message;
    this.#frame = frame;
    this.#written.clear();
    this.#folded.clear();
    return this.#message = readRoomMessage(readRouted(frame.subarray(1)));
  }

  /** What a form makes of `reply`, which is the same for every client that receives this message. */
  written(form: Form, message: RoomMessage, reply: () => Reply): string | Uint8Array<ArrayBuffer> {
    if (message !== this.#message) return form.encode(reply());
    let written = this.#written.get(form);
    if (written === undefined) {
      written = form.encode(reply());
      this.#written.set(form, written);
    }
    return written;
  }

  /** A publication of the message that came last, for a client that reads deltas and has `before`. */
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

// Deltas: each publication of a channel as a diff from the one before it, which the client keeps. Unlike the bus's own
// (docs/deltas.md), there is one chain for a channel, whatever the keys of its messages.

/** The data that clients have of a channel; clients that receive the same share one. */
export interface DeltaBase {
  readonly bytes: Uint8Array;
  holders: number;
}

/** The bounds, as in `[limits]`. */
export interface DeltaBounds {
  readonly delta_bytes: number;
  readonly delta_message_bytes: number;
}

/** What all clients of a process keep. */
export class DeltaBases {
  readonly #bounds: DeltaBounds;
  bytes = 0;

  constructor(bounds: DeltaBounds) {
    this.#bounds = bounds;
  }

  /** Data that the next publication may be a diff from; undefined: it is too long for that. */
  of(bytes: Uint8Array): DeltaBase | undefined {
    return bytes.length > this.#bounds.delta_message_bytes ? undefined : { bytes, holders: 0 };
  }

  /** Keeps `after` for a client in place of `before`; undefined: nothing is kept, and its next publication is whole. */
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
