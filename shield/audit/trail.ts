/**
 * The audit entries of admin requests: one before a change, one with its outcome, and one for a refused request.
 * `[audit] on_failure` decides whether a change may happen while no entry can be written. `writer.ts` writes in order.
 */
import type { Config } from "../../shared/config/schema.ts";
import type { AuditFields } from "../../shared/audit/entry.ts";
import type { Env } from "../../shared/env.ts";
import type { Audited, AuditTrail, Ended, Finish } from "../admin/routing/audit_trail.ts";
import type { AuditWriter } from "./writer.ts";
import { within } from "../../shared/within.ts";

/** The longest path with its query, in UTF-16 units. */
const PATH_UNITS = 512;
/** The longest name of a user, an address or a reason, in UTF-16 units. */
const NAME_UNITS = 256;
/** How long an answer waits for the entry of its outcome, in ms; the entry is written in any case. */
const OUTCOME_MS = 1_000;

/** Where entries are written, and whether a change waits for that. */
interface TrailOptions extends Pick<Env, "log"> {
  readonly writer: Pick<AuditWriter, "append">;
  readonly on_failure: Config["audit"]["on_failure"];
  readonly newId: () => string;
}

const cut = (text: string, units = NAME_UNITS): string => text.slice(0, units).toWellFormed();
const cutOrNull = (text: string | null): string | null => text === null ? null : cut(text);

/** The trail of one Shield. */
export class WrittenTrail implements AuditTrail {
  readonly #options: TrailOptions;
  readonly #folds: RefusalFolds;

  constructor(options: TrailOptions) {
    this.#options = options;
    this.#folds = new RefusalFolds((fields) => this.#later(fields));
  }

  async begin(audited: Audited): Promise<Finish> {
    const { writer, on_failure, log, newId } = this.#options;
    const common = await this.#fields(audited, newId());
    const begun = { ...common, outcome: "begun" as const };
    if (on_failure === "allow") {
      await this.#later(begun);
    } else {
      await writer.append(begun, false).catch((error: unknown) => {
        log.warn("a change was refused: the audit log cannot record it", {
          action: audited.action,
          by: audited.by,
        });
        throw error;
      });
    }
    return async ({ status, reason, is_cut }) => {
      const outcome = is_cut || status >= 500 ? "failed" : status < 400 ? "done" : "refused";
      await this.#later({ ...common, outcome, status, reason: cutOrNull(reason) });
    };
  }

  async refused(audited: Audited, { status, reason }: Ended): Promise<void> {
    const common = await this.#fields(audited, this.#options.newId());
    const refused = { ...common, outcome: "refused" as const };
    await this.#folds.take({ ...refused, status, reason: cutOrNull(reason) });
  }

  async happened(audited: Audited): Promise<void> {
    const common = await this.#fields(audited, this.#options.newId());
    await this.#later({ ...common, outcome: "done" });
  }

  /** Writes refusals that have only been counted so far. Never rejects. */
  flush(): Promise<void> {
    return this.#folds.flush();
  }

  async #fields(audited: Audited, request: string): Promise<AuditFields> {
    const { action, method, path, tenant, by, by_tenant, operator, from, about } = audited;
    return {
      request,
      outcome: "begun",
      action,
      tenant: cutOrNull(tenant),
      by: cutOrNull(by),
      by_tenant: cutOrNull(by_tenant),
      operator,
      from: cut(from),
      method: cut(method),
      path: cut(path, PATH_UNITS),
      about: await within(OUTCOME_MS, Promise.resolve(about), () => ({})),
      status: null,
      reason: null,
      count: 1,
    };
  }

  /** Writes an entry now or as soon as possible, and waits briefly, so that the next reader finds it. */
  async #later(fields: AuditFields): Promise<void> {
    // The writer has reported a lost entry.
    const written = this.#options.writer.append(fields, true).then(() => {}, () => {});
    await within(OUTCOME_MS, written, () => {});
  }
}

// Refusals for the audit log. The first of a kind is an entry at once; those of the same kind within a minute become
// one further entry with their number. So refusals cannot fill the log.

const WINDOW_MS = 60_000;
/** The most kinds in a window; later kinds count as one for each reason. */
const KINDS_MAX = 512;

interface Fold {
  readonly fields: AuditFields;
  /** The number of refusals after the first. */
  more: number;
}

class RefusalFolds {
  readonly #write: (fields: AuditFields) => Promise<void>;
  readonly #folds = new Map<string, Fold>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Makes an empty window; `write` must not reject. */
  constructor(write: (fields: AuditFields) => Promise<void>) {
    this.#write = write;
  }

  /** Takes a refusal; resolves once it is written or counted. */
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

  /** Ends the window, and writes the counted entries. */
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
