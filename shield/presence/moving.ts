/**
 * Connections whose Shield stops. It tells the other Shields which of them have members, and waits until those
 * know it. A client that comes back elsewhere and names its former connection keeps that id: its members stay who
 * they are, and nobody is notified of a leave and a join. Best effort: a client that is not known here gets a new id.
 */
import { z } from "zod";
import type { Identity } from "../auth/identity.ts";
import { connectionId } from "../../shared/ids.ts";
import type { Env } from "../../shared/env.ts";
import { scrapedGauge } from "../../shared/metrics/metrics.ts";
import { scrapedCounter } from "../../shared/metrics/metrics_plain.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import { MOVING } from "../../shared/subjects/subject.ts";

/** Connections in one message; each takes some 100 bytes. */
const CONNECTIONS_PER_MESSAGE = 1_000;
/** The most connections that are awaited; beyond that they get new ids. */
const AWAITED_MAX = 200_000;
/** Shields that tell who moves at a time; what one more asks is answered with no. */
const TELLINGS_MAX = 1_024;

/** The question of a Shield that stops to all others: have you heard of all these connections? */
const HeardParams = z.strictObject({
  from: z.string().max(64),
  /** Names this telling. */
  telling: z.string().max(64),
  connections: z.int().min(1),
});
/** See `HeardParams`. */
export type HeardParams = z.output<typeof HeardParams>;
/** The answer to it. */
export const HeardAnswer = z.strictObject({ heard: z.boolean() });

/** Asks all Shields and resolves with how many of them do not know it in that time. */
export type AskHeard = (params: HeardParams, timeout_ms: number) => Promise<number>;

/** A connection that may move, and its user. */
export interface MovingConnection {
  readonly id: string;
  readonly identity: Pick<Identity, "tenant_id" | "user_key">;
}

/** What moving needs of the process. */
export interface MovingOptions
  extends Pick<Env, "registry" | "log" | "node_id" | "monotonic_ms" | "random"> {
  readonly spine: Pick<Spine, "publish" | "subscribe" | "flush">;
  /** How long a connection is awaited, in ms. */
  readonly patience_ms: number;
  /** How long a Shield that stops waits for the others to know who moves, in ms. */
  readonly heard_ms: number;
}

/** What a client has that says that it comes from a Shield that stops. */
export interface Claim {
  readonly connection_id: string;
  /** False when the client has come again since: that connection has the id. */
  readonly is_last: () => boolean;
}

interface Awaited {
  readonly tenant_id: string;
  readonly user_key: string;
  readonly until_ms: number;
  /** The last one. */
  claim?: Claim;
}

/** What another Shield has told so far. */
interface Telling {
  connections: number;
  readonly until_ms: number;
  /** Called with each further message of it. */
  onMore?: () => void;
}

const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder("utf-8", { fatal: true });

/** How long a start waits for that answer, in ms: where there is no other Shield, nobody gives one. */
const KNOWN_MS = 500;
/** Of all Shields, one answers who has just started. */
const QUEUE = "shield";

/** Who asks which connections may come, since it has just started; undefined: nobody does. */
function readWant(payload: Uint8Array): string | undefined {
  try {
    const { from, want } = JSON.parse(strictUtf8.decode(payload));
    return want === true && typeof from === "string" ? from : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Reads the connections in a message; undefined when it is not a message of this kind, or for another Shield than
 * `node_id`.
 */
function readMessage(
  payload: Uint8Array,
  node_id: string,
): { from: string; telling: string; is_last: boolean; connections: string[][] } | undefined {
  try {
    // An older Shield names no telling, and asks nobody.
    const { from, telling = "", to = node_id, last, connections } = JSON.parse(
      strictUtf8.decode(payload),
    );
    const is_ours = to === node_id && typeof from === "string" && typeof telling === "string" &&
      telling.length <= 64 && Array.isArray(connections) &&
      connections.every((one) =>
        Array.isArray(one) && one.length === 3 && one.every((text) => typeof text === "string")
      );
    return is_ours ? { from, telling, is_last: last === true, connections } : undefined;
  } catch {
    return undefined;
  }
}

function* pagesOf<Row>(rows: readonly Row[]): Generator<readonly Row[]> {
  for (let at = 0; at < rows.length; at += CONNECTIONS_PER_MESSAGE) {
    yield rows.slice(at, at + CONNECTIONS_PER_MESSAGE);
  }
}

/**
 * The moves of clients between Shields; there is one for each Shield. Making it throws
 * `spine-unavailable` while the Spine is not connected.
 */
export class Moving {
  readonly #options: MovingOptions;
  #ask: AskHeard = () => Promise.resolve(0);
  /** Connections that are awaited, by id, in the order in which their time ends. */
  readonly #awaited = new Map<string, Awaited>();
  readonly #tellings = new Map<string, Telling>();
  readonly #unsubscribe: () => void;
  readonly #known = Promise.withResolvers<void>();
  #kept = 0;
  #unheard = 0;

  constructor(options: MovingOptions) {
    this.#options = options;
    const { spine, registry } = options;
    const hears = spine.subscribe(MOVING, (message) => this.#hear(message));
    // Before it answers such questions itself: clients of the Shield that it replaces may come to this one.
    this.#publish({ from: options.node_id, want: true });
    const answers = spine.subscribe(MOVING, (message) => this.#answer(message), { queue: QUEUE });
    this.#unsubscribe = () => [hears, answers].forEach((one) => one.unsubscribe());
    scrapedGauge(
      registry,
      "shield_moving_connections",
      "Connections of Shields that stop, which may come back here under their ids.",
      () => this.size,
    );
    scrapedCounter(
      registry,
      "shield_moved_connections_total",
      "Connections that came here from a Shield that stops, and kept their ids.",
      () => this.#kept,
    );
    scrapedCounter(
      registry,
      "shield_moves_unheard_total",
      "Other Shields that did not say in time that they know who moves.",
      () => this.#unheard,
    );
  }

  get size(): number {
    this.#forget();
    return this.#awaited.size;
  }

  /** Who asks the other Shields from now on; until then nobody is asked. */
  askBy(ask: AskHeard): void {
    this.#ask = ask;
  }

  /**
   * Tells the other Shields of these connections, and resolves when they know it, at most `heard_ms` or
   * `at_most_ms` later. Never rejects: a connection that is not awaited gets a new id.
   */
  async tell(
    connections: Iterable<MovingConnection>,
    at_most_ms = Infinity,
  ): Promise<void> {
    const { spine, node_id: from, log, random, heard_ms } = this.#options;
    const telling = connectionId(random);
    const rows = Array.from(
      connections,
      ({ id, identity }) => [id, identity.tenant_id, identity.user_key],
    );
    if (rows.length === 0) return;
    try {
      for (const connections of pagesOf(rows)) this.#publish({ from, telling, connections });
      await spine.flush();
      const asked = { from, telling, connections: rows.length };
      const unheard = await this.#ask(asked, Math.min(heard_ms, at_most_ms));
      this.#unheard += unheard;
      if (unheard > 0) log.warn("not all Shields know in time who moves", { shields: unheard });
    } catch (error) {
      log.warn("other Shields do not know who moves: members leave and join", { error });
    }
  }

  /**
   * Answers another Shield that stops: resolves with true when all have been heard of whom it names. Rejects with
   * what is no question.
   */
  async heard(params: unknown): Promise<z.output<typeof HeardAnswer>> {
    const { node_id, heard_ms } = this.#options;
    const { from, telling, connections } = HeardParams.parse(params);
    if (from === node_id) return { heard: true };
    const told = this.#telling(telling);
    if (told === undefined || told.connections >= connections) return { heard: told !== undefined };
    const { promise, resolve } = Promise.withResolvers<boolean>();
    told.onMore = () => told.connections >= connections && resolve(true);
    const timer = setTimeout(() => resolve(false), heard_ms);
    return { heard: await promise.finally(() => clearTimeout(timer)) };
  }

  /**
   * The claim of a connection to its former id, when it is awaited and was this user's. A client that lost its
   * connection here may come again: the last claim counts.
   */
  keep(
    connection_id: string,
    { tenant_id, user_key }: Pick<Identity, "tenant_id" | "user_key">,
  ): Claim | undefined {
    this.#forget();
    const awaited = this.#awaited.get(connection_id);
    if (awaited?.tenant_id !== tenant_id || awaited.user_key !== user_key) return undefined;
    if (awaited.claim === undefined) this.#kept++;
    const claim: Claim = { connection_id, is_last: () => awaited.claim === claim };
    awaited.claim = claim;
    return claim;
  }

  /** Resolves when another Shield has said who may come, or soon when there is none that says it. */
  async known(): Promise<void> {
    const timer = setTimeout(this.#known.resolve, Math.min(this.#options.heard_ms, KNOWN_MS));
    await this.#known.promise;
    clearTimeout(timer);
  }

  close(): void {
    this.#unsubscribe();
    this.#awaited.clear();
    this.#tellings.clear();
  }

  #publish(message: object): void {
    this.#options.spine.publish(MOVING, utf8.encode(JSON.stringify(message)));
  }

  /** Tells a Shield that has just started who may come; those that have come here do not. */
  #answer({ payload }: SpineMessage): void {
    const { node_id: from, log } = this.#options;
    const to = readWant(payload);
    if (to === undefined || to === from) return;
    this.#forget();
    const rows = [...this.#awaited].flatMap(([id, { tenant_id, user_key, claim }]) =>
      claim === undefined ? [[id, tenant_id, user_key]] : []
    );
    try {
      for (const connections of pagesOf(rows)) this.#publish({ from, to, connections });
      this.#publish({ from, to, connections: [], last: true });
    } catch (error) {
      log.warn("a Shield that has started does not know who moves", { shield: to, error });
    }
  }

  #hear({ payload }: SpineMessage): void {
    const { node_id, monotonic_ms, patience_ms } = this.#options;
    const message = readMessage(payload, node_id);
    if (message === undefined || message.from === node_id) return;
    this.#forget();
    const until_ms = monotonic_ms() + patience_ms;
    for (const [id = "", tenant_id = "", user_key = ""] of message.connections) {
      if (this.#awaited.size >= AWAITED_MAX) break;
      // Behind those whose time ends before.
      this.#awaited.delete(id);
      this.#awaited.set(id, { tenant_id, user_key, until_ms });
    }
    if (message.is_last) this.#known.resolve();
    const told = this.#telling(message.telling);
    if (told === undefined) return;
    told.connections += message.connections.length;
    told.onMore?.();
  }

  /** What was reported under that name until now; undefined when too many tell something. */
  #telling(telling: string): Telling | undefined {
    const known = this.#tellings.get(telling);
    if (known !== undefined) return known;
    const { monotonic_ms, patience_ms } = this.#options;
    const now_ms = monotonic_ms();
    for (const [name, { until_ms }] of this.#tellings) {
      if (until_ms > now_ms) break;
      this.#tellings.delete(name);
    }
    if (telling === "" || this.#tellings.size >= TELLINGS_MAX) return undefined;
    const told = { connections: 0, until_ms: now_ms + patience_ms };
    this.#tellings.set(telling, told);
    return told;
  }

  #forget(): void {
    const now_ms = this.#options.monotonic_ms();
    for (const [id, { until_ms }] of this.#awaited) {
      if (until_ms > now_ms) return;
      this.#awaited.delete(id);
    }
  }
}
