/** What `arq why` shows, as lines: how a message came in and its outcome. Pure, from the JSON of `GET /v1/why`. */
import { listOf, type Members, membersOf } from "./policy_text.ts";
import { plural } from "../../shared/plural.ts";

const time = (ms: unknown) => new Date(Number(ms)).toISOString();

/** What an outcome means, in words. */
function outcomeText(outcome: Members): string {
  const { state, why, at_ms, frame, from_ms, until_ms } = outcome;
  switch (state) {
    case "sent":
      return `sent ${time(at_ms)} (${frame})`;
    case "caught_up":
      if (why !== undefined) return `read in a page of ${why} that it asked for, ${time(from_ms)}`;
      return `sent from the room's log, after ${time(from_ms)}`;
    case "left_out":
      return `left out: ${leftOutText(String(why))}`;
    case "queued":
      if (until_ms === undefined) return "not yet: it waits for the client, which reads too slowly";
      return `still queued when the connection ended (${why}) ${time(until_ms)}`;
    case "behind":
      return "not yet: the connection has to read what came before";
    case "cut_off":
      return "the subscription ended before it had read so far";
    case "not_heard":
      return `lost on the way to this Shield: subscribed since ${time(from_ms)}`;
    case "not_subscribed":
      return `not subscribed: ${absence(outcome)}`;
    case "not_connected":
      if (why === "killed") return `not connected: its Shield was killed, by ${time(until_ms)}`;
      return `not connected: ${
        until_ms === undefined ? absence(outcome) : `gone ${time(until_ms)} (${why})`
      }`;
    case "unknown":
      if (why === "killed") return `unknown: ${killedText(from_ms, until_ms)}`;
      if (why === "silent") {
        return `unknown: this Shield is silent, its ledger ends ${time(from_ms)}`;
      }
      if (why === "edge") {
        return `unknown: not heard here, within a second of a subscription's beginning or end`;
      }
      return `unknown: the ledger begins ${time(from_ms)}`;
    default:
      return String(state);
  }
}

function killedText(from_ms: unknown, until_ms: unknown): string {
  const seconds = `${time(from_ms)} to ${time(until_ms)}`;
  return `this Shield was killed and its ledger of those seconds is gone (${seconds})`;
}

function leftOutText(why: string): string {
  if (why === "echo") return "its publisher wants no echo";
  if (why === "filter") return "a filter kept it back: its own, or that of the room's class";
  if (why === "conflated") return "a newer one took its place, as the client read too slowly";
  return "the client read too slowly";
}

function absence({ why, from_ms, until_ms }: Members): string {
  if (until_ms !== undefined) return `until ${time(until_ms)} (${why})`;
  return from_ms === undefined ? String(why) : `only from ${time(from_ms)}`;
}

function messageLines(message: Members, apart: ReadonlyMap<string, Members>): string[] {
  const { room_id, offset, trace_id, twist_id, message_id, duplicate } = message;
  const names = [
    Number(offset) > 0 ? `offset ${offset}` : "",
    message_id === "" ? "" : `message_id ${message_id}`,
    `trace ${trace_id}`,
    `twist ${twist_id}`,
  ].filter((one) => one !== "").join(", ");
  const heard = listOf(message["heard"]).map(membersOf)
    .map(({ node_id, time_ms, here_ms }) => {
      const clock = apart.get(String(node_id));
      const here = clock === undefined
        ? ""
        : `, by the clock that was asked ${time(here_ms)} (± ${clock["within_ms"]} ms)`;
      return `  heard at ${node_id} ${time(time_ms)}${here}`;
    });
  const stored = message["stored_ms"] === undefined
    ? []
    : [`  in the room's log ${time(message["stored_ms"])}; no Shield tells of it`];
  const note = duplicate === true ? ["  left out for all: its id had come before"] : [];
  return [`message in ${room_id}: ${names}`, ...heard, ...stored, ...note];
}

function connectionLines(connection: Members, due: readonly Members[]): string[] {
  const { connection_id, node_id, user_id, began_ms } = connection;
  const ended = connection["ended"] === undefined ? undefined : membersOf(connection["ended"]);
  const lost = membersOf(connection["lost"]);
  const end = ended === undefined
    ? lost["why"] === undefined
      ? "open"
      : `open ${time(lost["until_ms"])} when its Shield ${
        lost["why"] === "killed" ? "was killed" : "was heard last"
      }`
    : `ended ${time(ended["at_ms"])} (${ended["code"]}${
      ended["reason"] === "" ? "" : ` ${ended["reason"]}`
    }${Number(ended["unsent_bytes"]) > 0 ? `, ${ended["unsent_bytes"]} bytes unsent` : ""})`;
  const head = `connection ${connection_id} of ${user_id} at ${node_id}, since ${
    time(began_ms)
  }, ${end}`;
  const outcomes = listOf(connection["outcomes"]).map(membersOf).map((outcome, index) => {
    const twist = due.length > 1 ? `${due[index]?.["twist_id"] ?? ""}: ` : "";
    return `  ${twist}${outcomeText(outcome)}`;
  });
  const room = connection["room"] === undefined ? [] : roomLines(membersOf(connection["room"]));
  return [head, ...outcomes, ...room];
}

function roomLines(room: Members): string[] {
  const missed = listOf(room["missed"]).map(membersOf);
  const count = Number(room["missed_count"]);
  return [
    ...listOf(room["subscriptions"]).map(membersOf).map(({ from_ms, until_ms, why }) =>
      `  subscribed ${time(from_ms)} to ${
        until_ms === undefined ? "now" : `${time(until_ms)} (${why})`
      }`
    ),
    `  due ${room["due"]}, sent ${room["sent"]}, not sent ${count}`,
    ...missed.map(({ time_ms, offset, twist_id, outcome }) => {
      const place = Number(offset) > 0 ? ` offset ${offset}` : "";
      return `  ${time(time_ms)}${place} ${twist_id}: ${outcomeText(membersOf(outcome))}`;
    }),
    ...(count > missed.length ? [`  and ${count - missed.length} more`] : []),
    ...listOf(room["gaps"]).map(membersOf).map(({ time_ms, reason }) =>
      `  GAP ${time(time_ms)}: ${reason}`
    ),
  ];
}

function refusalLine(refusal: Members): string {
  const { at_ms, count, stage, user_id, connection_id, remote_ip, room_id, reason, detail } =
    refusal;
  const about = [
    user_id === "" ? "" : `user ${user_id}`,
    connection_id === "" ? "" : `connection ${connection_id}`,
    room_id === "" ? "" : `room ${room_id}`,
    `from ${remote_ip}`,
  ].filter((one) => one !== "").join(", ");
  const times = Number(count) > 1 ? ` ×${count}` : "";
  return `refused ${stage} ${time(at_ms)}${times}: ${reason} (${detail}); ${about}`;
}

/** Whether the answer reports the message that was asked for, or of any connection or refusal if none was. */
export function tellsAnything(answer: Members, is_message: boolean): boolean {
  const names = is_message ? ["messages"] : ["connections", "refusals"];
  return names.some((name) => listOf(answer[name]).length > 0) ||
    is_message && hasOutcomes(answer);
}

/** Whether something is said of a message of which no more than its offset is known. */
const hasOutcomes = (answer: Members) =>
  listOf(answer["connections"]).some((one) => listOf(membersOf(one)["outcomes"]).length > 0);

/** What the user has read over HTTP. */
function readLine({ message, user_id, how, at_ms, node_id }: Members, due: readonly Members[]) {
  const twist = due.length > 1 ? `${due[Number(message)]?.["twist_id"] ?? ""}: ` : "";
  return `${twist}read by ${user_id} over HTTP, a page of ${how}, at ${node_id} ${time(at_ms)}`;
}

/** What is left of the ledger of a Shield that is not there any longer. */
function formerLine({ node_id, since_ms, until_ms, by_ms, state }: Members): string {
  const stored = `stored ledger of ${node_id} from ${time(since_ms)} to ${time(until_ms)}`;
  if (state === "ended") return stored;
  if (state === "silent") return `${stored}; it is silent since`;
  return `${stored}; it was killed by ${time(by_ms)}, and its ledger of those seconds is gone`;
}

/** Clocks that differ by less are as good as one. */
const CLOCKS_APART_MS = 100;

/** The Shields whose clocks surely differ from that of the one that was asked. */
function apartOf(answer: Members): ReadonlyMap<string, Members> {
  const ledgers = listOf(answer["ledgers"]).map(membersOf);
  return new Map(
    ledgers.filter(({ ahead_ms, within_ms }) =>
      Math.abs(Number(ahead_ms)) - Number(within_ms) > CLOCKS_APART_MS
    ).map((one) => [String(one["node_id"]), one]),
  );
}

/** Shields whose clock is ahead or behind, for each Shield's times are its own. */
function clockLines(answer: Members): string[] {
  return [...apartOf(answer)].map(([node_id, { ahead_ms, within_ms }]) => {
    const ms = Number(ahead_ms);
    const side = ms > 0 ? "ahead of" : "behind";
    return `the clock of ${node_id} is ${Math.abs(ms)} ms (± ${within_ms} ms) ${side} that of ${
      answer["here"]
    }`;
  });
}

/** The user or connection that was asked for. */
export interface AskedWhose {
  readonly user?: string | undefined;
  readonly connection?: string | undefined;
}

/** What is said where no Shield that answered knows of any such connection. */
function absentLines(answer: Members, { user, connection }: AskedWhose): string[] {
  const what = connection !== undefined ? `connection ${connection}` : `connection of ${user}`;
  if (connection === undefined && user === undefined) return [];
  if (listOf(answer["connections"]).length > 0) return [];
  const reaches = listOf(answer["ledgers"]).map(membersOf)
    .flatMap(({ since_ms }) => since_ms === null ? [] : [Number(since_ms)]);
  if (reaches.length === 0) return ["no Shield that answered keeps a ledger"];
  const others = listOf(membersOf(answer["nodes"])["silent"]).length > 0;
  const where = others ? "any Shield that answered" : "any Shield";
  return [`no ${what} on ${where} since ${time(Math.max(...reaches))}`];
}

/** The lines of an answer, how far back the ledgers go at their end. */
export function whyLines(answer: Members, whose: AskedWhose = {}): string[] {
  const messages = listOf(answer["messages"]).map(membersOf);
  const due = messages.filter(({ duplicate }) => duplicate !== true);
  const silent = listOf(membersOf(answer["nodes"])["silent"]);
  const apart = apartOf(answer);
  return [
    ...messages.flatMap((one) => messageLines(one, apart)),
    ...listOf(answer["connections"]).map(membersOf).flatMap((one) => connectionLines(one, due)),
    ...absentLines(answer, whose),
    ...listOf(answer["reads"]).map(membersOf).map((one) => readLine(one, due)),
    ...listOf(answer["refusals"]).map(membersOf).map(refusalLine),
    ...listOf(answer["ledgers"]).map(membersOf).map(({ node_id, since_ms }) =>
      since_ms === null
        ? `${node_id} keeps no ledger`
        : `ledger of ${node_id} since ${time(since_ms)}`
    ),
    ...listOf(answer["former"]).map(membersOf).map(formerLine),
    ...clockLines(answer),
    ...(silent.length === 0 ? [] : [`no answer from ${silent.join(", ")}`]),
    ...(answer["truncated"] === true ? ["there is more than is shown"] : []),
  ];
}

/** Holes that are shown one by one. */
const HOLES_SHOWN = 5;

/** The lines of all decisions, the oldest first. */
export const wayInLines = (way_in: Members): string[] =>
  listOf(way_in["decisions"]).map(membersOf).flatMap(decisionLines);

/** What the journal does not tell, and why. */
export function wayInGaps(way_in: Members): string[] {
  const holes = listOf(way_in["holes"]).map(membersOf);
  const hidden = holes.length - HOLES_SHOWN;
  const problem = String(way_in["problem"] ?? "");
  const has_nothing = listOf(way_in["decisions"]).length === 0 && problem === "";
  return [
    ...(has_nothing ? ["the journal has no decision about it"] : []),
    ...holes.slice(0, HOLES_SHOWN).map(holeText),
    ...(hidden > 0 ? [`and ${plural(hidden, "more hole")}`] : []),
    ...(problem === "" ? [] : [`the journal could not be read: ${problem}`]),
    ...(way_in["is_whole"] === true || problem !== ""
      ? []
      : ["there is more in the journal than was read"]),
  ];
}

function decisionLines(decision: Members): string[] {
  const { node, time_ms, allowed, code, reason, message, hook, room, type, sender, offset } =
    decision;
  const verdict = allowed === true
    ? `allowed${offset === null ? "" : `, offset ${offset}`}`
    : `refused ${code} ${reason}${message === "" ? "" : ` (${message})`}`;
  const { user, connection, remote_ip } = membersOf(sender);
  const who = sender === null
    ? "somebody who was erased"
    : `${user}, connection ${connection}, from ${remote_ip}`;
  const what = [hook, type, room === "" ? "" : `in ${room}`].filter((one) => one !== "").join(" ");
  return [
    `decided at ${node} ${time(time_ms)}: ${verdict}`,
    `  ${what} by ${who}`,
    ...listOf(decision["steps"]).map(membersOf).map(stepLine),
  ];
}

function stepLine({ step, outcome, text }: Members): string {
  const name = String(step).replaceAll("_", " ");
  return `  ${name}: ${outcome === "refused" ? "REFUSED, " : ""}${text}`;
}

function holeText({ node, from_ms, to_ms, records, why }: Members): string {
  const what = records === null ? "decisions" : plural(Number(records), "decision");
  return `${time(to_ms)}  HOLE  ${what} of ${node} from ${time(from_ms)} on: ${why}`;
}
