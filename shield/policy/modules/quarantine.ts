/**
 * The modules that no Shield of the bus runs any longer because they wedged or killed a worker. They are in the bucket
 * `ARQON_POLICY_QUARANTINE` under their sha256, so that neither a restart nor another node tries them again. Here they
 * are in quarantine at once, whether or not the Spine answers. The pool decides which modules go in; only an operator
 * releases one.
 */
import { z } from "zod";
import type { Env } from "../../../shared/env.ts";
import { isConflict } from "../../../shared/spine/contract/compare_and_set.ts";
import type { KeyValue, KvChange } from "../../../shared/spine/contract/spine.ts";
import { within } from "../../../shared/within.ts";

const BUCKET = "ARQON_POLICY_QUARANTINE";
const SHA256 = /^[0-9a-f]{64}$/;
/** The first and the longest pause before a failed write is retried, in ms. It doubles each time. */
const RETRY_MS = 250;
const LONGEST_RETRY_MS = 30_000;

/** Causes of quarantine. `wedge`: the module kept a worker from any progress. `crash`: the worker died while it ran. */
const WHY = ["wedge", "crash"] as const;
/** One cause of quarantine. */
export type QuarantineCause = typeof WHY[number];

const Entry = z.strictObject({
  format: z.literal(1),
  sha256: z.string().regex(SHA256),
  why: z.enum(WHY),
  /** Unix ms. */
  at_ms: z.int().min(0),
  /** The node on which it happened. */
  node: z.string().max(256),
});

/** The text for a module in quarantine. */
export const QUARANTINED =
  "the module has kept a worker busy without end, or killed it, and is in quarantine on every node " +
  "until an operator releases it (arq policy release)";

/** One module in quarantine. */
export interface QuarantinedModule {
  /** The sha256 of the module as uploaded. */
  readonly sha256: string;
  /** Why it is in quarantine; "unknown" if the stored entry is unreadable, which counts all the same. */
  readonly why: QuarantineCause | "unknown";
  /** Unix ms; 0 if it is unknown. */
  readonly at_ms: number;
  readonly node: string;
}

interface QuarantineOptions extends Pick<Env, "spine" | "log" | "now"> {
  readonly node: string;
  /** Called when another node has put a module into quarantine, not for those of `add`. */
  readonly onAdded: (sha256: string) => void;
  /** Called when a module was released, here or elsewhere. */
  readonly onReleased: (sha256: string) => void;
}

function bytesOf(entry: z.output<typeof Entry>): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(entry));
}

function read(sha256: string, value: Uint8Array): QuarantinedModule {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(value);
    const { why, at_ms, node } = Entry.parse(JSON.parse(text));
    return { sha256, why, at_ms, node };
  } catch {
    return { sha256, why: "unknown", at_ms: 0, node: "" };
  }
}

/** The quarantine of the bus as this process knows it. */
export class Quarantine {
  readonly #options: QuarantineOptions;
  readonly #bucket: KeyValue;
  readonly #modules = new Map<string, QuarantinedModule>();
  /** Running writes, by module. */
  readonly #writes = new Map<string, Promise<void>>();
  readonly #stop: () => void;
  readonly #closed = Promise.withResolvers<void>();
  #is_closed = false;
  /** Resolves when the stored entries are known; rejects with `spine-unavailable`. */
  readonly ready: Promise<void>;

  constructor(options: QuarantineOptions, bucket: KeyValue) {
    this.#options = options;
    this.#bucket = bucket;
    const watch = bucket.watch([], (change) => this.#receive(change));
    this.#stop = () => watch.stop();
    this.ready = watch.ready;
  }

  has(sha256: string): boolean {
    return this.#modules.has(sha256);
  }

  /** The modules in quarantine, the latest first. */
  list(): readonly QuarantinedModule[] {
    return [...this.#modules.values()].sort((a, b) => b.at_ms - a.at_ms);
  }

  /** Puts a module into quarantine: here at once, and stored as soon as the Spine accepts it. */
  add(sha256: string, why: QuarantineCause): void {
    if (this.#modules.has(sha256)) return;
    const { now, node } = this.#options;
    const entry = { format: 1, sha256, why, at_ms: now(), node } as const;
    this.#modules.set(sha256, { sha256, why, at_ms: entry.at_ms, node });
    const write = this.#write(sha256, bytesOf(entry)).finally(() => this.#writes.delete(sha256));
    this.#writes.set(sha256, write);
  }

  /**
   * Releases a module on every node. Resolves with false if it was not in quarantine. Rejects with `spine-unavailable`.
   */
  async release(sha256: string): Promise<boolean> {
    if (!this.#modules.has(sha256)) return false;
    await this.#writes.get(sha256);
    await this.#bucket.delete([sha256]);
    this.#remove(sha256);
    return true;
  }

  /** Resolves when added entries are stored, or after `timeout_ms`; no write is tried after that. */
  async close(timeout_ms: number): Promise<void> {
    await within(timeout_ms, Promise.all(this.#writes.values()), () => {});
    this.#is_closed = true;
    this.#closed.resolve();
    this.#stop();
  }

  /** Stores an entry, with retries. Never rejects. */
  async #write(sha256: string, value: Uint8Array): Promise<void> {
    for (let attempt = 0; !this.#is_closed; attempt++) {
      try {
        return void await this.#bucket.update([sha256], value, 0);
      } catch (error) {
        // Another node has put the same module into quarantine.
        if (isConflict(error)) return;
        if (attempt === 0) {
          this.#options.log.error("a quarantine holds on this node only until it can be stored", {
            sha256,
            error,
          });
        }
        const pause_ms = Math.min(RETRY_MS * 2 ** attempt, LONGEST_RETRY_MS);
        await within(pause_ms, this.#closed.promise, () => {});
      }
    }
  }

  #receive({ key: [sha256 = ""], value }: KvChange): void {
    if (!SHA256.test(sha256)) return;
    if (value === undefined) return this.#remove(sha256);
    const is_new = !this.#modules.has(sha256);
    this.#modules.set(sha256, read(sha256, value));
    if (is_new) this.#options.onAdded(sha256);
  }

  #remove(sha256: string): void {
    if (this.#modules.delete(sha256)) this.#options.onReleased(sha256);
  }
}

/**
 * Opens the bucket, or creates it; resolves when the stored entries are known. Rejects with `spine-unavailable`, since
 * without it the forbidden modules are unknown.
 */
export async function openQuarantine(options: QuarantineOptions): Promise<Quarantine> {
  const quarantine = new Quarantine(options, await options.spine.keyValue(BUCKET));
  await quarantine.ready;
  return quarantine;
}
