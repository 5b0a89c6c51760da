/**
 * The one stream of a ledger, or of a store of blocks: creates it with its share of the storage, sets its bounds, and
 * retries requests. A ledger appends at an expected sequence, so that the stream does the compare-and-set; its entries
 * can be neither deleted nor purged. `nats_blocks.ts` has the blocks.
 */
import { ArqonError } from "@arqon/proto";
import { LEDGER_BYTES_MIN, ledgerBound, STORAGE_REMEDY } from "../../contract/storage_plan.ts";
import {
  hasNoResponder,
  insist,
  isRefused,
  lacksStorage,
  Refusal,
  StreamLost,
} from "../connection/nats_errors.ts";
import { type Link, START_MS } from "../connection/nats_link.ts";
import { differing, fromDirect, fromStored, LogApi, warnOfAltered } from "../log/nats_log_api.ts";
import type { StreamConfig } from "../log/nats_log_api.ts";
import { askDirect, type DirectAnswer, type DirectQuestion } from "../log/nats_log_read.ts";
import type { Inbox } from "../log/nats_log_inbox.ts";
import { makeBounded, type NatsStorage } from "../log/nats_storage.ts";
import { ledgerSubject } from "../../../subjects/subject.ts";
import { assertSize } from "../../contract/check.ts";
import { sameBytes } from "./nats_bucket.ts";
import type {
  Ledger,
  LedgerEntry,
  LedgerRead,
  LedgerRetention,
  LedgerStatus,
} from "../../contract/ledger.ts";

/** Nanoseconds of a second: JetStream's unit of ages. */
const NANOS = 1e9;

/** What the bus relies on: appends are confirmed and kept as they came, and the oldest go first. */
export const KEPT_RELIED = {
  retention: "limits",
  discard: "old",
  subject_transform: undefined,
  no_ack: false,
  allow_direct: true,
  max_msgs_per_subject: -1,
} as const;

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
      ...KEPT_RELIED,
      subjects: [subject],
      storage: "file",
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
    await insist(this.#options.link, (timeout_ms) => this.#ensure(timeout_ms), within_ms);
  }

  /** Runs a request; a deleted stream is created again once, and its entries begin at 1. */
  async ask<T>(ask: (timeout_ms: number) => Promise<T>): Promise<T> {
    for (let attempt = 1;; attempt++) {
      try {
        return await insist(this.#options.link, ask);
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
      return await insist(this.#options.link, ask);
    } catch (error) {
      if (error instanceof StreamLost) return absent;
      throw error;
    }
  }

  /** Stores a message, as `LogApi.publish`. Rejects with `StreamLost` when nobody answers as the stream is deleted. */
  async publish(
    subject: string,
    payload: Uint8Array,
    named: Readonly<Record<string, string>>,
    timeout_ms: number,
  ): Promise<number> {
    try {
      return (await this.api.publish(this.name, subject, payload, named, timeout_ms)).seq;
    } catch (error) {
      // Without a leader, nobody answers either.
      if (!hasNoResponder(error) || await this.api.find(this.name, timeout_ms) !== undefined) {
        throw error;
      }
      throw new StreamLost("the stream is gone");
    }
  }

  async #ensure(timeout_ms: number): Promise<void> {
    const { link, storage } = this.#options;
    const { name, subjects = [], max_age, max_bytes: asked_bytes } = this.#wanted;
    const share_bytes = await storage.ledgerBytes(asked_bytes);
    const found = await this.api.find(name, timeout_ms);
    if (found === undefined) return await this.#create(share_bytes, timeout_ms);
    const { config } = found;
    if (config.subjects?.length !== 1 || config.subjects[0] !== subjects[0]) {
      const why = `the JetStream stream ${name} has other subjects than ${subjects[0]}`;
      throw new ArqonError("log-unavailable", `${why}; delete it, or rename it`);
    }
    storage.note(name, config.max_bytes);
    const max_bytes = ledgerBound(config.max_bytes, found.state.bytes, asked_bytes, share_bytes);
    const next = { ...config, ...KEPT_RELIED, max_age, max_bytes };
    const settings = differing(config, next);
    if (settings.length === 0) return;
    warnOfAltered(link, name, differing(config, KEPT_RELIED));
    // The account may lack the permission to change it, so that nobody shortens it: then it stays unchanged.
    await this.api.update(next, timeout_ms).then(
      () => storage.note(name, max_bytes),
      (error: unknown) => {
        link.log.warn("a ledger keeps the settings that it has: they could not be changed", {
          stream: name,
          settings: settings.join(", "),
          error,
        });
      },
    );
  }

  async #create(max_bytes: number, timeout_ms: number): Promise<void> {
    const { storage } = this.#options;
    const { name, max_bytes: wanted_bytes } = this.#wanted;
    const bounds = { least_bytes: LEDGER_BYTES_MIN, wanted_bytes };
    try {
      await makeBounded(storage, this.api, { ...this.#wanted, max_bytes }, bounds, timeout_ms);
    } catch (cause) {
      if (!lacksStorage(cause)) throw cause;
      const why =
        `NATS has no ${LEDGER_BYTES_MIN} bytes to promise the ledger ${name}; ${STORAGE_REMEDY}`;
      throw new ArqonError("log-unavailable", why, { cause });
    }
  }
}

const READ_BYTES = 4_194_304;
/** Bytes of the headers of an append. */
const HEADER_BYTES = 128;

class NatsLedger extends KeptStream implements Ledger {
  async append(payload: Uint8Array, after: number): Promise<number> {
    assertSize(payload.length + HEADER_BYTES, this.api.link.payload_bytes_max);
    const copy = payload.slice();
    let may_be_stored = false;
    return await this.ask(async (timeout_ms) => {
      try {
        const named = { "Nats-Expected-Last-Sequence": String(after) };
        return await this.publish(ledgerSubject(this.name), copy, named, timeout_ms);
      } catch (error) {
        if (!(error instanceof Refusal)) {
          may_be_stored = true;
          throw error;
        }
        if (!isRefused(error, "wrongLast")) throw error;
      }
      // An entry stored by an attempt with a lost answer is ours.
      if (may_be_stored) {
        const [there] = await this.#read({ after, limit: 1 }, timeout_ms);
        if (there?.offset === after + 1 && sameBytes(there.payload, copy)) return after + 1;
      }
      const { state } = await this.api.info(this.name, timeout_ms);
      throw new ArqonError(
        "version-conflict",
        `${state.last_seq} (the newest entry of ${this.name})`,
      );
    });
  }

  last(): Promise<LedgerEntry | undefined> {
    const { api, name } = this;
    return this.ask(async (timeout_ms) => {
      const stored = await api.message(name, ledgerSubject(name), "newest", timeout_ms);
      if (stored === undefined) return undefined;
      const { offset, payload } = fromStored(stored);
      return { offset, payload };
    });
  }

  read(options: LedgerRead): Promise<LedgerEntry[]> {
    return this.ask((timeout_ms) => this.#read(options, timeout_ms));
  }

  status(): Promise<LedgerStatus> {
    return this.ask(async (timeout_ms) => {
      const { state } = await this.api.info(this.name, timeout_ms);
      const { messages: entries, bytes, last_seq: last_offset, first_seq, first_ts } = state;
      const is_empty = entries === 0;
      return {
        entries,
        bytes,
        last_offset,
        first_offset: is_empty ? last_offset + 1 : first_seq,
        first_ms: is_empty ? undefined : Date.parse(first_ts),
      };
    });
  }

  async #read({ after, limit }: LedgerRead, timeout_ms: number): Promise<LedgerEntry[]> {
    const question = {
      seq: after + 1,
      next_by_subj: ledgerSubject(this.name),
      batch: limit,
      max_bytes: READ_BYTES,
    };
    const { messages } = await this.direct(question, timeout_ms);
    return messages.map(fromDirect).map(({ offset, payload }) => ({ offset, payload }));
  }
}

/** Opens the ledger; creates its stream if missing. Rejects with `log-unavailable`. */
export async function openNatsLedger(
  options: KeptStreamOptions,
  name: string,
  retention: LedgerRetention,
): Promise<Ledger> {
  const subject = ledgerSubject(name);
  const kept = { subject, retention, deny_delete: true, deny_purge: true } as const;
  const ledger = new NatsLedger(options, name, kept);
  await ledger.open(START_MS);
  return ledger;
}
