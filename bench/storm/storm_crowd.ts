/**
 * A group of clients in this process that behave like the SDK: they connect, lose all connections at once, reconnect
 * after a random time, and wait as a refusal says. The report is plain numbers.
 */
import { cpuSeconds } from "../../shared/metrics/metrics.ts";
import { backoffDelay, DEFAULT_BACKOFF } from "../../sdk/typescript/time/clock.ts";
import type { WireConnection } from "../load/targets/target.ts";
import { attempt, type Door, isAlive } from "./storm_handshake.ts";

/** The plan of one crowd. */
export interface CrowdPlan {
  readonly door: Door;
  readonly tokens: readonly string[];
  /** The number of concurrent attempts, since a machine with many clients has few cores. */
  readonly lanes: number;
}

/** The figures of a crowd from the drop to the return of the last client. */
export interface CrowdReport {
  /** Time from the start of a successful attempt to its WELCOME, for each client. */
  readonly handshake_ms: readonly number[];
  /** Time from the drop to WELCOME, for each client. */
  readonly back_ms: readonly number[];
  /** The time before the next attempt after each 503. */
  readonly retry_after_ms: readonly number[];
  /** Number of 503 without a Retry-After header or without retry_after_ms. */
  readonly mute_refusals: number;
  readonly other_refusals: number;
  /** Number of attempts without an answer. */
  readonly failures: number;
  /** Number of clients that are not connected at the end. */
  readonly lost: number;
  /** CPU seconds of this process from the drop to the return of the last client. */
  readonly cpu_seconds: number;
}

/** Number of attempts after which a client counts as lost; an SDK would continue. */
const ATTEMPTS_MAX = 60;

interface Measured {
  handshake_ms: number[];
  back_ms: number[];
  retry_after_ms: number[];
  mute_refusals: number;
  other_refusals: number;
  failures: number;
}

/** Limits the concurrent work to this number, in the order of the calls. */
function lanes(count: number): (work: () => Promise<void>) => Promise<void> {
  let free = count;
  const waiting: (() => void)[] = [];
  return async (work) => {
    if (free > 0) free -= 1;
    else await new Promise<void>((begin) => waiting.push(begin));
    try {
      await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) free += 1;
      else next();
    }
  };
}

const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** The clients of a crowd, all in this process. */
export class Crowd {
  readonly #plan: CrowdPlan;
  readonly #inLane: (work: () => Promise<void>) => Promise<void>;
  readonly #connections: (WireConnection | undefined)[];

  constructor(plan: CrowdPlan) {
    this.#plan = plan;
    this.#inLane = lanes(plan.lanes);
    this.#connections = plan.tokens.map(() => undefined);
  }

  /** Connects all clients as fast as the Shield admits them. Resolves with the number of connected clients. */
  async connect(): Promise<number> {
    await this.#all(measured(), performance.now());
    return this.#connections.filter((connection) => connection !== undefined).length;
  }

  /**
   * Ends all connections in one turn, and lets all clients reconnect. Then it calls `onBack`, and tests each connection
   * with a request.
   */
  async storm(onBack: () => void = () => {}): Promise<CrowdReport> {
    for (const [index, connection] of this.#connections.entries()) {
      connection?.close();
      this.#connections[index] = undefined;
    }
    const measures = measured();
    const before_seconds = cpuSeconds();
    await this.#all(measures, performance.now());
    const cpu_seconds = cpuSeconds() - before_seconds;
    onBack();
    return { ...measures, cpu_seconds, lost: await this.#lost() };
  }

  close(): void {
    for (const connection of this.#connections) connection?.close();
  }

  async #all(measures: Measured, since_ms: number): Promise<void> {
    const clients = this.#plan.tokens.map((token, index) =>
      this.#come(token, index, measures, since_ms)
    );
    await Promise.all(clients);
  }

  async #come(token: string, index: number, measures: Measured, since_ms: number): Promise<void> {
    let wait_ms = 0;
    for (let failures = 1; failures <= ATTEMPTS_MAX; failures++) {
      await wait(wait_ms + backoffDelay(failures - 1, DEFAULT_BACKOFF, Math.random));
      wait_ms = 0;
      await this.#inLane(async () => {
        const result = await attempt(this.#plan.door, token);
        if (result.kind === "open") {
          this.#connections[index] = result.connection;
          measures.handshake_ms.push(result.handshake_ms);
          measures.back_ms.push(performance.now() - since_ms);
        } else if (result.kind === "failed") measures.failures += 1;
        else {
          wait_ms = result.retry_after_ms;
          if (result.status !== 503) measures.other_refusals += 1;
          else if (result.retry_after_seconds * 1_000 < wait_ms || wait_ms === 0) {
            measures.mute_refusals += 1;
          } else measures.retry_after_ms.push(wait_ms);
        }
      });
      if (this.#connections[index] !== undefined) return;
    }
  }

  /** Number of clients without a connection that answers. */
  async #lost(): Promise<number> {
    let lost = 0;
    await Promise.all(this.#connections.map((connection) =>
      this.#inLane(async () => {
        if (connection === undefined || !await isAlive(connection)) lost += 1;
      })
    ));
    return lost;
  }
}

function measured(): Measured {
  const times = { handshake_ms: [], back_ms: [], retry_after_ms: [] };
  return { ...times, mute_refusals: 0, other_refusals: 0, failures: 0 };
}
