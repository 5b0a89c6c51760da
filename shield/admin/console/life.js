// The question about the life of a message, and its outcome for a connection as text. Pure; `view_why.js`
// sends the question.
import { moment } from "./format.js";

const MINUTE_MS = 60_000;
const IDS = ["message_id", "trace", "twist", "offset"];
const NEEDED = "Name a message by its message id, trace, X-Twist-ID, or room and offset; or give " +
  "a user or a connection.";

export function questionOf(values, now_ms) {
  const { room, offset, user, connection, minutes } = values;
  const ids = IDS.filter((name) => values[name]);
  if (ids.length > 1) return { lacks: "Name the message by one of its ids." };
  if (user && connection) return { lacks: "Give a user or a connection, not both." };
  if (offset && !room) return { lacks: "An offset belongs to a room: name the room, too." };
  if (ids.length === 0 && !user && !connection) return { lacks: NEEDED };
  const { find: _, minutes: __, ...query } = values;
  if (ids.length > 0 || !room) return { query };
  const back = Number(minutes) > 0 ? Number(minutes) : 10;
  return { query: { ...query, since_ms: Math.floor(now_ms - back * MINUTE_MS) } };
}

/** The address of this page for a message; undefined if the message has no id. */
export function lifeOf(tenant, { room, offset, message_id, twist, trace }) {
  const named = offset > 0
    ? { room, offset }
    : message_id
    ? { room, message_id }
    : twist
    ? { twist }
    : trace
    ? { trace }
    : undefined;
  if (named === undefined || !room) return undefined;
  return `#/why?${new URLSearchParams({ tenant, ...named })}`;
}

/** The address of this page for a connection: its refusals, or the messages of a room that it should have received. */
export function lifeOfConnection(tenant, connection, room) {
  const of_room = room === undefined ? {} : { room };
  return `#/why?${new URLSearchParams({ tenant, ...of_room, connection })}`;
}

const LEFT_OUT = {
  echo: "the client published it and subscribed without echo",
  conflated: "replaced by a newer message, because the client read too slowly",
  slow_reader: "the client read too slowly",
  filter: "a filter did not match",
  lost: "the room stopped being durable before the client had read up to it",
};

function absence({ why, from_ms, until_ms }) {
  if (until_ms !== undefined) return `until ${moment(until_ms)} (${why})`;
  return from_ms === undefined ? why : `only from ${moment(from_ms)}`;
}

const TEXTS = {
  sent: ({ at_ms, frame }) => `sent ${moment(at_ms)} (${frame})`,
  caught_up: ({ why, from_ms }) =>
    why === undefined
      ? `sent from the room's log, after ${moment(from_ms)}`
      : `read in a page of ${why} that the client requested, ${moment(from_ms)}`,
  left_out: ({ why }) => `left out: ${LEFT_OUT[why] ?? why}`,
  queued: ({ why, until_ms }) =>
    until_ms === undefined
      ? "not yet: queued, because the client reads too slowly"
      : `still queued when the connection ended (${why}) ${moment(until_ms)}`,
  behind: () => "not yet: the connection has to read earlier messages first",
  cut_off: () => "the subscription ended before it had reached this message",
  not_heard: ({ from_ms }) => `lost on the way to this Shield: subscribed since ${moment(from_ms)}`,
  not_subscribed: (outcome) => `not subscribed: ${absence(outcome)}`,
  not_connected: (outcome) => `not connected: ${absence(outcome)}`,
  unknown: ({ why, from_ms, until_ms }) =>
    why === "killed"
      ? "unknown: this Shield was killed and its ledger of those seconds is lost " +
        `(${moment(from_ms)} to ${moment(until_ms)})`
      : why === "silent"
      ? `unknown: this Shield is unreachable, its stored ledger ends ${moment(from_ms)}`
      : why === "edge"
      ? "unknown: not received here, within a second of the subscription's beginning or end"
      : `unknown: the ledger begins ${moment(from_ms)}`,
};

export const outcomeText = (outcome) => TEXTS[outcome.state]?.(outcome) ?? outcome.state;

/** The tone of an outcome: ok, warn or bad. */
export function outcomeTone({ state, until_ms = undefined }) {
  if (state === "sent" || state === "caught_up") return "ok";
  const is_open = state === "behind" || state === "unknown" ||
    state === "queued" && until_ms === undefined;
  return is_open ? "warn" : "bad";
}
