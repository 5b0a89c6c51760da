/**
 * Reports an exhausted budget once for all Shields, in the log and the audit log. The first Shield that puts a mark
 * into the bucket reports it. `budgets.ts` applies the budget.
 */
import { BoundedMap } from "../../shared/containers/bounded_map.ts";
import type { Env } from "../../shared/env.ts";
import { isConflict } from "../../shared/spine/contract/compare_and_set.ts";
import type { Audited } from "../admin/routing/audit_trail.ts";
import type { UsageStores } from "../../shared/usage/usage_stores.ts";
import { type BudgetState, nameOf } from "../../shared/usage/budget.ts";

/** The most remembered budgets; of another one, the bucket knows whether it was reported. */
const KNOWN_MAX = 10_000;

/** Writes an event into the audit log. Never rejects. */
export type Happened = (audited: Audited) => Promise<void>;

/** Stores an exhausted budget for hooks; `key` names the budget and its period. Never rejects. */
type Stored = (
  tenant_id: string,
  key: string,
  data: { readonly room: null } & Readonly<Record<string, unknown>>,
) => Promise<void>;

interface BudgetNoticesOptions extends Pick<Env, "log" | "node_id"> {
  readonly place: Pick<UsageStores, "running">;
}

/** Reports budgets, for one Shield. */
export class BudgetNotices {
  /** Budgets that this Shield has reported, by their action. */
  readonly reported = { warn: 0, slow: 0, refuse: 0 };
  readonly #options: BudgetNoticesOptions;
  /** Reported budgets, by tenant and budget: the start of the period. */
  readonly #known = new BoundedMap<string, number>(KNOWN_MAX);
  #happened: Happened | undefined;
  #stored: Stored | undefined;
  #isWanted: ((tenant_id: string) => boolean) | undefined;
  /** Budgets stored for hooks, or being stored, as in `#known`. */
  readonly #kept = new BoundedMap<string, number>(KNOWN_MAX);

  constructor(options: BudgetNoticesOptions) {
    this.#options = options;
  }

  audit(happened: Happened | undefined): void {
    this.#happened = happened;
  }

  /** Sets the store for hooks, for tenants that have such hooks. */
  store(stored: Stored, isWanted: (tenant_id: string) => boolean): void {
    this.#stored = stored;
    this.#isWanted = isWanted;
  }

  /** Reports budgets that were not reported in their period. Never rejects. */
  async tell(tenant_id: string, exhausted: readonly BudgetState[]): Promise<void> {
    for (const state of exhausted) {
      // Another limit makes another budget, so whoever changes the limit is notified again.
      const name = `${nameOf(state.budget)} ${state.budget.limit}`;
      const known = `${tenant_id} ${name}`;
      this.#keepOnce(tenant_id, name, state);
      if (this.#known.get(known) === state.begin_ms) continue;
      try {
        const is_first = await this.#mark("told", tenant_id, name, state);
        this.#known.set(known, state.begin_ms);
        if (is_first) await this.#say(tenant_id, state);
      } catch (error) {
        this.#options.log.warn("an exhausted budget is reported later", { tenant_id, error });
      }
    }
  }

  /** Not awaited: a log may be unreachable for long. The next reading retries a failure. */
  #keepOnce(tenant_id: string, name: string, state: BudgetState): void {
    if (this.#isWanted?.(tenant_id) !== true) return;
    const known = `${tenant_id} ${name}`;
    if (this.#kept.get(known) === state.begin_ms) return;
    this.#kept.set(known, state.begin_ms);
    this.#keep(tenant_id, name, state).catch((error) => {
      this.#kept.delete(known);
      this.#options.log.warn("hooks are notified later of an exhausted budget", {
        tenant_id,
        error,
      });
    });
  }

  /**
   * Stores it for hooks, unless that was done. The mark follows: if this Shield is killed in between, another one
   * stores it under the same key. Rejects as the bucket does.
   */
  async #keep(tenant_id: string, name: string, state: BudgetState): Promise<void> {
    const bucket = await this.#options.place.running();
    const key = ["hooked", tenant_id, name, String(state.begin_ms)];
    if (await bucket.get(key) !== undefined) return;
    await this.#stored?.(tenant_id, `${name} ${state.begin_ms}`, aboutOf(state));
    await this.#mark("hooked", tenant_id, name, state);
  }

  async #mark(
    kind: "told" | "hooked",
    tenant_id: string,
    name: string,
    { begin_ms, end_ms }: BudgetState,
  ): Promise<boolean> {
    const bucket = await this.#options.place.running();
    const value = new TextEncoder().encode(JSON.stringify({ until: end_ms }));
    try {
      await bucket.update([kind, tenant_id, name, String(begin_ms)], value, 0);
      return true;
    } catch (error) {
      if (isConflict(error)) return false;
      throw error;
    }
  }

  async #say(tenant_id: string, { budget, used, end_ms }: BudgetState): Promise<void> {
    const { per, unit, limit, action } = budget;
    this.reported[action]++;
    this.#options.log.warn("a tenant's budget is used up", {
      tenant_id,
      per,
      unit,
      limit,
      used,
      action,
      until: new Date(end_ms).toISOString(),
    });
    await this.#happened?.({
      action: "budget.exhausted",
      method: "",
      path: "",
      tenant: tenant_id,
      by: null,
      by_tenant: null,
      operator: false,
      from: this.#options.node_id,
      about: { per, unit, limit, used, then: action },
    });
  }
}

function aboutOf({ budget: { per, unit, limit, action }, used, begin_ms, end_ms }: BudgetState) {
  return { room: null, per, unit, limit, used, action, from_ms: begin_ms, until_ms: end_ms };
}
