/**
 * Refusals on their way into the audit log. The first of a kind is an entry at once; those of the same
 * kind within a minute become one further entry with their number. So nobody can fill the log by being
 * refused.
 */
import type { AuditFields } from "../../shared/audit/entry.ts";

const WINDOW_MS = 60_000;
/** The most kinds in a window that are told apart; later kinds count as one for each reason. */
const KINDS_MAX = 512;

interface Fold {
  readonly fields: AuditFields;
  /** How many refusals came after the first. */
  more: number;
}

/** The refusals of one process. */
export class RefusalFolds {
  readonly #write: (fields: AuditFields) => Promise<void>;
  readonly #folds = new Map<string, Fold>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Makes an empty window; `write` must not reject. */
  constructor(write: (fields: AuditFields) => Promise<void>) {
    this.#write = write;
  }

  /** Takes a refusal; resolves when it is written, or counted. */
  async take(fields: AuditFields): Promise<void> {
    const { by_tenant, by, action, tenant, reason } = fields;
    const exact = JSON.stringify([by_tenant, by, action, tenant, reason]);
    const is_known = this.#folds.has(exact) || this.#folds.size < KINDS_MAX;
    const key = is_known ? exact : JSON.stringify([reason]);
    const fold = this.#folds.get(key);
    if (fold !== undefined) {
      fold.more++;
      return;
    }
    this.#folds.set(key, { fields, more: 0 });
    if (this.#timer === undefined) {
      this.#timer = setTimeout(() => void this.flush(), WINDOW_MS);
      Deno.unrefTimer(this.#timer);
    }
    await this.#write(fields);
  }

  /** Ends the window, and writes what was only counted. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const folds = [...this.#folds.values()];
    this.#folds.clear();
    await Promise.all(
      folds.filter(({ more }) => more > 0)
        .map(({ fields, more }) => this.#write({ ...fields, count: more })),
    );
  }
}
