/**
 * Judges what `GET /v1/why` said of one message and one user by what the script knows itself. Pure. Where
 * only the bus can know when something happened (a message that was under way while a subscription ended),
 * each answer that may be right is; a margin says how long that may be.
 */
import type { Answer, Outcome, Question } from "./answer.ts";
import { formerOf, goneProblem, isUnwritten, MARGIN_MS, rowOf, SKEW_MS } from "./gone.ts";
import type { Hit, Known, Said, Sitting, Stay } from "./known.ts";

/** What is wrong, and what was compared: each connection's outcome in a word. */
export interface Judgement {
  readonly problems: string[];
  readonly words: string[];
}

const DELIVERED = new Set(["sent", "caught_up"]);
/** What was refused with these may have been stored, and heard, all the same (docs/durable.md). */
const STORED_MAYBE = new Set(["log-unavailable", "spine-unavailable"]);

/** Judges one answer. */
export function judge(known: Known, question: Question, answer: Answer): Judgement {
  const problems: string[] = [];
  const words: string[] = [];
  const { said, tenant_id, user_id } = question;
  const own = known.sittings.filter((one) =>
    one.tenant_id === tenant_id && one.user_id === user_id
  );
  const owners = new Map(known.sittings.map((one) => [one.connection_id, one]));
  for (const { connection_id } of answer.connections) {
    const owner = owners.get(connection_id);
    if (owner !== undefined && !own.includes(owner)) {
      problems.push(`${connection_id} is ${owner.user_id} of ${owner.tenant_id}`);
    }
  }
  if (tenant_id !== said.tenant_id) {
    if (answer.messages.length > 0) problems.push("another tenant's message");
    return { problems, words: ["another tenant"] };
  }
  const listed = answer.messages.filter(({ duplicate }) => !duplicate);
  if (listed.some((one) => one.message_id !== said.id || one.room_id !== said.room_id)) {
    problems.push("a message that was not asked for");
  }
  if (said.code !== undefined && said.code !== 0) {
    if (listed.length > 0 && !STORED_MAYBE.has(said.reason)) {
      problems.push(`it was refused (${said.reason}), and heard`);
    }
    return { problems, words: [`refused ${said.reason}`] };
  }
  for (const sitting of own) {
    const word = judgeOne(known, question, answer, sitting, problems);
    if (word !== undefined) words.push(word);
  }
  return { problems, words };
}

/** Judges what is said of one connection; the word for it, undefined: it came after the question. */
function judgeOne(
  known: Known,
  question: Question,
  answer: Answer,
  sitting: Sitting,
  problems: string[],
): string | undefined {
  const { said, asked_ms, by_offset } = question;
  if (sitting.opened_ms > asked_ms - SKEW_MS) return undefined;
  const wrong = (text: string) => {
    problems.push(`${said.id} in ${said.room_id} for ${sitting.connection_id}: ${text}`);
  };
  const { node_id, opened_ms } = sitting;
  const living_ms = answer.ledgers.find((one) => one.node_id === node_id)?.since_ms ?? undefined;
  const is_silent = answer.nodes.silent.includes(node_id);
  const is_told = living_ms !== undefined && living_ms <= opened_ms;
  const is_living = !is_silent && is_told;
  const former = is_living ? undefined : formerOf(answer, sitting);
  // It answered some of the questions in time: what it said then is told, and that it was silent.
  const is_partly = is_silent && former === undefined && is_told;
  const since_ms = former?.since_ms ?? living_ms;
  const row = rowOf(answer, sitting);
  const got_ms = sitting.got.get(said.id);
  if (!is_living) {
    if (row !== undefined && (living_ms ?? former) === undefined) {
      wrong(`told by ${node_id}, which is silent`);
    }
    const is_old = answer.former !== undefined && opened_ms < asked_ms - MARGIN_MS;
    if (former === undefined && is_old && !is_partly) wrong(`nothing of ${node_id}`);
    if (row === undefined && isUnwritten(former, sitting)) {
      return got_ms === undefined ? "ledger gone" : "ledger gone, received";
    }
  }
  if (row === undefined) {
    wrong(`is missing, though the ledger of ${node_id} goes back to ${since_ms}`);
    return "missing";
  }
  const known_ms = Math.min(asked_ms, former?.until_ms ?? Infinity);
  const came_live = got_ms !== undefined && got_ms <= known_ms - SKEW_MS && !is_partly &&
    coverOf(known, sitting, said) === "whole";
  const listed = answer.messages.filter(({ duplicate }) => !duplicate);
  if (came_live && !listed.some(({ heard }) => heard.some((one) => one.node_id === node_id))) {
    wrong(`${node_id} passed it on, and is not said to have heard it`);
  }
  const end = row.lost === undefined ? endProblem(sitting, row.ended, asked_ms) : undefined;
  if (end !== undefined) wrong(end);
  // Without a ledger that heard it there is no message to speak of; its offset still can be asked for.
  if (row.outcomes.length === 0) {
    if (came_live || (by_offset && !is_partly)) wrong("nothing is said of it");
    return "unknown message";
  }
  const reasons = row.outcomes.map((outcome) => {
    const is_whole = coverOf(known, sitting, said) === "whole";
    const gone = goneProblem(question, outcome, row.lost, got_ms, is_whole);
    if (gone !== undefined) return gone;
    return got_ms !== undefined
      ? receivedProblem(question, outcome, got_ms)
      : missedProblem(known, question, outcome, sitting, since_ms ?? Infinity);
  });
  // A publisher whose Shield is gone says it again: of two copies a client has got one, and need not get the other.
  const has_copy = got_ms !== undefined && reasons.some((reason) => !reason);
  for (const [at, outcome] of row.outcomes.entries()) {
    if (has_copy && outcome.state === "not_heard") continue;
    if (reasons[at]) wrong(`${JSON.stringify(outcome)}: ${reasons[at]}`);
  }
  const { state = "", why = "" } = row.outcomes[0] ?? {};
  const word = /^[0-9]+$/.test(why) ? "a close code" : why;
  return `${state} ${word}`.trim() + (former === undefined ? "" : ", stored");
}

/** What is wrong with what is said of the connection's end. */
function endProblem(
  { ended_ms, code }: Sitting,
  ended: { readonly code: number } | undefined,
  asked_ms: number,
): string | undefined {
  if (ended === undefined) {
    const is_over = ended_ms !== undefined && ended_ms < asked_ms - MARGIN_MS;
    return is_over ? `is said to be open, and ended at ${ended_ms}` : undefined;
  }
  if (ended_ms === undefined) return `is said to have ended with ${ended.code}, and is open`;
  // A client is told a code by the bus, unless the connection is lost before that.
  const is_told = code >= 4_000 || code === 1_012;
  return is_told && ended.code !== code ? `ended with ${code}, not ${ended.code}` : undefined;
}

/** What is wrong with the outcome of a message that the client has got. */
function receivedProblem(
  { said, asked_ms }: Question,
  { state, at_ms }: Outcome,
  got_ms: number,
): string | undefined {
  if (got_ms > asked_ms - SKEW_MS) return undefined;
  if (!DELIVERED.has(state)) return "the client has got it";
  if (state === "caught_up" && said.offset === 0) return "the room has no log";
  if (at_ms === undefined) return undefined;
  return at_ms < said.sent_ms - SKEW_MS || at_ms > got_ms + SKEW_MS
    ? `it was published at ${said.sent_ms} and came at ${got_ms}`
    : undefined;
}

type Cover = "whole" | "none" | "never" | "before" | "after" | "open";

/**
 * How the client's subscription lay to the message: `whole`: around it for certain; `never`: it was connected
 * for certain and never asked for the room; `before`, `after`: the connection had ended, or was yet to come;
 * `open`: nobody but the bus knows.
 */
function coverOf(known: Known, sitting: Sitting, said: Said): Cover {
  const { opened_ms, ended_ms = Infinity, stays } = sitting;
  const { sent_ms, answered_ms = Infinity } = said;
  const last_ms = answered_ms + MARGIN_MS;
  if (ended_ms + MARGIN_MS < sent_ms) return "before";
  if (opened_ms > last_ms) return "after";
  const of_room = stays.filter(({ room_id }) => room_id === said.room_id);
  const connected = opened_ms < sent_ms && ended_ms > last_ms;
  if (connected && of_room.every(({ asked_ms }) => asked_ms > last_ms)) {
    return of_room.length === 0 ? "never" : "open";
  }
  const isWhole = ({ acked_ms = Infinity, left_ms = Infinity }: Stay) =>
    acked_ms < sent_ms && Math.min(left_ms, ended_ms) > last_ms &&
    !known.hits.some((hit) => mayEnd(hit, sitting, said.room_id, acked_ms, last_ms));
  return of_room.some(isWhole) ? "whole" : "open";
}

/** Whether a kick or ban may have ended the subscription by then. */
function mayEnd(
  { tenant_id, user_id, room_id, asked_ms }: Hit,
  sitting: Sitting,
  room: string,
  from_ms: number,
  to_ms: number,
): boolean {
  if (tenant_id !== sitting.tenant_id || user_id !== sitting.user_id) return false;
  if (room_id !== "" && room_id !== room) return false;
  return asked_ms > from_ms - MARGIN_MS && asked_ms < to_ms;
}

/** What is wrong with the outcome of a message that the client has not got. */
function missedProblem(
  known: Known,
  question: Question,
  { state, why = "", at_ms, until_ms }: Outcome,
  sitting: Sitting,
  since_ms: number,
): string | undefined {
  const { said, asked_ms, by_offset } = question;
  const cover = coverOf(known, sitting, said);
  const has_ended = sitting.ended_ms !== undefined;
  const stays = sitting.stays.filter(({ room_id }) => room_id === said.room_id);
  const is = (right: boolean, otherwise: string) => right ? undefined : otherwise;
  const room_of = (kind: string) => said.room_id.startsWith(kind);
  if (cover === "never" && !["not_subscribed", "unknown"].includes(state)) {
    return "it was connected, and never asked for the room";
  }
  if (cover === "before" && !["not_connected", "not_subscribed", "unknown"].includes(state)) {
    return `the connection had ended at ${sitting.ended_ms}`;
  }
  switch (state) {
    case "sent":
    case "caught_up":
      if (stays.length === 0) return "it never asked for the room";
      if (sitting.ended_ms === undefined || sitting.ended_ms > (at_ms ?? Infinity) + MARGIN_MS) {
        return "the connection lived on, and it has not come";
      }
      return laterProblem(known, said, sitting);
    case "left_out":
      if (why === "echo") {
        const wanted_none = stays.some(({ no_echo }) => no_echo);
        return is(said.by === sitting.connection_id && wanted_none, "it is no echo");
      }
      if (why === "slow_reader") {
        return is(
          room_of("drop") && (has_ended || hadGap(sitting, said)),
          "the client was told of no gap",
        );
      }
      return is(room_of("latest") && why === "conflated", "the room leaves nothing out");
    case "queued":
      // Of an open connection it says that the message waits for it still.
      return is(has_ended || why === "", "the connection is open");
    case "cut_off":
      return is(
        room_of("log") && (has_ended || stays.some((one) => one.left_ms !== undefined)),
        "it hears on",
      );
    case "behind":
      return is(room_of("log") && said.sent_ms > asked_ms - MARGIN_MS, "long ago");
    case "not_heard":
      if (cover === "never" || cover === "after") return "it was not subscribed";
      return is(has_ended || hadGap(sitting, said) || said.code === undefined, "no gap was told");
    case "unknown":
      if (why === "edge") return is(cover === "open", "it is certain whether it was subscribed");
      return is(since_ms > said.sent_ms || by_offset, "the ledger goes back so far");
    case "not_subscribed":
      if (cover === "whole") return "it was subscribed";
      return whyProblem(known, question, sitting, stays, why);
    case "not_connected":
      if (cover === "whole" || cover === "never") return "it was connected";
      if (until_ms !== undefined) return is(has_ended, "it is open");
      return is(sitting.opened_ms > said.sent_ms - SKEW_MS, "it was there before");
    default:
      return `there is no ${state}`;
  }
}

/** Whether the client was told of a gap in the room after this message was published. */
const hadGap = ({ gaps }: Sitting, { room_id, sent_ms }: Said): boolean =>
  gaps.some((gap) => gap.room_id === room_id && gap.at_ms >= sent_ms - SKEW_MS);

/**
 * A message may be lost between the socket and the client only with the connection, and then all that was
 * sent behind it: what the same publisher said later in that room did not come either.
 */
function laterProblem(
  known: Known,
  { by, number, room_id, key }: Said,
  { got }: Sitting,
): string | undefined {
  for (const id of got.keys()) {
    const later = known.said.get(id);
    if (later?.by !== by || later.room_id !== room_id || later.key !== key) continue;
    if (later.number > number) return `${id} came, which is later`;
  }
  return undefined;
}

/** What is wrong with the reason why it was not subscribed. */
function whyProblem(
  { hits }: Known,
  { said: { room_id }, asked_ms, answered_ms }: Question,
  { tenant_id, user_id, code }: Sitting,
  stays: readonly Stay[],
  why: string,
): string | undefined {
  const wasHit = (kind: Hit["kind"]) =>
    hits.some((hit) =>
      hit.kind === kind && hit.tenant_id === tenant_id && hit.user_id === user_id &&
      (hit.room_id === room_id || hit.room_id === "") && hit.asked_ms < answered_ms
    );
  const is = (right: boolean, otherwise: string) => right ? undefined : otherwise;
  switch (why) {
    case "never":
      return is(
        stays.every(({ acked_ms = Infinity }) => acked_ms > asked_ms - SKEW_MS),
        "it was subscribed once",
      );
    case "kick":
    case "room-ban":
      return is(wasHit(why), `there was no ${why}`);
    case "unsubscribed":
      return is(stays.some((one) => one.left_ms !== undefined), "it has not left");
    case "refused":
      return is(stays.some((one) => one.acked_ms === undefined), "none was refused");
    case "closed":
      return is(code !== 0 || stays.length > 0, "it was not there");
    case "":
      return is(stays.length > 0, "it never asked for the room");
    default:
      return `nobody caused ${why}`;
  }
}
