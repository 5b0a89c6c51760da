/**
 * Connections of a stopping Shield. It tells the other Shields which of them have members, and waits until they know. A
 * client that reconnects elsewhere and names its former connection keeps that id: its members stay, without a leave and
 * a join. Best effort: an unknown client gets a new id.
 */
import { scraped } from "../../shared/metrics/metrics.ts";
import { z } from "zod";
import type { Identity } from "../auth/identity.ts";
import { connectionId } from "../../shared/ids.ts";
import type { Env } from "../../shared/env.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import { MOVING } from "../../shared/subjects/subject.ts";
import type { Claim } from "../connection/presence.ts";
import { within } from "../../shared/within.ts";

/** Connections in one message; each takes about 100 bytes. */
const CONNECTIONS_PER_MESSAGE = 1_000;
/** The most connections that are awaited; further ones get new ids. */
const AWAITED_MAX = 200_000;
/** The most concurrently announcing Shields; another one is refused. */
const TELLINGS_MAX = 1_024;

/** The request of a stopping Shield to all others, whether they know all these connections. */
const ConfirmParams = z.strictObject({
  from: z.string().max(64),
  /** The id of this announcement. */
  telling: z.string().max(64),
  connections: z.int().min(1),
});
type ConfirmParams = z.output<typeof ConfirmParams>;
/** The answer to it. */
export const ConfirmAnswer = z.strictObject({ heard: z.boolean() });

/** Asks all Shields; resolves to the number of those that do not know it in time. */
export type AskConfirm = (params: ConfirmParams, timeout_ms: number) => Promise<number>;

/** A connection that may move, and its user. */
interface MovingConnection {
  readonly id: string;
  readonly identity: Pick<Identity, "tenant_id" | "user_key">;
}

interface HandoverOptions
  extends Pick<Env, "registry" | "log" | "node_id" | "monotonic_ms" | "random"> {
  readonly spine: Pick<Spine, "publish" | "subscribe" | "flush">;
  /** How long a connection is awaited, in ms. */
  readonly patience_ms: number;
  /** How long a stopping Shield waits for the others, in ms. */
  readonly confirm_ms: number;
}

interface Awaited {
  readonly tenant_id: string;
  readonly user_key: string;
  readonly until_ms: number;
  claim?: Claim;
}

/** The connections that another Shield has announced so far. */
interface Telling {
  connections: number;
  readonly until_ms: number;
  /** Called at each further message of the announcement. */
  onMore?: () => void;
}

const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder("utf-8", { fatal: true });

/** How long a start waits for that answer, in ms; without another Shield there is none. */
const KNOWN_MS = 500;
/** The queue group in which one of all Shields answers a Shield that has just started. */
const QUEUE = "shield";

/** The starting Shield that asks for the expected connections; undefined: the message is no such request. */
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
    // An older Shield has no id of the announcement, and makes no request.
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
export class Handover {
  readonly #options: HandoverOptions;
  #ask: AskConfirm = () => Promise.resolve(0);
  /** Connections that are awaited, by id, in the order in which their time ends. */
  readonly #awaited = new Map<string, Awaited>();
  readonly #tellings = new Map<string, Telling>();
  readonly #unsubscribe: () => void;
  readonly #known = Promise.withResolvers<void>();
  #kept = 0;
  #unconfirmed = 0;

  constructor(options: HandoverOptions) {
    this.#options = options;
    const { spine, registry } = options;
    const subscription = spine.subscribe(MOVING, (message) => this.#receive(message));
    // This request precedes its own answers: clients of the replaced Shield may come to this one.
    this.#publish({ from: options.node_id, want: true });
    const answers = spine.subscribe(MOVING, (message) => this.#answer(message), { queue: QUEUE });
    this.#unsubscribe = () => [subscription, answers].forEach((one) => one.unsubscribe());
    scraped(registry, {
      "shield_moving_connections": [
        "Connections of stopping Shields that may reconnect here with their ids.",
        () => this.size,
      ],
      "shield_moved_connections_total": [
        "Connections that moved here from a stopping Shield and kept their ids.",
        () => this.#kept,
      ],
      "shield_moves_unheard_total": [
        "Other Shields that did not confirm the moving connections in time.",
        () => this.#unconfirmed,
      ],
    });
  }

  get size(): number {
    this.#forget();
    return this.#awaited.size;
  }

  /** Sets how the other Shields are asked; until then none is. */
  askBy(ask: AskConfirm): void {
    this.#ask = ask;
  }

  /**
   * Announces these connections to the other Shields, and resolves when they know, at most `confirm_ms` or `at_most_ms`
   * later. Never rejects: an unannounced connection gets a new id.
   */
  async tell(connections: Iterable<MovingConnection>, at_most_ms = Infinity): Promise<void> {
    const { spine, node_id: from, log, random, confirm_ms } = this.#options;
    const telling = connectionId(random);
    const rows = Array.from(
      connections,
      ({ id, identity }) => [id, identity.tenant_id, identity.user_key],
    );
    if (rows.length === 0) return;
    try {
      for (const connections of pagesOf(rows)) this.#publish({ from, telling, connections });
      await spine.flush();
      const question = { from, telling, connections: rows.length };
      const silent = await this.#ask(question, Math.min(confirm_ms, at_most_ms));
      this.#unconfirmed += silent;
      if (silent > 0) {
        log.warn("not all Shields confirmed the moving connections in time", { shields: silent });
      }
    } catch (error) {
      log.warn("other Shields do not know the moving connections: members leave and join", {
        error,
      });
    }
  }

  /** Answers another stopping Shield: resolves to true if all its connections are known. Rejects an invalid request. */
  async confirm(params: unknown): Promise<z.output<typeof ConfirmAnswer>> {
    const { node_id, confirm_ms } = this.#options;
    const { from, telling, connections } = ConfirmParams.parse(params);
    if (from === node_id) return { heard: true };
    const known = this.#telling(telling);
    if (known === undefined || known.connections >= connections) {
      return { heard: known !== undefined };
    }
    const { promise, resolve } = Promise.withResolvers<boolean>();
    known.onMore = () => known.connections >= connections && resolve(true);
    return { heard: await within(confirm_ms, promise, () => false) };
  }

  /**
   * The claim of a connection to its former id, if it is awaited and belonged to this user. A client that lost its
   * connection here may reconnect: the last claim applies.
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

  /** Resolves once another Shield has reported the expected connections, or soon if there is none. */
  async known(): Promise<void> {
    const timer = setTimeout(this.#known.resolve, Math.min(this.#options.confirm_ms, KNOWN_MS));
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

  /** Reports the expected connections to a starting Shield, except those that have already arrived here. */
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
      log.warn("a starting Shield was not sent the moving connections", { shield: to, error });
    }
  }

  #receive({ payload }: SpineMessage): void {
    const { node_id, monotonic_ms, patience_ms } = this.#options;
    const message = readMessage(payload, node_id);
    if (message === undefined || message.from === node_id) return;
    this.#forget();
    const until_ms = monotonic_ms() + patience_ms;
    for (const [id = "", tenant_id = "", user_key = ""] of message.connections) {
      if (this.#awaited.size >= AWAITED_MAX) break;
      // It moves after entries whose time ends earlier.
      this.#awaited.delete(id);
      this.#awaited.set(id, { tenant_id, user_key, until_ms });
    }
    if (message.is_last) this.#known.resolve();
    const announced = this.#telling(message.telling);
    if (announced === undefined) return;
    announced.connections += message.connections.length;
    announced.onMore?.();
  }

  /** The earlier part of that announcement; undefined if there are too many announcements. */
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
    const announced = { connections: 0, until_ms: now_ms + patience_ms };
    this.#tellings.set(telling, announced);
    return announced;
  }

  #forget(): void {
    const now_ms = this.#options.monotonic_ms();
    for (const [id, { until_ms }] of this.#awaited) {
      if (until_ms > now_ms) return;
      this.#awaited.delete(id);
    }
  }
}
