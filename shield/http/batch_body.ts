/**
 * What `POST /v1/messages` asks to publish: a list of messages, or one message for many rooms. The
 * whole body is read strictly; a message of a list that makes no sense is refused alone. Publishing is
 * `batch.ts`.
 */
import { plural } from "../../shared/plural.ts";
import { ArqonError, decodeClientText, jsonItems } from "@arqon/proto";
import type { ScannedEnvelope } from "@arqon/proto";
import type { Limits } from "../../shared/config/schema.ts";
import { objectWith } from "./http_body.ts";
import { objectText } from "./members.ts";

/** One message of a batch. */
export interface BatchItem {
  readonly size_bytes: number;
  /** Reads the message. Throws a `DecodeError` or `malformed-body`. */
  readonly read: () => ScannedEnvelope;
}

const utf8 = new TextEncoder();
const EXAMPLE = '{"messages":[{"room":"lobby","type":"chat","data":{}}]}';
const ITEM_EXAMPLE = '{"room":"lobby","type":"chat","data":{}}';

function malformed(detail: string): ArqonError {
  return new ArqonError("malformed-body", detail);
}

/**
 * The messages in their order, at least one. Throws for a batch that makes no sense as a whole:
 * `malformed-body`, `unknown-field`, `repeated-field`, and `too-large` (413) for too many messages.
 */
export function readBatch(
  text: string,
  limits: Limits & { readonly batch_messages: number },
): BatchItem[] {
  const members = objectText(text);
  const messages = members.get("messages");
  const items = messages === undefined
    ? toRooms(members, limits)
    : ofList(messages, members, limits);
  if (items.length === 0) throw malformed("a batch without a message");
  return items;
}

type BatchLimits = Parameters<typeof readBatch>[1];

function itemsOf(name: string, text: string, { batch_messages }: BatchLimits): string[] {
  if (!text.startsWith("[")) throw malformed(`"${name}" must be a list`);
  const tooMany = () =>
    new ArqonError(
      "too-large",
      `more than ${plural(batch_messages, "message")} ([limits] batch_messages)`,
    );
  const spans = jsonItems(text, 0, batch_messages, tooMany);
  return spans.map(({ start, end }) => text.slice(start, end));
}

function ofList(
  list: string,
  members: ReadonlyMap<string, string>,
  limits: BatchLimits,
): BatchItem[] {
  for (const name of members.keys()) {
    if (name === "messages") continue;
    const shown = JSON.stringify(name.slice(0, 64));
    throw new ArqonError("unknown-field", `${shown}; beside "messages" there is nothing`);
  }
  return itemsOf("messages", list, limits).map((text) => ({
    size_bytes: utf8.encode(text).length,
    read: () => envelopeOf(objectWith('{"op":"pub"', text, ITEM_EXAMPLE), limits),
  }));
}

/** The members beside `rooms` are the message; it is decoded once. */
function toRooms(members: ReadonlyMap<string, string>, limits: BatchLimits): BatchItem[] {
  const list = members.get("rooms");
  if (list === undefined) throw malformed(`expected "messages", or "rooms"; such as ${EXAMPLE}`);
  if (members.has("room")) {
    throw new ArqonError("unknown-field", '"room"; beside "rooms" there is none');
  }
  const rooms = new Set<string>();
  for (const [index, item] of itemsOf("rooms", list, limits).entries()) {
    const room = roomOf(item, index);
    const shown = JSON.stringify(room.slice(0, 64));
    if (rooms.has(room)) throw malformed(`rooms[${index}] is ${shown} once more`);
    rooms.add(room);
  }
  const rest = [...members].filter(([name]) => name !== "rooms")
    .map(([name, value]) => `${JSON.stringify(name)}:${value}`);
  const frame = `{${['"op":"pub"', ...rest].join(",")}}`;
  const envelope = envelopeOf(frame, limits);
  // Each room gets a message object of its own, for code that keeps something by message.
  return Array.from(rooms, (room_id) => ({
    size_bytes: envelope.size_bytes,
    read: () => ({ ...envelope, room_id }),
  }));
}

function roomOf(text: string, index: number): string {
  const value: unknown = JSON.parse(text);
  if (typeof value === "string") return value;
  throw malformed(`rooms[${index}] must be a string`);
}

function envelopeOf(frame: string, limits: Limits): ScannedEnvelope {
  const operation = decodeClientText(frame, limits);
  if (operation.kind === "publish") return operation.envelope;
  throw malformed("expected a message");
}
