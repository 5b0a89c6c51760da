/**
 * Budgets of tenants on all Shields together, as one Shield keeps them. A message only looks at what is known in
 * memory; what tenants have used is read in the background, from what all Shields have written. The arithmetic
 * is `budget.ts`, who tells that a budget is used up is `budget_told.ts`.
 */
import { ArqonError } from "@arqon/proto";
import type { TenantBudget, Usage } from "../../shared/config/schema_usage.ts";
import type { Logger } from "../../shared/logs/log.ts";
import { createBucket, take, type TokenBucket } from "../rates/token_bucket.ts";
import type { Settings } from "../settings/settings.ts";
import type { Prices } from "./prices.ts";
import { type BudgetState, inForce, statesOf, strictest } from "./budget.ts";
import type { TenantUsed } from "./budget_used.ts";

/** Tenants that are read at a time. */
const UNDER_WAY = 8;
/** Tenants whose use is remembered here without connections or messages. */
const IDLE_MAX = 10_000;
/** The longest wait that is advised, in ms: what timers of JavaScript take, some 24 days. */
const WAIT_MAX_MS = 2_147_483_647;
const SECOND_MS = 1_000;

/** What budgets need of the process. */
export interface BudgetsOptions {
  readonly config: Pick<Usage, "budgets" | "flush_ms">;
  readonly prices: Pick<Prices, "read">;
  /** What tenants have of their own. */
  readonly settings: Pick<Settings, "get" | "onChange">;
  /** Who uses this Shield now. */
  readonly active: () => Iterable<string>;
  /** What has been used of the tenant's budgets. */
  readonly usedOf: (tenant_id: string) => Pick<TenantUsed, "read">;
  /** Says that budgets are used up, those that were not yet. Never rejects. */
  readonly tell: (tenant_id: string, exhausted: readonly BudgetState[]) => Promise<void>;
  readonly log: Logger;
  /** Unix ms. */
  readonly now: () => number;
}

/** One tenant here. */
interface Held {
  readonly used: Pick<TenantUsed, "read">;
  states: readonly BudgetState[];
  /** What holds its messages back; undefined: nothing. */
  holding: BudgetState | undefined;
  bucket: TokenBucket | undefined;
  /** The last refusal, which serves for a second. */
  refusal: ArqonError | undefined;
  /** Readings of it, one after the other. */
  reading: Promise<unknown>;
}

/** The budgets of one Shield. */
export class Budgets {
  /** Messages and commands that were refused, by the action of the budget. */
  readonly refusals = { slow: 0, refuse: 0 };
  readonly #options: BudgetsOptions;
  /** Of the configuration: for each tenant, and by tenant. */
  #general: readonly TenantBudget[] = [];
  readonly #named = new Map<string, TenantBudget[]>();
  readonly #tenants = new Map<string, Held>();
  readonly #stop: () => void;
  #timer: ReturnType<typeof setInterval> | undefined;
  #pass: Promise<void> | undefined;
  #failed = false;
  #closed = false;

  constructor(options: BudgetsOptions) {
    this.#options = options;
    this.#sort();
    this.#stop = options.settings.onChange((tenant_id) => {
      if (this.#tenants.has(tenant_id) || this.#has(tenant_id)) {
        // The next pass reads it, and tells what fails.
        this.#read(tenant_id).catch(() => {});
      }
    });
  }

  /** Begins to read what is used. */
  start(): void {
    this.#timer = setInterval(() => this.tick(), this.#options.config.flush_ms);
    Deno.unrefTimer(this.#timer);
  }

  /** Puts the budgets into force that the configuration has now. */
  renew(): void {
    this.#sort();
    // Also those that have none any more, which may be held back.
    for (const tenant_id of this.#tenants.keys()) this.#read(tenant_id).catch(() => {});
    this.tick();
  }

  /** The budgets of a tenant that are in force: its own, and those of the configuration without such a one. */
  of(tenant_id: string): TenantBudget[] {
    const { budgets = [] } = this.#options.settings.get(tenant_id);
    return inForce(this.#general, this.#named.get(tenant_id) ?? [], budgets);
  }

  /**
   * Lets one message or command of the tenant through, or throws: `budget-exhausted` (429) until the period
   * ends, or `tenant-quota` (429) while the tenant is slowed. Never waits.
   */
  take(tenant_id: string): void {
    const held = this.#tenants.get(tenant_id);
    if (held?.holding === undefined) return;
    const now_ms = this.#options.now();
    if (now_ms >= held.holding.end_ms) this.#hold(held, now_ms);
    const { holding } = held;
    if (holding === undefined) return;
    if (holding.budget.action === "slow") return this.#slow(held, holding, now_ms);
    this.refusals.refuse++;
    const left_ms = Math.ceil((holding.end_ms - now_ms) / SECOND_MS) * SECOND_MS;
    const retry_after_ms = Math.min(left_ms, WAIT_MAX_MS);
    // An error with its stack costs more than the message: whoever goes on gets the same one for a second.
    if (held.refusal?.retry_after_ms !== retry_after_ms) {
      const until = new Date(holding.end_ms).toISOString();
      held.refusal = new ArqonError("budget-exhausted", `${wordsOf(holding)}, until ${until}`, {
        retry_after_ms,
      });
    }
    throw held.refusal;
  }

  /** Reads how a tenant's budgets stand. Rejects as the ledger's store rejects. */
  async stand(tenant_id: string): Promise<readonly BudgetState[]> {
    return this.#has(tenant_id) ? await this.#read(tenant_id) : [];
  }

  /** How the budgets of all tenants stood when they were read last. */
  *known(): Generator<readonly [tenant_id: string, states: readonly BudgetState[]]> {
    for (const [tenant_id, { states }] of this.#tenants) yield [tenant_id, states];
  }

  /** Reads what the tenants have used that are here, unless the last time is not over yet. */
  tick(): void {
    this.#pass ??= this.#readAll().finally(() => this.#pass = undefined);
  }

  /** Resolves when what `tick` began is over. */
  async idle(): Promise<void> {
    await this.#pass;
  }

  /** Ends the reading; what holds goes on to hold. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stop();
    clearInterval(this.#timer);
    await this.#pass;
  }

  #sort(): void {
    const general: TenantBudget[] = [];
    this.#named.clear();
    for (const { tenant, ...budget } of this.#options.config.budgets) {
      if (tenant === undefined) general.push(budget);
      else this.#named.set(tenant, [...this.#named.get(tenant) ?? [], budget]);
    }
    this.#general = general;
  }

  async #readAll(): Promise<void> {
    const due: string[] = [];
    for (const tenant_id of this.#options.active()) if (this.#has(tenant_id)) due.push(tenant_id);
    if (this.#tenants.size > IDLE_MAX) this.#forget(new Set(due));
    try {
      for (let at = 0; at < due.length && !this.#closed; at += UNDER_WAY) {
        await Promise.all(due.slice(at, at + UNDER_WAY).map((tenant_id) => this.#read(tenant_id)));
      }
      this.#failed = false;
    } catch (error) {
      if (!this.#failed) {
        this.#options.log.warn("budgets could not be read; what was known holds", { error });
      }
      this.#failed = true;
    }
  }

  /** Whether the tenant has budgets; asked for each of very many tenants. */
  #has(tenant_id: string): boolean {
    return this.#general.length > 0 || this.#named.has(tenant_id) ||
      (this.#options.settings.get(tenant_id).budgets?.length ?? 0) > 0;
  }

  #forget(active: ReadonlySet<string>): void {
    for (const tenant_id of this.#tenants.keys()) {
      if (this.#tenants.size <= IDLE_MAX) return;
      if (!active.has(tenant_id)) this.#tenants.delete(tenant_id);
    }
  }

  /** Reads and judges, after whoever does so already. */
  #read(tenant_id: string): Promise<readonly BudgetState[]> {
    const held = this.#heldOf(tenant_id);
    const { prices, now, tell } = this.#options;
    // Who asked for the one before is told.
    const reading = held.reading.catch(() => {}).then(async () => {
      const [used, book] = await Promise.all([held.used.read(now()), prices.read()]);
      held.states = statesOf(this.of(tenant_id), used, book, now(), held.states);
      this.#hold(held, now());
      await tell(tenant_id, held.states.filter(({ is_exhausted }) => is_exhausted));
      return held.states;
    });
    held.reading = reading;
    return reading;
  }

  #heldOf(tenant_id: string): Held {
    const known = this.#tenants.get(tenant_id);
    if (known !== undefined) return known;
    const held: Held = {
      used: this.#options.usedOf(tenant_id),
      states: [],
      holding: undefined,
      bucket: undefined,
      refusal: undefined,
      reading: Promise.resolve(),
    };
    this.#tenants.set(tenant_id, held);
    return held;
  }

  #hold(held: Held, now_ms: number): void {
    held.holding = strictest(held.states, now_ms);
    held.refusal = undefined;
    const { action, messages_per_second } = held.holding?.budget ?? {};
    if (action !== "slow" || messages_per_second === undefined) held.bucket = undefined;
    else if (held.bucket?.per_second !== messages_per_second) {
      held.bucket = createBucket(messages_per_second, now_ms, messages_per_second);
    }
  }

  #slow({ bucket }: Held, holding: BudgetState, now_ms: number): void {
    const retry_after_ms = bucket === undefined ? 0 : take(bucket, 1, now_ms);
    if (retry_after_ms === 0) return;
    this.refusals.slow++;
    const { messages_per_second } = holding.budget;
    const detail = `${messages_per_second} messages a second, since ${wordsOf(holding)},`;
    throw new ArqonError("tenant-quota", detail, { retry_after_ms });
  }
}

/** What is used up, in words. */
function wordsOf({ budget: { per, unit, limit } }: BudgetState): string {
  return `the tenant's ${limit} ${unit.replaceAll("_", " ")} of this ${per} are used`;
}
