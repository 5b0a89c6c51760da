/**
 * The output of `arq why`, as lines: how a message was admitted and its outcome; and the lines of the journal. Pure,
 * from the JSON of `GET /v1/why` and of the journal. A journal line of another version is shown unchanged.
 */
import { filled, listOf, type Members, membersOf, when } from "./policy_text.ts";
import { plural } from "../../shared/plural.ts";
import { isHole, parseLine } from "../../shared/journal/record.ts";
import type { JournalRecord, PolicyRecord } from "../../shared/journal/record.ts";
import { printable } from "../terminal/exit.ts";

/** The meaning of an outcome: by its state and its reason, or by the timestamp that it carries. */
const OUTCOMES = new Map(Object.entries({
  "sent": "sent {at_ms} ({frame})",
  "caught_up": "[read in a page of {why} that the client requested, {from_ms}]",
  "caught_up from_ms": "sent from the room's log, after {from_ms}",
  "left_out": "left out: the client read too slowly",
  "left_out echo": "left out: the client published it and subscribed without echo",
  "left_out filter": "left out: the client's filter or the room class's filter did not match",
  "left_out conflated": "left out: replaced by a newer message, because the client read too slowly",
  "left_out lost": "left out: the room stopped being durable before the client had read up to it",
  "queued": "not yet: queued, because the client reads too slowly",
  "queued until_ms": "still queued when the connection ended ({why}) {until_ms}",
  "behind": "not yet: the connection has to read earlier messages first",
  "cut_off": "the subscription ended before it had reached this message",
  "not_heard": "lost on the way to this Shield: subscribed since {from_ms}",
  "not_subscribed": "not subscribed: {why}",
  "not_subscribed until_ms": "not subscribed: until {until_ms} ({why})",
  "not_subscribed from_ms": "not subscribed: only from {from_ms}",
  "not_connected": "not connected: {why}",
  "not_connected killed": "not connected: its Shield was killed, by {until_ms}",
  "not_connected until_ms": "not connected: ended {until_ms} ({why})",
  "not_connected from_ms": "not connected: only from {from_ms}",
  "unknown": "unknown: the ledger begins {from_ms}",
  "unknown killed": "unknown: this Shield was killed and its ledger of those seconds is lost " +
    "({from_ms} to {until_ms})",
  "unknown silent": "unknown: this Shield is unreachable, its stored ledger ends {from_ms}",
  "unknown edge":
    "unknown: not received here, within a second of the subscription's beginning or end",
}));

function outcomeText(outcome: Members): string {
  const { state, why } = outcome;
  const times = ["until_ms", "from_ms"].filter((name) => outcome[name] !== undefined);
  const by = state === "caught_up" && why !== undefined ? [] : [why, ...times];
  const known = by.map((one) => OUTCOMES.get(`${state} ${one}`)).find((text) => text !== undefined);
  return filled(known ?? OUTCOMES.get(String(state)) ?? "{state}", outcome);
}

function messageLines(message: Members, apart: ReadonlyMap<string, Members>): string[] {
  const offset = Number(message["offset"]) > 0 ? message["offset"] : "";
  const head =
    "message in {room_id}: [offset {offset}, ][message_id {message_id}, ][trace {trace_id}, ]";
  const received = listOf(message["heard"]).map(membersOf).map((one) =>
    filled("  received at {node_id} {time_ms}", one) +
    filled("[, by the answering Shield's clock {here_ms} (± {within_ms:plain} ms)]", {
      ...one,
      within_ms: apart.get(String(one["node_id"]))?.["within_ms"],
    })
  );
  const stored = filled("[  in the room's log {stored_ms}; no Shield's ledger has it]", message);
  return [
    filled(`${head}twist {twist_id}`, { ...message, offset }),
    ...received,
    ...(stored === "" ? [] : [stored]),
    ...(message["duplicate"] === true ? ["  left out for all: a duplicate id"] : []),
  ];
}

/** Names the message that a line is about when there are several. */
const twistOf = (due: readonly Members[], at: number): string =>
  due.length > 1 ? filled("{twist_id}: ", due[at] ?? {}) : "";

function endOf(connection: Members): string {
  if (connection["ended"] === undefined) {
    const lost = membersOf(connection["lost"]);
    if (lost["why"] === undefined) return "open";
    const how = lost["why"] === "killed" ? "was killed" : "last answered";
    return filled(`open {until_ms} when its Shield ${how}`, lost);
  }
  const ended = membersOf(connection["ended"]);
  const unsent_bytes = Number(ended["unsent_bytes"]) > 0 ? ended["unsent_bytes"] : "";
  return filled("ended {at_ms} ({code}[ {reason}][, {unsent_bytes} bytes unsent])", {
    ...ended,
    unsent_bytes,
  });
}

function connectionLines(connection: Members, due: readonly Members[]): string[] {
  const outcomes = listOf(connection["outcomes"]).map(membersOf)
    .map((outcome, at) => `  ${twistOf(due, at)}${outcomeText(outcome)}`);
  const room = connection["room"] === undefined ? [] : roomLines(membersOf(connection["room"]));
  const end = endOf(connection);
  const head = "connection {connection_id} of {user_id} at {node_id}, since {began_ms}, {end}";
  return [filled(head, { ...connection, end }), ...outcomes, ...room];
}

function roomLines(room: Members): string[] {
  const missed = listOf(room["missed"]).map(membersOf);
  const more = Number(room["missed_count"]) - missed.length;
  return [
    ...listOf(room["subscriptions"]).map(membersOf).map((one) =>
      filled("  subscribed {from_ms} to ", one) + (filled("[{until_ms} ({why})]", one) || "now")
    ),
    filled("  due {due}, sent {sent}, not sent {missed_count}", room),
    ...missed.map((one) => {
      const offset = Number(one["offset"]) > 0 ? one["offset"] : "";
      const outcome = outcomeText(membersOf(one["outcome"]));
      return filled("  {time_ms}[ offset {offset}] {twist_id}: {outcome}", {
        ...one,
        offset,
        outcome,
      });
    }),
    ...(more > 0 ? [`  and ${more} more`] : []),
    ...listOf(room["gaps"]).map(membersOf).map((one) => filled("  GAP {time_ms}: {reason}", one)),
  ];
}

function refusalLine(refusal: Members): string {
  const count = Number(refusal["count"]) > 1 ? refusal["count"] : "";
  const about =
    "[user {user_id}, ][connection {connection_id}, ][room {room_id}, ]from {remote_ip}";
  const text = `refused {stage} {at_ms}[ ×{count}]: {reason} ({detail}); ${about}`;
  return filled(text, { ...refusal, count });
}

/** Whether the answer reports the requested message, or without one any connection or refusal. */
export function tellsAnything(answer: Members, is_message: boolean): boolean {
  const names = is_message ? ["messages"] : ["connections", "refusals"];
  return names.some((name) => listOf(answer[name]).length > 0) ||
    is_message && hasOutcomes(answer);
}

/** Whether there are outcomes of a message of which only the offset is known. */
const hasOutcomes = (answer: Members) =>
  listOf(answer["connections"]).some((one) => listOf(membersOf(one)["outcomes"]).length > 0);

const readLine = (one: Members, due: readonly Members[]): string =>
  twistOf(due, Number(one["message"])) +
  filled("read by {user_id} over HTTP, a page of {how}, at {node_id} {at_ms}", one);

/** The stored ledger of a Shield that no longer exists. */
function formerLine(one: Members): string {
  const stored = filled("stored ledger of {node_id} from {since_ms} to {until_ms}", one);
  if (one["state"] === "ended") return stored;
  if (one["state"] === "silent") return `${stored}; it has been unreachable since then`;
  return `${stored}; ${
    filled("it was killed by {by_ms}, and its ledger of those seconds is lost", one)
  }`;
}

/** A smaller difference between clocks is not reported. */
const CLOCKS_APART_MS = 100;

/** The Shields whose clock certainly differs from the answering Shield's. */
function apartOf(answer: Members): ReadonlyMap<string, Members> {
  const ledgers = listOf(answer["ledgers"]).map(membersOf);
  return new Map(
    ledgers.filter(({ ahead_ms, within_ms }) =>
      Math.abs(Number(ahead_ms)) - Number(within_ms) > CLOCKS_APART_MS
    ).map((one) => [String(one["node_id"]), one]),
  );
}

/** The Shields whose clock is ahead or behind; each Shield stamps times by its own clock. */
function clockLines(answer: Members): string[] {
  return [...apartOf(answer).values()].map((one) => {
    const ms = Number(one["ahead_ms"]);
    const about = {
      ...one,
      here: answer["here"],
      ms: Math.abs(ms),
      side: ms > 0 ? "ahead of" : "behind",
    };
    return filled(
      "the clock of {node_id} is {ms} ms (± {within_ms:plain} ms) {side} the clock of {here}",
      about,
    );
  });
}

/** The user or connection that was asked for. */
interface AskedWhose {
  readonly user?: string | undefined;
  readonly connection?: string | undefined;
}

/** The line for a user or connection that no answering Shield knows. */
function absentLines(answer: Members, { user, connection }: AskedWhose): string[] {
  const what = connection !== undefined ? `connection ${connection}` : `connection of ${user}`;
  if (connection === undefined && user === undefined) return [];
  if (listOf(answer["connections"]).length > 0) return [];
  const reaches = listOf(answer["ledgers"]).map(membersOf)
    .flatMap(({ since_ms }) => since_ms === null ? [] : [Number(since_ms)]);
  if (reaches.length === 0) return ["no Shield that answered keeps a ledger"];
  const others = listOf(membersOf(answer["nodes"])["silent"]).length > 0;
  const where = others ? "any Shield that answered" : "any Shield";
  return [`no ${what} on ${where} since ${when(Math.max(...reaches))}`];
}

/** The messages, and the outcome of each for the requested user or connection. */
export function outcomeLines(answer: Members, whose: AskedWhose = {}): string[] {
  const messages = listOf(answer["messages"]).map(membersOf);
  const due = messages.filter(({ duplicate }) => duplicate !== true);
  const apart = apartOf(answer);
  return [
    ...messages.flatMap((one) => messageLines(one, apart)),
    ...listOf(answer["connections"]).map(membersOf).flatMap((one) => connectionLines(one, due)),
    ...absentLines(answer, whose),
    ...listOf(answer["reads"]).map(membersOf).map((one) => readLine(one, due)),
    ...listOf(answer["refusals"]).map(membersOf).map(refusalLine),
  ];
}

/** How far back the ledgers go, whose clocks differ, and which Shields did not answer. */
export function ledgerLines(answer: Members): string[] {
  const silent = listOf(membersOf(answer["nodes"])["silent"]);
  return [
    ...listOf(answer["ledgers"]).map(membersOf).map(({ node_id, since_ms }) =>
      since_ms === null
        ? `${node_id} keeps no ledger`
        : filled("ledger of {node_id} since {since_ms}", { node_id, since_ms })
    ),
    ...listOf(answer["former"]).map(membersOf).map(formerLine),
    ...clockLines(answer),
    ...(silent.length === 0 ? [] : [`no answer from ${silent.join(", ")}`]),
    ...(answer["truncated"] === true ? ["the answer is truncated: there is more"] : []),
  ];
}

/** The maximum of holes that are listed one by one. */
const HOLES_SHOWN = 5;

/** The lines of all decisions, the oldest first. */
export const wayInLines = (way_in: Members): string[] =>
  listOf(way_in["decisions"]).map(membersOf).flatMap(decisionLines);

/** What is missing from the journal's report, and why. */
export function wayInGaps(way_in: Members): string[] {
  const holes = listOf(way_in["holes"]).map(membersOf);
  const hidden = holes.length - HOLES_SHOWN;
  const problem = String(way_in["problem"] ?? "");
  const has_nothing = listOf(way_in["decisions"]).length === 0 && problem === "";
  return [
    ...(has_nothing
      ? ["the journal has no decision about it; none is made about what a room's program publishes"]
      : []),
    ...holes.slice(0, HOLES_SHOWN).map((hole) => holeText(hole)),
    ...(hidden > 0 ? [`and ${plural(hidden, "more hole")}`] : []),
    ...(problem === "" ? [] : [`the journal could not be read: ${problem}`]),
    ...(way_in["is_whole"] === true || problem !== ""
      ? []
      : ["the journal has more than was read"]),
  ];
}

function decisionLines(decision: Members): string[] {
  const { allowed, sender } = decision;
  const verdict = allowed === true
    ? filled("allowed[, offset {offset}]", decision)
    : filled("refused {code} {reason}[ ({message})]", decision);
  const who = sender === null
    ? "an erased user"
    : filled("{user}, connection {connection}, from {remote_ip}", membersOf(sender));
  return [
    filled("decided at {node} {time_ms}: {verdict}", { ...decision, verdict }),
    filled("  {hook}[ {type}][ in {room}] by {who}", { ...decision, who }),
    ...listOf(decision["steps"]).map(membersOf).map(stepLine),
  ];
}

function stepLine({ step, outcome, text }: Members): string {
  const name = String(step).replaceAll("_", " ");
  return `  ${name}: ${outcome === "refused" ? "REFUSED, " : ""}${text}`;
}

/** The line for a line of the journal, without a newline. */
export function journalLineText(line: string): string {
  const parsed = parseLine(line);
  if ("problem" in parsed) return printable(line);
  return printable(
    isHole(parsed.line) ? holeText({ ...parsed.line.hole }) : recordText(parsed.line),
  );
}

/** The line for missing decisions. */
export function holeText(hole: Members): string {
  const { records } = hole;
  const what = records === null ? "decisions" : plural(Number(records), "decision");
  return filled("{to_ms}  HOLE  {what} of {node} from {from_ms} on: {why}", { ...hole, what });
}

/** The verdict of a policy, and its cost. */
function policyText({ name, mode, allowed, code, fault, reason, units }: PolicyRecord): string {
  const verdict = fault !== null
    ? `fault ${fault}`
    : allowed
    ? "allows"
    : `refuses ${code}${reason === "" ? "" : ` ${JSON.stringify(reason)}`}`;
  return `${name}${mode === "observe" ? " (observing)" : ""} ${verdict}, ${units} units`;
}

function recordText(record: JournalRecord): string {
  const { allowed, message, sender, policies } = record;
  const nobody = record.is_unkept === true ? "(no key)" : "(erased)";
  return filled(
    "{time_ms}  {outcome}  {hook}[  {room}][  {type}]  by {who}[  @{offset}][  {message_text}]",
    {
      ...record,
      outcome: allowed ? "allowed" : filled("refused {code} {reason}", { ...record }),
      who: sender === null ? nobody : `${sender.user}/${sender.connection}`,
      message_text: message === "" ? "" : JSON.stringify(message),
    },
  ) + policies.map((one) => `  ${policyText(one)}`).join("");
}

/** The text of `arq journal status`. */
export function journalStatusText(answer: Members, { tenant }: Members): string {
  const blocks = plural(Number(answer["blocks"]), "block");
  const what = answer["blocks"] === 0
    ? " is empty"
    : ": {blocks}, {bytes} bytes, stored from {first_ms} to {last_ms}";
  return filled(`the journal of {tenant}${what}\n`, { ...answer, tenant, blocks });
}
