/**
 * Asks the NATS servers of a run now and then who leads their streams, by connections of its own that no
 * fault cuts: so a bus that cannot store anything is told apart from a NATS that does not let it.
 */
import { connect } from "@nats-io/transport-deno";
import type { NatsConnection } from "@nats-io/transport-deno";
import { callApi } from "../../shared/spine/nats/log/nats_log_api.ts";
import { pace } from "../../shared/testing/pace.ts";
import { LeaderRecord } from "./leader_record.ts";
import type { Leaderless } from "./leader_record.ts";

const LOOK_MS = 2_000;
const ANSWER_MS = 1_500;

interface Page {
  readonly streams?: readonly string[] | null;
}

interface Led {
  readonly cluster?: { readonly leader?: string };
}

/** A copy may answer that knows of no leader; a server that runs alone leads all. */
const isLed = ({ cluster }: Led) => cluster === undefined || (cluster.leader ?? "") !== "";

/** A watch that runs until it is disposed. */
export class LeaderWatch implements AsyncDisposable {
  readonly #urls: readonly string[];
  readonly #now: () => number;
  readonly #record = new LeaderRecord();
  readonly #connections = new Map<string, NatsConnection>();
  #streams: readonly string[] = [];
  #is_over = false;
  #looking: Promise<void>;

  /** `now` is the run's clock, in ms. */
  constructor(urls: readonly string[], now: () => number) {
    this.#urls = urls;
    this.#now = now;
    this.#looking = this.#run();
  }

  /** The times without a leader that were too long for an election. */
  times(): readonly Leaderless[] {
    return this.#record.times(this.#now());
  }

  /** Those that last. */
  lasting(): readonly Leaderless[] {
    return this.#record.lasting(this.#now());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#is_over = true;
    await this.#looking;
    for (const connection of this.#connections.values()) await connection.close();
  }

  async #run(): Promise<void> {
    while (!this.#is_over) {
      await this.#look();
      await pace(LOOK_MS);
    }
  }

  async #look(): Promise<void> {
    await Promise.all(this.#urls.map((url) => this.#connect(url)));
    // While nobody answers, the previous streams are asked for.
    const page = await this.#ask<Page>("STREAM.NAMES");
    this.#streams = page?.streams ?? this.#streams;
    await Promise.all(this.#streams.map(async (stream) => {
      const asked_ms = this.#now();
      const led = await this.#ask<Led>(`STREAM.INFO.${stream}`);
      this.#record.seen(stream, led !== undefined && isLed(led), asked_ms);
    }));
  }

  /** One connection a server: a server that is frozen keeps nobody from asking the others. */
  async #connect(url: string): Promise<void> {
    if (this.#connections.get(url)?.isClosed() === false) return;
    try {
      const options = {
        servers: url,
        timeout: ANSWER_MS,
        reconnect: false,
        ignoreClusterUpdates: true,
      };
      this.#connections.set(url, await connect(options));
    } catch {
      // It is down or frozen; the others are asked, and this one at the next look.
    }
  }

  /** The first answer that says something; undefined when no server has one. */
  async #ask<T>(verb: string): Promise<T | undefined> {
    const open = [...this.#connections.values()].filter((one) => !one.isClosed());
    try {
      return await Promise.any(open.map((one) => callApi<T>(one, verb, {}, ANSWER_MS)));
    } catch {
      return undefined;
    }
  }
}
