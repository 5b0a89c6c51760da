/**
 * Messages of rooms, as a Shield's text frames have them, as publications. Pure. The same frame for several clients of
 * a process is read and written once.
 */
import { DecodeError, jsonItems, jsonMembers } from "@arqon/proto";
import { createFossil } from "../fossil/encode.ts";
import type { Form } from "./forms.ts";
import type { Publication, Reply } from "./messages.ts";
import { tagsOf } from "./tags.ts";

/** The user that a backend with an API key is: no client, whose info its publications would have. */
export const API_USER = "centrifugo:api";
/** Types of what the bus itself reports of a room. */
const OF_THE_BUS = /^(?:PRESENCE|ROOM)_/;
const MEMBERS_MAX = 32;
/** No page of a history is longer. */
const PAGE_MAX = 10_000;

const NULL = { json: "null", content_type: "" };

const tooMany = () => new DecodeError("malformed-frame", "more of it than a Shield sends");

/** The value of a member of JSON, as text; undefined: there is no such member. */
export function memberTexts(text: string, start = 0): (name: string) => string | undefined {
  const members = jsonMembers(text, start, MEMBERS_MAX, tooMany);
  return (name) => {
    const member = members.get(name);
    return member === undefined ? undefined : text.slice(member.start, member.end);
  };
}

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
  /** Its data as JSON text. */
  readonly json: string | undefined;
}

/** Reads a frame `{"op":"msg",…}` of a Shield, or a message of a history. */
function readRoomMessage(frame: string): RoomMessage {
  const raw = memberTexts(frame);
  const text = (name: string): string => JSON.parse(raw(name) ?? '""');
  const signal = raw("signal");
  const json = raw("data");
  const type = text("type");
  const sender = text("sender");
  const about = { room_id: text("room"), type, sender, json };
  if (signal !== undefined) return { ...about, signal: JSON.parse(signal), publication: undefined };
  if (OF_THE_BUS.test(type)) return { ...about, signal: undefined, publication: undefined };
  // Plain text has no content type in a text frame, and is a string of JSON there.
  const content_type = text("content_type");
  const offset = raw("offset");
  const tags = tagsOf(JSON.parse(raw("headers") ?? "{}"), type);
  const publication: Publication = {
    data: { json: json ?? NULL.json, content_type },
    ...(sender === "" || sender === API_USER ? {} : { info: { user: sender, client: "" } }),
    ...(offset === undefined ? {} : { offset: JSON.parse(offset) }),
    ...(tags === undefined ? {} : { tags }),
    time: JSON.parse(raw("ts") ?? "0"),
  };
  return { ...about, signal: undefined, publication };
}

/** The publications of a history's result, in its order; what cannot be read is left out. */
export function readPage(result: string) {
  const raw = memberTexts(result);
  const messages = raw("messages") ?? "[]";
  const publications = jsonItems(messages, 0, PAGE_MAX, tooMany).flatMap(({ start, end }) =>
    readRoomMessage(messages.slice(start, end)).publication ?? []
  );
  const epoch: string = JSON.parse(raw("epoch") ?? '""');
  const offset: number = JSON.parse(raw("offset") ?? "0");
  return { publications, epoch, offset };
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
  #frame: string | undefined;
  #message: RoomMessage | undefined;
  readonly #written = new Map<Form, string | Uint8Array<ArrayBuffer>>();
  /** What was written as deltas, by the data that receivers have, and for those without any by their form. */
  readonly #folded = new Map<Form | DeltaBase, Folded>();

  constructor(bases: DeltaBases) {
    this.#bases = bases;
  }

  of(frame: string): RoomMessage {
    if (this.#message !== undefined && this.#frame === frame) return this.#message;
    this.#frame = frame;
    this.#written.clear();
    this.#folded.clear();
    return this.#message = readRoomMessage(frame);
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
