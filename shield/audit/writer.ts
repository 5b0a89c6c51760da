/**
 * Appends entries of this Shield to the audit log, one at a time. Each contains the hash of the previous entry,
 * whichever Shield wrote that, and is appended only right after it. So all Shields write one hash chain. `trail.ts`
 * makes entries.
 */
import { ArqonError } from "@arqon/proto";
import { encodeEntry, ENTRY_BYTES_MAX, entryHash } from "../../shared/audit/entry.ts";
import type { AuditFields } from "../../shared/audit/entry.ts";
import type { Anchor } from "../../shared/audit/chain.ts";
import { type AuditLog, openAuditLog } from "../../shared/audit/log.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import { changeDocument } from "../../shared/spine/contract/compare_and_set.ts";
import { isFinalRefusal } from "../../shared/spine/contract/write_errors.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { openOnce } from "../../shared/turns/once.ts";
import { within } from "../../shared/within.ts";

/** The most attempts for one entry: with n concurrent Shields, the last one succeeds at its n-th attempt. */
const ATTEMPTS = 256;
/** The pause before a queued entry is retried, in ms. */
const RETRY_MS = 1_000;

interface AuditWriterOptions extends Pick<Env, "log" | "node_id" | "now"> {
  readonly spine: Pick<Spine, "blocks">;
  readonly audit: Pick<Config["audit"], "retention_days" | "log_bytes" | "pending_entries">;
}

/** Counts of entries since the start of the process. */
interface AuditCounts {
  written: number;
  /** Failed attempts; queued entries are retried. */
  failed: number;
  /** Entries that were given up and are only in the process's log. */
  lost: number;
  /** How often the log was shorter than, or different from, what this Shield had seen. */
  breaks: number;
}

interface Pending {
  readonly fields: AuditFields;
  /** True if the entry is retried until it is written, as its request can no longer be refused. */
  readonly may_wait: boolean;
  resolve(anchor: Anchor): void;
  reject(error: unknown): void;
}

/** The one writer of a process. */
export class AuditWriter {
  readonly counts: AuditCounts = { written: 0, failed: 0, lost: 0, breaks: 0 };
  readonly #options: AuditWriterOptions;
  /** The newest known entry. */
  #head: Anchor | undefined;
  readonly #queue: Pending[] = [];
  #work: Promise<void> | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(options: AuditWriterOptions) {
    this.#options = options;
  }

  get pending(): number {
    return this.#queue.length;
  }

  /** Opens the log now, so that the first change does not have to. Failures are reported at its first use. */
  warm(): void {
    this.open().catch((error: unknown) => {
      this.#options.log.error("the audit log cannot be opened", { error });
    });
  }

  /** The log. Rejects as the Spine does. */
  readonly open: () => Promise<AuditLog> = openOnce(() => {
    const { spine, audit } = this.#options;
    return openAuditLog(spine, audit);
  });

  /**
   * Appends an entry; resolves to its position once it is stored. With `may_wait`, an entry that cannot be stored yet
   * is kept and retried. Rejects with `audit-unavailable`.
   */
  append(fields: AuditFields, may_wait: boolean): Promise<Anchor> {
    const { promise, resolve, reject } = Promise.withResolvers<Anchor>();
    const pending = { fields, may_wait, resolve, reject };
    if (this.#closed || this.#queue.length >= this.#options.audit.pending_entries) {
      this.#giveUp(pending, new Error("too many entries are queued"));
    } else {
      this.#queue.push(pending);
      void this.#begin();
    }
    return promise;
  }

  /** Writes the queued entries, for at most `timeout_ms`; the others go to the process's log. */
  async close(timeout_ms: number): Promise<void> {
    await within(timeout_ms, this.#begin(), () => {});
    clearTimeout(this.#retry);
    this.#closed = true;
    for (const pending of this.#queue.splice(0)) this.#giveUp(pending, new Error("the end"));
  }

  #begin(): Promise<void> {
    clearTimeout(this.#retry);
    this.#work ??= this.#workOff().finally(() => this.#work = undefined);
    return this.#work;
  }

  async #workOff(): Promise<void> {
    for (let pending; (pending = this.#queue[0]) !== undefined;) {
      try {
        const anchor = await this.#write(pending.fields);
        this.counts.written++;
        this.#queue.shift();
        pending.resolve(anchor);
      } catch (error) {
        this.counts.failed++;
        if (!isFinalRefusal(error)) return this.#failed(error);
        // It must not block the entries behind it.
        this.#queue.shift();
        this.#giveUp(pending, error);
      }
    }
  }

  /** Handles a failed write for all queued entries: those that may wait stay in the queue, the others are given up. */
  #failed(error: unknown): void {
    const { log } = this.#options;
    log.error("the audit log cannot be written", { error, pending: this.#queue.length });
    const waiting = this.#queue.splice(0);
    for (const pending of waiting) {
      if (pending.may_wait && !this.#closed) this.#queue.push(pending);
      else this.#giveUp(pending, error);
    }
    if (this.#queue.length === 0 || this.#closed) return;
    this.#retry = setTimeout(() => void this.#begin(), RETRY_MS);
    Deno.unrefTimer(this.#retry);
  }

  #giveUp({ fields, may_wait, reject }: Pending, cause: unknown): void {
    if (may_wait) {
      this.counts.lost++;
      const { action, tenant, by, from, outcome, request } = fields;
      this.#options.log.error("an entry of the audit log was lost", {
        error: cause,
        action,
        tenant_id: tenant,
        by,
        from,
        outcome,
        request,
      });
    }
    const why = cause instanceof Error ? cause.message : String(cause);
    reject(new ArqonError("audit-unavailable", why, { retry_after_ms: RETRY_MS, cause }));
  }

  async #write(fields: AuditFields): Promise<Anchor> {
    const audit = await this.open();
    const { node_id: node, now, log } = this.#options;
    return await changeDocument(async (mayLose) => {
      const head = this.#head ??= await audit.head();
      const seq = head.seq + 1;
      const bytes = encodeEntry({ seq, previous: head.hash, at_ms: now(), node }, fields);
      if (bytes.length > ENTRY_BYTES_MAX) {
        throw new ArqonError("message-too-large", `an entry of ${bytes.length} bytes`);
      }
      try {
        await mayLose(audit.append(bytes, head));
      } catch (error) {
        // Whatever the error was, the newest entry must be read again.
        this.#head = undefined;
        await this.#compare(audit, head);
        throw error;
      }
      const hash = entryHash(bytes);
      this.#head = { seq, hash };
      // The process's log is stored elsewhere, so a rewritten chain would differ from it.
      log.info("audit", {
        seq,
        hash,
        action: fields.action,
        outcome: fields.outcome,
        tenant_id: fields.tenant,
        by: fields.by,
      });
      return this.#head;
    }, { attempts: ATTEMPTS });
  }

  /** Compares the log with its newest entry known to this Shield. */
  async #compare(audit: AuditLog, known: Anchor): Promise<void> {
    const head = await audit.head();
    const [there] = known.seq === 0 ? [] : await audit.read(known.seq - 1, 1).catch((error) => {
      this.#options.log.warn("the audit log could not be read for a comparison", { error });
      return [];
    });
    const is_other = there?.cursor === known.seq && entryHash(there.payload) !== known.hash;
    if (head.seq >= known.seq && !is_other) return;
    this.counts.breaks++;
    this.#options.log.error("the audit log differs from what was written", {
      known_seq: known.seq,
      known_hash: known.hash,
      found_seq: head.seq,
      found_hash: head.hash,
    });
  }
}
