/**
 * A ledger on JetStream: its own stream with one subject, to which entries are appended at an expected sequence, so
 * that the stream does the compare-and-set. Entries can be neither deleted nor purged; only age and the size of the
 * stream remove the oldest.
 */
import { ArqonError } from "@arqon/proto";
import { ledgerSubject } from "../../../subjects/subject.ts";
import { assertSize } from "../../contract/check.ts";
import type {
  Ledger,
  LedgerEntry,
  LedgerRead,
  LedgerRetention,
  LedgerStatus,
} from "../../contract/ledger.ts";
import { START_MS } from "../connection/nats_link.ts";
import { CODES, Refusal } from "../log/nats_log_api.ts";
import { fromDirect, fromStored } from "../log/nats_log_message.ts";
import { KeptStream, type KeptStreamOptions } from "./nats_kept_stream.ts";

const READ_BYTES = 4_194_304;
/** Bytes of the headers of an append. */
const HEADER_BYTES = 128;

/** The engine's parts that a ledger needs. */
interface NatsLedgerOptions extends KeptStreamOptions {
  readonly name: string;
}

const sameBytes = (left: Uint8Array, right: Uint8Array): boolean =>
  left.length === right.length && left.every((byte, at) => byte === right[at]);

class NatsLedger implements Ledger {
  readonly #options: NatsLedgerOptions;
  readonly #stream: KeptStream;

  constructor(options: NatsLedgerOptions, stream: KeptStream) {
    this.#options = options;
    this.#stream = stream;
  }

  async append(payload: Uint8Array, after: number): Promise<number> {
    assertSize(payload.length + HEADER_BYTES, this.#options.link.payload_bytes_max);
    const copy = payload.slice();
    let may_be_stored = false;
    return await this.#stream.ask(async (timeout_ms) => {
      try {
        const named = { "Nats-Expected-Last-Sequence": String(after) };
        const { name } = this.#options;
        return await this.#stream.api.publish(name, ledgerSubject(name), copy, named, timeout_ms);
      } catch (error) {
        if (!(error instanceof Refusal)) {
          may_be_stored = true;
          throw error;
        }
        if (error.code !== CODES.wrongLast) throw error;
      }
      // An entry stored by an attempt with a lost answer is ours.
      if (may_be_stored) {
        const [there] = await this.#read({ after, limit: 1 }, timeout_ms);
        if (there?.offset === after + 1 && sameBytes(there.payload, copy)) return after + 1;
      }
      const { state } = await this.#stream.api.info(this.#options.name, timeout_ms);
      throw new ArqonError(
        "version-conflict",
        `${state.last_seq} (the newest entry of ${this.#options.name})`,
      );
    });
  }

  last(): Promise<LedgerEntry | undefined> {
    const { name } = this.#options;
    return this.#stream.ask(async (timeout_ms) => {
      const subject = ledgerSubject(name);
      const stored = await this.#stream.api.message(name, subject, "newest", timeout_ms);
      if (stored === undefined) return undefined;
      const { offset, payload } = fromStored(stored);
      return { offset, payload };
    });
  }

  read(options: LedgerRead): Promise<LedgerEntry[]> {
    return this.#stream.ask((timeout_ms) => this.#read(options, timeout_ms));
  }

  status(): Promise<LedgerStatus> {
    return this.#stream.ask(async (timeout_ms) => {
      const { state } = await this.#stream.api.info(this.#options.name, timeout_ms);
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
      next_by_subj: ledgerSubject(this.#options.name),
      batch: limit,
      max_bytes: READ_BYTES,
    };
    const { messages } = await this.#stream.direct(question, timeout_ms);
    return messages.map(fromDirect).map(({ offset, payload }) => ({ offset, payload }));
  }
}

/** Opens the ledger; creates its stream if missing. Rejects with `log-unavailable`. */
export async function openNatsLedger(
  options: NatsLedgerOptions,
  retention: LedgerRetention,
): Promise<Ledger> {
  const { name } = options;
  const subject = ledgerSubject(name);
  const kept = { subject, retention, deny_delete: true, deny_purge: true } as const;
  const stream = new KeptStream(options, name, kept);
  await stream.open(START_MS);
  return new NatsLedger(options, stream);
}
