/**
 * Asks all Shields for `GET /v1/why`, within a second however many questions it takes, and puts what they say
 * together. What is asked and answered is `why.ts`, whose clock is ahead `why_clocks.ts`.
 */
import {
  WHY_MESSAGES_MAX,
  WhyFound,
  WhyRoom,
  WhyTold,
} from "../../../shared/cluster/cluster_why.ts";
import type {
  ConnectionAccount,
  RefusalAccount,
  WhyFind,
  WhyMessage,
  WhyRead,
  WhyUser,
} from "../../../shared/cluster/cluster_why.ts";
import type { AskedNodes, ClusterAsker, Gathered } from "../../../shared/cluster/cluster_asker.ts";
import type { z } from "zod";
import { lifeName } from "../former_ledgers.ts";
import type { Clocks } from "./why_clocks.ts";
import { unheardBy, withLogged, withUnheard } from "./why_unheard.ts";
import type { HeardInRoom, Unheard } from "./why_unheard.ts";

/** When the whole answer is due, in ms from the first question on: a silent Shield is named then. */
const DUE_MS = 900;
/** When the next question is asked of all, though the first has not been answered by all. */
const EARLY_MS = 400;
/** What the last question is given at least, however late it is asked. */
const LAST_MS = 100;

/** A message with the Shields that heard it. */
export type Heard = Omit<WhyMessage, "time_ms"> & {
  readonly heard: { readonly node_id: string; readonly time_ms: number }[];
  /** When the room's log took it, Unix ms; absent: a Shield has heard it. */
  readonly stored_ms?: number;
};

/** The messages that some Shields have heard. */
export interface Found {
  /** The oldest first. */
  readonly messages: Heard[];
  readonly nodes: AskedNodes;
  readonly truncated: boolean;
}

/** What Shields report about a user. */
interface Told {
  readonly connections: (ConnectionAccount & { readonly node_id: string })[];
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

/** What is stored of a room: what Shields had heard that are not there any longer, and its log. */
interface StoredInRoom {
  readonly former: HeardInRoom;
  readonly logged: WhyRoom["rows"];
}

/** The questions of one request. */
export class WhyQuestions {
  readonly #asker: ClusterAsker;
  readonly #clocks: Clocks;
  readonly #began_ms: number;
  readonly #monotonic_ms: () => number;
  readonly reaches = new Map<string, Reach>();
  /** The lives of the Shields that have answered the last question. */
  lives: ReadonlySet<string> = new Set();
  #has_told = false;
  /** What each Shield has heard of the room. */
  #heard: HeardInRoom = [];

  constructor(asker: ClusterAsker, clocks: Clocks, monotonic_ms = () => performance.now()) {
    this.#asker = asker;
    this.#clocks = clocks;
    this.#monotonic_ms = monotonic_ms;
    this.#began_ms = monotonic_ms();
  }

  /**
   * Resolves with what is known of the messages when all Shields have answered or the next question has to be
   * asked; `whole` with all that came in time. A Shield that was late and knows other messages counts as silent:
   * the outcome of these was not asked for. `stored` gives what is stored of those that have not answered; both reject with `too-many-pending`.
   */
  async find(
    params: WhyFind,
    stored: (params: WhyFind, lives: ReadonlySet<string>) => Promise<Gathered<WhyFound>["answers"]>,
  ): Promise<{ readonly early: Found; readonly whole: Promise<Found> }> {
    const { promise, resolve, reject } = Promise.withResolvers<Gathered<WhyFound>>();
    const tell = (soFar: Gathered<unknown>) => resolve(soFar as Gathered<WhyFound>);
    const asked = this.#asker.ask("why_find", WhyFound, {
      params,
      of: "shield",
      timeout_ms: this.#left_ms(),
      early: { after_ms: EARLY_MS, tell },
    });
    asked.then(resolve, reject);
    const first = await promise;
    this.#note(first);
    this.#noteLives(first);
    const answers = [...first.answers, ...await stored(params, this.lives)];
    const rows = foundOf({ ...first, answers });
    const whole = asked.then((last) => {
      this.#note(last);
      if (!this.#has_told) this.#noteLives(last);
      return withLate(rows, first, last);
    });
    // Whoever awaits it learns of it; nobody may, when the next question fails first.
    whole.catch(() => {});
    return { early: { ...rows, messages: [...rows.messages] }, whole };
  }

  /**
   * Asks for the outcome of messages for a user, and in a room since a time also what of those that others have
   * heard; `stored` gives what those had heard that have not answered, and what is in the room's log. Rejects as
   * `find`.
   */
  async ask(
    params: WhyUser,
    stored: (params: WhyUser, lives: ReadonlySet<string>) => Promise<StoredInRoom>,
  ): Promise<Told> {
    const [told, rooms] = await Promise.all([
      this.#askAll("why_user", WhyTold, params),
      this.#askRoom(params),
    ]);
    this.#noteLives(told);
    this.#has_told = true;
    const by_node = <R extends object>(rows: (value: WhyTold) => readonly R[]) =>
      told.answers.flatMap(({ node_id, value }) => rows(value).map((row) => ({ node_id, ...row })));
    const all: Told = {
      connections: by_node(({ rows }) => rows),
      refusals: by_node(({ refusals }) => refusals),
      reads: by_node(({ reads = [] }) => reads),
      nodes: told.nodes,
      truncated: told.answers.some(({ value }) => value.truncated === true),
    };
    if (rooms === undefined) return all;
    // Reading what is stored takes its own time: the living have what is left without it.
    const timeout_ms = this.#left_ms();
    const { former, logged } = await stored(params, this.lives);
    this.#heard = withLogged([...rooms.answers, ...former], logged);
    return await this.#askUnheard(all, rooms, params, timeout_ms);
  }

  /** The same with what the users' Shields have not heard, and others have: asked of these Shields. */
  async #askUnheard(
    all: Told,
    rooms: Gathered<WhyRoom>,
    asked: WhyUser,
    timeout_ms: number,
  ): Promise<Told> {
    const { tenant, user, connection } = asked;
    const nodes = new Set(all.connections.map(({ node_id }) => node_id));
    const whose_rooms = rooms.answers.filter(({ node_id }) => nodes.has(node_id));
    const unheard = this.unheardOf(asked, whose_rooms);
    const whose = connection === undefined ? { user } : { connection };
    const told = await Promise.all(unheard.map(async (one) => ({
      one,
      told: await this.#asker.ask("why_user", WhyTold, {
        params: { tenant, ...whose, messages: one.messages },
        to: one.node_id,
        timeout_ms,
      }),
    })));
    return {
      ...all,
      connections: told.reduce(
        (connections, { one, told: { answers: [answer] } }) =>
          withUnheard(connections, one, answer?.value.rows ?? []),
        all.connections,
      ),
      nodes: told.reduce(
        (nodes, { told }) => bothOf(nodes, { answered: [], silent: told.nodes.silent }),
        bothOf(all.nodes, rooms.nodes),
      ),
      truncated: all.truncated || unheard.some(({ truncated }) => truncated) ||
        rooms.answers.some(({ value }) => value.truncated === true),
    };
  }

  /** What Shields have not heard of the room that was asked for, and others have. */
  unheardOf({ room = "", since_ms = 0 }: WhyUser, whose: HeardInRoom): Unheard[] {
    return unheardBy(whose, { room, since_ms }, this.#heard, this.#clocks);
  }

  async #askRoom(
    { tenant, room, since_ms, now_ms }: WhyUser,
  ): Promise<Gathered<WhyRoom> | undefined> {
    if (room === undefined || since_ms === undefined) return undefined;
    return await this.#askAll("why_room", WhyRoom, { tenant, room, since_ms, now_ms });
  }

  /** Asks all Shields. Only where clocks are apart `now_ms` is said, which older Shields refuse. */
  async #askAll<A extends z.ZodType<Omit<Reach, "node_id">>>(
    question: string,
    schema: A,
    { now_ms, ...params }: Partial<WhyUser>,
  ): Promise<Gathered<z.output<A>>> {
    const are_apart = this.#clocks.are_apart;
    const told = await this.#asker.ask(question, schema, {
      params: are_apart ? { ...params, now_ms } : params,
      of: "shield",
      timeout_ms: this.#left_ms(),
    });
    this.#note(told);
    return are_apart || !this.#clocks.are_apart
      ? told
      : await this.#askAll(question, schema, { ...params, now_ms });
  }

  #noteLives({ answers }: Gathered<Pick<WhyTold, "life_ms">>): void {
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

/** Who has answered all questions that were asked; who has not answered one is silent. */
export function bothOf(last: AskedNodes | undefined, first: AskedNodes | undefined): AskedNodes {
  const silent = [...new Set([...last?.silent ?? [], ...first?.silent ?? []])].sort();
  const answered = (last ?? first)?.answered ?? [];
  return { answered: answered.filter((node) => !silent.includes(node)), silent };
}

/** When a message was heard first, by the Shield that answered first; else when it was stored. */
export const firstOf = ({ heard: [first], stored_ms = 0 }: Heard) => first?.time_ms ?? stored_ms;

interface Rows extends Found {
  readonly by_key: ReadonlyMap<string, Heard>;
}

/** The keys of a Shield's messages: it receives a message once, so the same ids again are another message. */
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
  const by_key = new Map<string, Heard>();
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

/** The same messages, with what those say who answered later. */
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
