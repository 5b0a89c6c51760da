/**
 * What the bus must do with the messages of a row: which are taken and which refused, with what; what each reader hears,
 * in which order; what the observers say. Written from `docs/`, which is cited where a rule is from. Pure, and knows
 * nothing of the product.
 */
import type { Row } from "./factors.ts";

/** Messages of a row, before the one that ends it. */
export const MESSAGES = 9;
/** The late readers come before this one. */
export const HALF = 4;
/** A word that the policy of the gate `policy` refuses. */
const BAD_WORD = "malware";
const LARGE_CHARACTERS = 20_000;

/** The message that ends a row, which passes every gate. */
export const END = MESSAGES;
/** It is sent by a backend whom no gate holds up. */
export const END_DATA = { k: "end" };

/** One message as it is sent. */
export interface Sent {
  readonly place: number;
  /** Undefined where its source gives none. */
  readonly message_id: string | undefined;
  /** JSON, or a text where the shape is `words`. */
  readonly data: unknown;
}

/** What becomes of one message. */
export interface Fate {
  /** Empty: it is taken. Else `status reason`. */
  readonly refusal: string;
  /** As its readers get it, JSON of the data. */
  readonly heard: string;
}

const letter = (place: number) => String.fromCharCode("a".charCodeAt(0) + place);
/** The place of the message whose data begins with that letter. */
export const placeOf = (letter: string): number => letter.charCodeAt(0) - "a".charCodeAt(0);

/** The messages of a row. */
export function messagesOf(row: Row): Sent[] {
  const has_id = !["stream", "schedule", "growing"].includes(row.source);
  const count = row.source === "schedule" || row.source === "growing" ? 2 : MESSAGES;
  return Array.from({ length: count }, (_none, place) => ({
    place,
    message_id: has_id ? `m-${place}` : undefined,
    data: dataOf(row, place),
  }));
}

/** The messages that a gate refuses which does not refuse all. */
export const isOdd = (place: number): boolean => place % 3 === 2;

function dataOf({ gate, shape }: Row, place: number): unknown {
  const k = letter(place);
  if (shape === "words") return gate === "policy" && isOdd(place) ? `${k} ${BAD_WORD}` : `${k} 7`;
  // Only a schema wants a number: an asterisk in its place would be no JSON.
  const v = gate === "schema" ? isOdd(place) ? "seven" : 7 : "7";
  const pad = shape === "large" ? { s: "x".repeat(LARGE_CHARACTERS) } : {};
  const word = gate === "policy" && isOdd(place) ? { w: BAD_WORD } : {};
  return { k, v, ...pad, ...word };
}

/** What becomes of a message. docs/protocol.md, "Publishing", has the order of the checks. */
export function fateOf(row: Row, { place, data }: Sent): Fate {
  const text = JSON.stringify(data);
  // policies/examples/mask_digits.wat: each digit is an asterisk, wherever it stands.
  const heard = row.gate === "replace" ? text.replace(/\d/g, "*") : text;
  const refusals = {
    none: "",
    replace: "",
    ungranted: "403 not-granted",
    banned: "403 room-banned",
    policy: isOdd(place) ? "403 policy-rejected" : "",
    // docs/hooks.md: who is asked before it happens denies as a policy does.
    before: isOdd(place) ? "403 policy-rejected" : "",
    schema: isOdd(place) ? "400 schema-violation" : "",
  };
  return { refusal: refusals[row.gate], heard };
}

/** A message is sent a second time, right behind the first. */
export const isTwice = (row: Row, place: number): boolean => row.twice === "yes" && place % 3 === 0;

/** A message as a reader gets it. docs/streams.md: what is no JSON appears as a string in base64. */
export function formOf(row: Row, reader: Row["first"], message: Sent): string {
  const { heard } = fateOf(row, message);
  const is_encoded = (reader === "stream" || reader === "poll") && row.shape === "words";
  return is_encoded ? JSON.stringify(btoa(JSON.parse(heard))) : heard;
}

/** What a reader must have heard before the end, by the places of the messages, in order. */
export function heardBy(row: Row, reader: Row["first"]): number[] {
  const taken = messagesOf(row).filter((one) => fateOf(row, one).refusal === "")
    .map(({ place }) => place);
  switch (reader) {
    case "filter":
      // docs/filters.md: `data` is the event's data where its content type is JSON.
      return row.shape === "words" ? [] : taken.filter((place) => place % 2 === 0);
    case "late":
      return taken.filter((place) => place >= HALF);
    case "after":
      // The position is that of the first message that was taken.
      return taken.slice(1);
    // docs/protocol.md: `no_echo` leaves out what this connection publishes.
    case "echo":
    case "refused":
    case "stranger":
      return [];
    default:
      return taken;
  }
}

/** Readers without a subscription while the first messages come. */
const NOT_LIVE: readonly string[] = [
  ...["late", "after", "start", "history", "stream", "poll", "refused", "stranger"],
];

/** Whether somebody is subscribed from the beginning. */
const isHeardLive = ({ first, second }: Row): boolean =>
  [first, second].some((one) => !NOT_LIVE.includes(one));

/** What `why` says of a message that was taken and of a reader; undefined: it is not asked. */
export function whyOf(row: Row, reader: Row["first"], place: number): string | undefined {
  const is_early = place < HALF;
  switch (reader) {
    case "text":
    case "binary":
    case "pattern":
    case "events":
    case "delta":
    case "session":
    case "resub":
      return "sent";
    case "filter":
      return heardBy(row, reader).includes(place) ? "sent" : "left_out filter";
    case "echo":
      return "left_out echo";
    case "late":
      if (!is_early) return "sent";
      // docs/why.md: a message that nobody heard is in no ledger, unless its room is durable.
      return row.log === "plain" && !isHeardLive(row) ? undefined : "not_connected";
    case "after":
      return is_early ? place === heardBy(row, "text")[0] ? undefined : "caught_up" : "sent";
    case "start":
      return "caught_up history";
    // It comes by the streams' own ways, without a connection.
    case "history":
    case "stream":
    case "poll":
    case "stranger":
      return undefined;
    case "refused":
      return row.log === "plain" && !isHeardLive(row) ? undefined : "not_subscribed never";
  }
}

/** How many decisions about the message the journal has: each time that it was sent is one. */
export function decisionsOf(row: Row, place: number): number {
  return row.journal === "off" ? 0 : isTwice(row, place) ? 2 : 1;
}

/** What the ledger of use counts, as far as it is said: undefined where clients ask for more than messages. */
export function useOf(
  row: Row,
): { readonly messages_in: number; readonly deliveries: number } | undefined {
  const readers = [row.first, row.second];
  // History by commands, pieces that grow, and bans are taken messages, too.
  const is_open = readers.some((one) => one === "start" || one === "session") ||
    row.source === "growing" ||
    row.source === "session" || row.gate === "banned";
  if (is_open) return undefined;
  const taken = messagesOf(row).filter((one) => fateOf(row, one).refusal === "");
  const messages_in = taken.reduce((sum, { place }) => sum + (isTwice(row, place) ? 2 : 1), 1);
  // The one that ends the row comes, too.
  const deliveries = readers.filter((one) =>
    one !== "refused" && one !== "stranger" && one !== "history" &&
    one !== "stream" && one !== "poll"
  )
    .reduce((sum, one) => sum + heardBy(row, one).length + 1, 0);
  return { messages_in, deliveries };
}
