/**
 * Connections whose Shield stops. It tells the other Shields which of them have members. A client that
 * comes back elsewhere and names its former connection keeps that id: its members stay who they are,
 * and nobody is told of a leave and a join. Best effort: a client that is not known here gets a new id.
 */
import type { Identity } from "../auth/identity.ts";
import type { Logger } from "../../shared/logs/log.ts";
import { scrapedGauge } from "../../shared/metrics/metrics.ts";
import type { Registry } from "../../shared/metrics/metrics.ts";
import { scrapedCounter } from "../../shared/metrics/metrics_plain.ts";
import type { Spine, SpineMessage } from "../../shared/spine/contract/spine.ts";
import { MOVING } from "../../shared/subjects/subject.ts";

/** Connections in one message; each takes some 100 bytes. */
const CONNECTIONS_PER_MESSAGE = 1_000;
/** The most connections that are awaited; beyond that they get new ids. */
const AWAITED_MAX = 200_000;

/** A connection that may move, and its user. */
export interface MovingConnection {
  readonly id: string;
  readonly identity: Pick<Identity, "tenant_id" | "user_key">;
}

/** What moving needs of the process. */
export interface MovingOptions {
  readonly node_id: string;
  readonly spine: Pick<Spine, "publish" | "subscribe" | "flush">;
  readonly registry: Registry;
  readonly log: Logger;
  /** Ms of a clock that only grows. */
  readonly monotonic_ms: () => number;
  /** How long a connection is awaited, in ms. */
  readonly patience_ms: number;
}

interface Awaited {
  readonly tenant_id: string;
  readonly user_key: string;
  readonly until_ms: number;
}

const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder("utf-8", { fatal: true });

/** Reads the connections in a message; undefined when it is not a message of this kind. */
function readMessage(payload: Uint8Array): { from: string; connections: string[][] } | undefined {
  try {
    const { from, connections } = JSON.parse(strictUtf8.decode(payload));
    const is_ours = typeof from === "string" && Array.isArray(connections) &&
      connections.every((one) =>
        Array.isArray(one) && one.length === 3 && one.every((text) => typeof text === "string")
      );
    return is_ours ? { from, connections } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The moves of clients between Shields; there is one for each Shield. Making it throws
 * `spine-unavailable` while the Spine is not connected.
 */
export class Moving {
  readonly #options: MovingOptions;
  /** Connections that are awaited, by id, in the order in which their time ends. */
  readonly #awaited = new Map<string, Awaited>();
  readonly #unsubscribe: () => void;
  #kept = 0;

  constructor(options: MovingOptions) {
    this.#options = options;
    const { spine, registry } = options;
    const subscription = spine.subscribe(MOVING, (message) => this.#hear(message));
    this.#unsubscribe = () => subscription.unsubscribe();
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
  }

  get size(): number {
    this.#forget();
    return this.#awaited.size;
  }

  /**
   * Tells the other Shields of these connections, and resolves when that is done. Never rejects: a
   * connection that is not awaited gets a new id.
   */
  async tell(connections: Iterable<MovingConnection>): Promise<void> {
    const { spine, node_id: from, log } = this.#options;
    const rows = Array.from(
      connections,
      ({ id, identity }) => [id, identity.tenant_id, identity.user_key],
    );
    if (rows.length === 0) return;
    try {
      for (let at = 0; at < rows.length; at += CONNECTIONS_PER_MESSAGE) {
        const part = rows.slice(at, at + CONNECTIONS_PER_MESSAGE);
        spine.publish(MOVING, utf8.encode(JSON.stringify({ from, connections: part })));
      }
      await spine.flush();
    } catch (error) {
      log.warn("other Shields do not know who moves: members leave and join", { error });
    }
  }

  /**
   * The former id of a connection, when it is awaited and was this user's; each id is given only once.
   */
  keep(
    connection_id: string,
    { tenant_id, user_key }: Pick<Identity, "tenant_id" | "user_key">,
  ): string | undefined {
    this.#forget();
    const awaited = this.#awaited.get(connection_id);
    if (awaited?.tenant_id !== tenant_id || awaited.user_key !== user_key) return undefined;
    this.#awaited.delete(connection_id);
    this.#kept++;
    return connection_id;
  }

  close(): void {
    this.#unsubscribe();
    this.#awaited.clear();
  }

  #hear({ payload }: SpineMessage): void {
    const { node_id, monotonic_ms, patience_ms } = this.#options;
    const message = readMessage(payload);
    if (message === undefined || message.from === node_id) return;
    this.#forget();
    const until_ms = monotonic_ms() + patience_ms;
    for (const [id = "", tenant_id = "", user_key = ""] of message.connections) {
      if (this.#awaited.size >= AWAITED_MAX) return;
      this.#awaited.set(id, { tenant_id, user_key, until_ms });
    }
  }

  #forget(): void {
    const now_ms = this.#options.monotonic_ms();
    for (const [id, { until_ms }] of this.#awaited) {
      if (until_ms > now_ms) return;
      this.#awaited.delete(id);
    }
  }
}
