/**
 * Asks all Shields for `GET /v1/why`, within one second for all requests, and merges the answers. `why.ts` has requests
 * and answers. The lead of another Shield's clock follows from an exchange: the time in an answer was read between
 * request and answer.
 */
import type { AskedNodes, ClusterAsker, Gathered } from "../../../shared/cluster/cluster_asker.ts";
import {
  type AskedMessage,
  type ConnectionAccount,
  type RefusalAccount,
  type RoomAccount,
  WHY_MESSAGES_MAX,
  WHY_MISSED_MAX,
  type WhyFind,
  WhyFound,
  type WhyMessage,
  type WhyOutcome,
  type WhyRead,
  WhyReport,
  WhyRoom,
  type WhyUser,
} from "../../../shared/cluster/cluster_why.ts";
import type { z } from "zod";
import { lifeName } from "../former_ledgers.ts";
import { awaitedLater } from "../../../shared/awaited_later.ts";

/** The lead of a clock, in ms, and its uncertainty. */
interface Ahead {
  readonly ahead_ms: number;
  readonly within_ms: number;
}

/** The clocks of the Shields that answered one request. */
export class Clocks {
  /** The Shield whose clock is the reference. */
  readonly node_id: string;
  readonly #bounds = new Map<string, { readonly least: number; readonly most: number }>();

  constructor(node_id: string) {
    this.node_id = node_id;
  }

  /** Records answers; of two, the common range is used, or the later one if the clock jumped meanwhile. */
  note({ answers, asked_ms, received_ms }: Gathered<{ readonly now_ms: number }>): void {
    for (const { node_id, value: { now_ms } } of answers) {
      const at_ms = received_ms.get(node_id);
      if (at_ms === undefined) continue;
      const least = now_ms - Math.max(asked_ms, at_ms);
      const most = now_ms - asked_ms;
      const before = this.#bounds.get(node_id);
      const fits = before !== undefined && least <= before.most && before.least <= most;
      this.#bounds.set(node_id, {
        least: fits ? Math.max(least, before.least) : least,
        most: fits ? Math.min(most, before.most) : most,
      });
    }
  }

  /** How far that Shield's clock is ahead; undefined: it has not answered. */
  of(node_id: string): Ahead | undefined {
    if (node_id === this.node_id) return { ahead_ms: 0, within_ms: 0 };
    const bounds = this.#bounds.get(node_id);
    if (bounds === undefined) return undefined;
    const { least, most } = bounds;
    return { ahead_ms: Math.round((least + most) / 2), within_ms: Math.ceil((most - least) / 2) };
  }

  /** That Shield's time by the reference clock, Unix ms; unchanged if the lead is unknown. */
  here(node_id: string, time_ms: number): number {
    return time_ms - (this.of(node_id)?.ahead_ms ?? 0);
  }
}

/** How long a message may be in transit to a Shield; younger ones are not reported as lost. */
const UNDER_WAY_MS = 1_000;

/** Messages that one Shield has not received. */
export interface Missing {
  readonly node_id: string;
  /** Oldest first, with times by this Shield's clock. */
  readonly messages: AskedMessage[];
  /** There are more than the limit of one request. */
  readonly truncated: boolean;
}

/** A connection in an answer, with its Shield. */
type ConnectionOfNode = ConnectionAccount & { readonly node_id: string };

/** The messages of a room received by each Shield, ended ones included: each incarnation is one answer. */
export type ReceivedInRoom = Gathered<WhyRoom>["answers"];

/**
 * The same with messages from a room's log that no Shield received. The log is not a Shield: it has no connections, and
 * its clock is assumed to be the caller's.
 */
export function withLogged(received: ReceivedInRoom, logged: WhyRoom["rows"]): ReceivedInRoom {
  const known = new Set(
    received.flatMap(({ value: { rows } }) => rows.map(([, , twist_id]) => twist_id)),
  );
  const rows = logged.filter(([, , twist_id]) => twist_id !== "" && !known.has(twist_id));
  if (rows.length === 0) return received;
  const value = { since_ms: null, now_ms: 0, rows };
  return [...received, { node_id: "", kind: "shield", value }];
}

/**
 * The messages of a room since a time by this Shield's clock that a Shield of `whose` has not received, and another
 * has.
 */
export function missingAt(
  whose: ReceivedInRoom,
  { room, since_ms }: { readonly room: string; readonly since_ms: number },
  all: ReceivedInRoom,
  clocks: Clocks,
): Missing[] {
  const received = new Map<string, { time_ms: number; offset: number; within_ms: number }>();
  for (const { node_id, value: { rows } } of all) {
    const within_ms = clocks.of(node_id)?.within_ms ?? 0;
    for (const [raw_ms, offset, twist_id, duplicate] of rows) {
      const time_ms = clocks.here(node_id, raw_ms);
      const before = received.get(twist_id);
      if (duplicate || before !== undefined && before.time_ms <= time_ms) continue;
      received.set(twist_id, { time_ms, offset, within_ms });
    }
  }
  return whose.flatMap(({ node_id, value }) => {
    if (value.since_ms === null) return [];
    const own = new Set(value.rows.map(([, , twist_id]) => twist_id));
    const { ahead_ms, within_ms } = clocks.of(node_id) ?? { ahead_ms: 0, within_ms: 0 };
    const last = value.truncated === true ? value.rows.at(-1)?.[0] ?? 0 : value.now_ms;
    const found: AskedMessage[] = [];
    for (const [twist_id, one] of received) {
      const time_ms = one.time_ms + ahead_ms;
      const apart_ms = UNDER_WAY_MS + one.within_ms + within_ms;
      // Messages from before its ledger may have been read from the room's log.
      const own_ms = since_ms + ahead_ms;
      const from_ms = one.offset > 0 ? own_ms : Math.max(own_ms, value.since_ms);
      if (own.has(twist_id) || time_ms < from_ms + apart_ms) continue;
      if (time_ms > last - apart_ms) continue;
      const ids = { twist_id, trace_id: "", message_id: "" };
      found.push({ room_id: room, offset: one.offset, ...ids, time_ms });
    }
    if (found.length === 0) return [];
    found.sort((a, b) => a.time_ms - b.time_ms);
    const truncated = found.length > WHY_MESSAGES_MAX;
    return [{ node_id, messages: found.slice(0, WHY_MESSAGES_MAX), truncated }];
  });
}

/** The accounts of a Shield's connections, with the outcome of messages that it has not received. */
export function withMissing(
  connections: readonly ConnectionOfNode[],
  { node_id, messages }: Missing,
  accounts: readonly ConnectionAccount[],
): ConnectionOfNode[] {
  const outcomes = new Map(accounts.map((one) => [one.connection_id, one.outcomes]));
  return connections.map((one) => {
    const own = one.node_id === node_id ? outcomes.get(one.connection_id) : undefined;
    if (own === undefined || one.room === undefined) return one;
    return { ...one, room: counted(one.room, messages, own) };
  });
}

/** Whether a message arrived in the unrecorded last seconds of a lost Shield, for a subscription in its last record. */
function isGone(
  { subscriptions }: RoomAccount,
  time_ms: number,
  { state, why, from_ms = Infinity, until_ms = 0 }: WhyOutcome,
): boolean {
  if (state !== "unknown" || why === undefined) return false;
  if (time_ms < from_ms - UNDER_WAY_MS || time_ms > until_ms) return false;
  return subscriptions.some((one) => one.why === why && one.until_ms === from_ms);
}

function counted(
  account: RoomAccount,
  messages: readonly AskedMessage[],
  outcomes: ConnectionAccount["outcomes"],
): RoomAccount {
  let { due, sent, missed_count } = account;
  const missed = [...account.missed];
  for (const [place, outcome] of outcomes.entries()) {
    const message = messages[place];
    if (message === undefined) continue;
    const { time_ms, offset, twist_id } = message;
    const { state, until_ms = Infinity } = outcome;
    if (state === "sent" || state === "caught_up") {
      due++;
      sent++;
    }
    // Near the ends of a subscription it is unknown whether it included the message.
    const is_certain = state === "not_heard" && time_ms < until_ms - UNDER_WAY_MS &&
      time_ms > (outcome.from_ms ?? 0) + UNDER_WAY_MS;
    const is_counted = is_certain || state === "left_out" || state === "cut_off" ||
      state === "behind" || isGone(account, time_ms, outcome);
    if (!is_counted) continue;
    due++;
    missed_count++;
    missed.push({ time_ms, offset, twist_id, outcome });
  }
  missed.sort((a, b) => a.time_ms - b.time_ms);
  return { ...account, due, sent, missed: missed.slice(0, WHY_MISSED_MAX), missed_count };
}

/** The deadline of the whole answer, in ms from the first request on: silent Shields are named then. */
const DUE_MS = 900;
/** When the next request is sent although not all have answered the first, in ms. */
const EARLY_MS = 400;
/** The minimum timeout of the last request. */
const LAST_MS = 100;

/** A message with the Shields that received it. */
export type FoundMessage = Omit<WhyMessage, "time_ms"> & {
  readonly heard: { readonly node_id: string; readonly time_ms: number }[];
  /** When the room's log stored it, Unix ms; absent: a Shield has received it. */
  readonly stored_ms?: number;
};

/** The messages that at least one Shield has received. */
export interface Found {
  /** The oldest first. */
  readonly messages: FoundMessage[];
  readonly nodes: AskedNodes;
  readonly truncated: boolean;
}

/** What is known of a user, with the Shields that know it. */
export interface UserReport {
  readonly connections: ConnectionOfNode[];
  readonly refusals: (RefusalAccount & { readonly node_id: string })[];
  readonly reads: (WhyRead & { readonly node_id: string })[];
  readonly nodes: AskedNodes;
  readonly truncated: boolean;
}

/** How far back a Shield's ledger goes, by its own clock. */
interface Reach {
  readonly node_id: string;
  readonly since_ms: number | null;
  readonly now_ms: number;
  readonly life_ms?: number | undefined;
}

/** Stored data of a room: messages received by ended Shields, and its log. */
interface StoredInRoom {
  readonly former: ReceivedInRoom;
  readonly logged: WhyRoom["rows"];
}

/** The requests for one answer. */
export class WhyQuestions {
  readonly #asker: ClusterAsker;
  readonly #clocks: Clocks;
  readonly #began_ms: number;
  readonly #monotonic_ms: () => number;
  readonly reaches = new Map<string, Reach>();
  /** The incarnations of the Shields that have answered the last request. */
  lives: ReadonlySet<string> = new Set();
  #has_answered = false;
  /** The messages of the room by Shield. */
  #received: ReceivedInRoom = [];

  constructor(asker: ClusterAsker, clocks: Clocks, monotonic_ms = () => performance.now()) {
    this.#asker = asker;
    this.#clocks = clocks;
    this.#monotonic_ms = monotonic_ms;
    this.#began_ms = monotonic_ms();
  }

  /**
   * Resolves to the known messages once all Shields have answered or the next request is due; `whole` resolves to all
   * answers in time. A late Shield with other messages counts as silent, as it was not asked for their outcome.
   * `stored` returns the stored data of those that have not answered; both reject with `too-many-pending`.
   */
  async find(
    params: WhyFind,
    stored: (params: WhyFind, lives: ReadonlySet<string>) => Promise<Gathered<WhyFound>["answers"]>,
  ): Promise<{ readonly early: Found; readonly whole: Promise<Found> }> {
    const { promise, resolve, reject } = Promise.withResolvers<Gathered<WhyFound>>();
    const tell = (soFar: Gathered<unknown>) => resolve(soFar as Gathered<WhyFound>);
    const pending = this.#asker.ask("why_find", WhyFound, {
      params,
      of: "shield",
      timeout_ms: this.#left_ms(),
      early: { after_ms: EARLY_MS, tell },
    });
    pending.then(resolve, reject);
    const first = await promise;
    this.#note(first);
    this.#noteLives(first);
    const answers = [...first.answers, ...await stored(params, this.lives)];
    const rows = foundOf({ ...first, answers });
    const whole = awaitedLater(pending.then((last) => {
      this.#note(last);
      if (!this.#has_answered) this.#noteLives(last);
      return withLate(rows, first, last);
    }));
    return { early: { ...rows, messages: [...rows.messages] }, whole };
  }

  /**
   * Asks for the outcome of messages for a user, and in a room since a time also of messages that other Shields
   * received; `stored` returns what ended Shields received, and the room's log. Rejects as `find`.
   */
  async ask(
    params: WhyUser,
    stored: (params: WhyUser, lives: ReadonlySet<string>) => Promise<StoredInRoom>,
  ): Promise<UserReport> {
    const { tenant, room, since_ms, now_ms } = params;
    const [users, rooms] = await Promise.all([
      this.#askAll("why_user", WhyReport, params),
      room !== undefined && since_ms !== undefined &&
      this.#askAll("why_room", WhyRoom, { tenant, room, since_ms, now_ms }),
    ]);
    this.#noteLives(users);
    this.#has_answered = true;
    const by_node = <R extends object>(rows: (value: WhyReport) => readonly R[]) =>
      users.answers.flatMap(({ node_id, value }) =>
        rows(value).map((row) => ({ node_id, ...row }))
      );
    const all: UserReport = {
      connections: by_node(({ rows }) => rows),
      refusals: by_node(({ refusals }) => refusals),
      reads: by_node(({ reads = [] }) => reads),
      nodes: users.nodes,
      truncated: users.answers.some(({ value }) => value.truncated === true),
    };
    if (rooms === false) return all;
    // Reading stored data takes time: running Shields get the rest.
    const timeout_ms = this.#left_ms();
    const { former, logged } = await stored(params, this.lives);
    this.#received = withLogged([...rooms.answers, ...former], logged);
    return await this.#askMissing(all, rooms, params, timeout_ms);
  }

  /** Like `ask`, and then asks the user's Shields about messages that only others have received. */
  async #askMissing(
    all: UserReport,
    rooms: Gathered<WhyRoom>,
    question: WhyUser,
    timeout_ms: number,
  ): Promise<UserReport> {
    const { tenant, user, connection } = question;
    const nodes = new Set(all.connections.map(({ node_id }) => node_id));
    const whose_rooms = rooms.answers.filter(({ node_id }) => nodes.has(node_id));
    const missing = this.missingOf(question, whose_rooms);
    const whose = connection === undefined ? { user } : { connection };
    const answered = await Promise.all(missing.map(async (one) => ({
      one,
      answer: await this.#asker.ask("why_user", WhyReport, {
        params: { tenant, ...whose, messages: one.messages },
        to: one.node_id,
        timeout_ms,
      }),
    })));
    return {
      ...all,
      connections: answered.reduce(
        (connections, { one, answer: { answers: [answer] } }) =>
          withMissing(connections, one, answer?.value.rows ?? []),
        all.connections,
      ),
      nodes: answered.reduce(
        (nodes, { answer }) => bothOf(nodes, { answered: [], silent: answer.nodes.silent }),
        bothOf(all.nodes, rooms.nodes),
      ),
      truncated: all.truncated || missing.some(({ truncated }) => truncated) ||
        rooms.answers.some(({ value }) => value.truncated === true),
    };
  }

  /** Messages of the requested room that some Shields have not received, and others have. */
  missingOf({ room = "", since_ms = 0 }: WhyUser, whose: ReceivedInRoom): Missing[] {
    return missingAt(whose, { room, since_ms }, this.#received, this.#clocks);
  }

  async #askAll<A extends z.ZodType<Omit<Reach, "node_id">>>(
    question: string,
    schema: A,
    params: Partial<WhyUser>,
  ): Promise<Gathered<z.output<A>>> {
    const options = { params, of: "shield", timeout_ms: this.#left_ms() } as const;
    const gathered = await this.#asker.ask(question, schema, options);
    this.#note(gathered);
    return gathered;
  }

  #noteLives({ answers }: Gathered<Pick<WhyReport, "life_ms">>): void {
    this.lives = new Set(
      answers.flatMap(({ node_id, value: { life_ms } }) =>
        life_ms === undefined ? [] : lifeName(node_id, life_ms)
      ),
    );
  }

  #left_ms(): number {
    return Math.max(LAST_MS, DUE_MS - (this.#monotonic_ms() - this.#began_ms));
  }

  #note(gathered: Gathered<Omit<Reach, "node_id">>): void {
    this.#clocks.note(gathered);
    for (const { node_id, value: { since_ms, now_ms } } of gathered.answers) {
      this.reaches.set(node_id, { node_id, since_ms, now_ms });
    }
  }
}

/** The Shields that answered all requests; one that missed a request is silent. */
export function bothOf(last: AskedNodes | undefined, first: AskedNodes | undefined): AskedNodes {
  const silent = [...new Set([...last?.silent ?? [], ...first?.silent ?? []])].sort();
  const answered = (last ?? first)?.answered ?? [];
  return { answered: answered.filter((node) => !silent.includes(node)), silent };
}

/** When the first answering Shield received a message; else when it was stored. */
export const firstOf = ({ heard: [first], stored_ms = 0 }: FoundMessage) =>
  first?.time_ms ?? stored_ms;

interface Rows extends Found {
  readonly by_key: ReadonlyMap<string, FoundMessage>;
}

/** The keys of a Shield's messages: it receives a message once, so a repetition of the same ids is another message. */
function keysOf(rows: readonly WhyMessage[]): string[] {
  const times = new Map<string, number>();
  return rows.map(({ time_ms: _, ...message }) => {
    const ids = JSON.stringify(message);
    const before = times.get(ids) ?? 0;
    times.set(ids, before + 1);
    return `${before} ${ids}`;
  });
}

/** The messages of some answers, each once. */
function foundOf({ answers, nodes }: Gathered<WhyFound>): Rows {
  const by_key = new Map<string, FoundMessage>();
  for (const { node_id, value } of answers) {
    const keys = keysOf(value.rows);
    for (const [place, { time_ms, ...message }] of value.rows.entries()) {
      const key = keys[place] ?? "";
      const known = by_key.get(key);
      if (known === undefined) by_key.set(key, { ...message, heard: [{ node_id, time_ms }] });
      else known.heard.push({ node_id, time_ms });
    }
  }
  const all = [...by_key.values()].sort((a, b) => firstOf(a) - firstOf(b));
  const truncated = all.length > WHY_MESSAGES_MAX ||
    answers.some(({ value }) => value.truncated === true);
  return { by_key, messages: all.slice(-WHY_MESSAGES_MAX), nodes, truncated };
}

/** The same messages, including late answers. */
function withLate(
  { by_key, messages, truncated }: Rows,
  first: Gathered<WhyFound>,
  last: Gathered<WhyFound>,
): Found {
  const in_time = new Set(first.nodes.answered);
  const silent = [...last.nodes.silent];
  for (const { node_id, value: { rows } } of last.answers) {
    if (in_time.has(node_id)) continue;
    const keys = keysOf(rows);
    if (keys.some((key) => !by_key.has(key))) {
      silent.push(node_id);
      continue;
    }
    for (const [place, { time_ms }] of rows.entries()) {
      by_key.get(keys[place] ?? "")?.heard.push({ node_id, time_ms });
    }
  }
  const answered = last.nodes.answered.filter((node) => !silent.includes(node));
  return { messages, truncated, nodes: { answered, silent: silent.sort() } };
}
