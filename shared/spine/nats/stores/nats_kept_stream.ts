/**
 * The one stream of a ledger, or of a store of blocks: creates it with its share of the storage, sets its bounds, and
 * retries requests. Its content is defined in `nats_ledger.ts` and `nats_blocks.ts`.
 */
import { ArqonError } from "@arqon/proto";
import {
  LEDGER_BYTES_MIN,
  ledgerBound,
  smaller,
  STORAGE_REMEDY,
} from "../../contract/storage_plan.ts";
import type { Link } from "../connection/nats_link.ts";
import { lacksStorage } from "../connection/nats_persist.ts";
import { CODES, insist, LogApi, Refusal, StreamLost } from "../log/nats_log_api.ts";
import { askDirect, type DirectAnswer, type DirectQuestion } from "../log/nats_log_direct.ts";
import type { Inbox } from "../log/nats_log_inbox.ts";
import type { StreamConfig } from "../log/nats_log_api.ts";
import type { NatsStorage } from "../log/nats_storage.ts";

/** Nanoseconds of a second: JetStream's unit of ages. */
const NANOS = 1e9;

/** The engine's parts that a stream needs. */
export interface KeptStreamOptions {
  readonly link: Link;
  readonly inbox: Inbox;
  readonly storage: NatsStorage;
}

/** What is kept, by whom, and what else its stream is. */
interface KeptStreamConfig {
  readonly subject: string;
  readonly retention: { readonly max_age_seconds: number; readonly max_bytes: number };
  readonly deny_delete?: true;
  readonly deny_purge?: true;
  readonly allow_msg_ttl?: true;
}

/** A stream with one subject or pattern; age and size remove the oldest messages. */
export class KeptStream {
  readonly api: LogApi;
  readonly name: string;
  readonly #options: KeptStreamOptions;
  /** Its `max_bytes` is the requested size: the storage may grant less. */
  readonly #wanted: StreamConfig;

  constructor(options: KeptStreamOptions, name: string, kept: KeptStreamConfig) {
    const { subject, retention: { max_age_seconds, max_bytes }, ...own } = kept;
    this.api = new LogApi(options.link);
    this.name = name;
    this.#options = options;
    const wanted = {
      name,
      max_bytes,
      ...own,
      subjects: [subject],
      retention: "limits",
      storage: "file",
      discard: "old",
      allow_direct: true,
      max_msgs_per_subject: -1,
      max_age: max_age_seconds * NANOS,
      num_replicas: options.link.replicas,
    };
    this.#wanted = wanted;
  }

  /** Reads messages directly, from any replica. */
  direct(question: DirectQuestion, timeout_ms: number): Promise<DirectAnswer> {
    const { link, inbox } = this.#options;
    return askDirect(link, inbox, this.name, question, timeout_ms);
  }

  /**
   * Creates it if missing, and sets its bounds. Rejects with `log-unavailable` after the longer of `within_ms` and
   * `link.patience_ms`.
   */
  async open(within_ms?: number): Promise<void> {
    await this.#insist((timeout_ms) => this.#ensure(timeout_ms), within_ms);
  }

  /** Runs a request; a deleted stream is created again once, and its entries begin at 1. */
  async ask<T>(ask: (timeout_ms: number) => Promise<T>): Promise<T> {
    for (let attempt = 1;; attempt++) {
      try {
        return await this.#insist(ask);
      } catch (error) {
        if (!(error instanceof StreamLost)) throw error;
        if (attempt > 1) throw new ArqonError("log-unavailable", error.message, { cause: error });
      }
      await this.open();
    }
  }

  /** Runs a request that creates no stream: without one, the answer is `absent`. */
  async look<T>(ask: (timeout_ms: number) => Promise<T>, absent: T): Promise<T> {
    try {
      return await this.#insist(ask);
    } catch (error) {
      if (error instanceof StreamLost) return absent;
      throw error;
    }
  }

  #insist<T>(ask: (timeout_ms: number) => Promise<T>, within_ms?: number): Promise<T> {
    return insist(this.#options.link, ask, within_ms);
  }

  async #ensure(timeout_ms: number): Promise<void> {
    const { link, storage } = this.#options;
    const { name, subjects = [], max_age, max_bytes: asked_bytes } = this.#wanted;
    const share_bytes = await storage.ledgerBytes(asked_bytes);
    const found = await this.api.info(name, timeout_ms).catch((error: unknown) => {
      if (error instanceof StreamLost) return undefined;
      throw error;
    });
    if (found === undefined) return await this.#create(share_bytes, timeout_ms);
    const { config } = found;
    if (config.subjects?.length !== 1 || config.subjects[0] !== subjects[0]) {
      const why = `the JetStream stream ${name} has other subjects than ${subjects[0]}`;
      throw new ArqonError("log-unavailable", `${why}; delete it, or rename it`);
    }
    storage.note(name, config.max_bytes);
    const max_bytes = ledgerBound(config.max_bytes, found.state.bytes, asked_bytes, share_bytes);
    if (config.max_age === max_age && config.max_bytes === max_bytes) return;
    // The account may lack the permission to change it, so that nobody shortens it: then it stays unchanged.
    await this.api.update({ ...config, max_age, max_bytes }, timeout_ms).then(
      () => storage.note(name, max_bytes),
      (error: unknown) => {
        link.log.warn("a ledger keeps what it kept: its retention could not be changed", {
          stream: name,
          error,
        });
      },
    );
  }

  async #create(share_bytes: number, timeout_ms: number): Promise<void> {
    const { link, storage } = this.#options;
    const { name, max_bytes: asked_bytes } = this.#wanted;
    let max_bytes = share_bytes;
    for (;; max_bytes = Math.max(LEDGER_BYTES_MIN, smaller(max_bytes))) {
      try {
        await this.api.create({ ...this.#wanted, max_bytes }, timeout_ms);
        break;
      } catch (error) {
        // Another process was faster.
        if (error instanceof Refusal && error.code === CODES.nameInUse) break;
        if (!lacksStorage(error)) throw error;
        if (max_bytes <= LEDGER_BYTES_MIN) throw noRoom(name, max_bytes, error);
      }
    }
    storage.note(name, max_bytes);
    if (max_bytes === asked_bytes) return;
    link.log.warn("NATS has too little room for a ledger: it keeps less than it should", {
      stream: name,
      bound_bytes: max_bytes,
      wanted_bytes: asked_bytes,
      remedy: STORAGE_REMEDY,
    });
  }
}

function noRoom(name: string, max_bytes: number, cause: unknown): ArqonError {
  const why = `NATS has no ${max_bytes} bytes to promise the ledger ${name}; ${STORAGE_REMEDY}`;
  return new ArqonError("log-unavailable", why, { cause });
}
