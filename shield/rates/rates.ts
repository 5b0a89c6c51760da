/**
 * The rate limits of connections, users, tenants and the process: each operation is taken from all their buckets or
 * from none. The arithmetic is here and in `token_bucket.ts`.
 */
import type { LiveKey } from "../../shared/config/keys/live_keys.ts";
import { ArqonError } from "@arqon/proto";
import { Gauge, type Registry } from "prom-client";
import type { Config } from "../../shared/config/schema.ts";
import { scrapedFamily } from "../../shared/metrics/metrics_plain.ts";
import type { Identity } from "../auth/identity.ts";
import {
  createBucket,
  createPair,
  isPairFull,
  refill,
  setPairRates,
  setRate,
  waitFor,
  waitForPair,
  withdraw,
  withdrawPair,
} from "../../shared/rates/token_bucket.ts";
import type { BucketPair, TokenBucket } from "../../shared/rates/token_bucket.ts";

/** The shortest pause, in ms: frames come in batches, so a shorter one has no effect. */
const PAUSE_MS = 100;
/**
 * The number of refusals before reading pauses: each refused operation of a burst is answered at once, and only a
 * client that continues is slowed.
 */
export const REFUSALS_BEFORE_REST = 64;
/**
 * The shortest pause in reading, in ms: with shorter ones most messages between two pauses would be refused at a high
 * rate.
 */
const REST_MS_MIN = 10;

type RateLimits = Pick<
  Config["limits"],
  | "messages_per_second"
  | "bytes_per_second"
  | "user_messages_per_second"
  | "user_bytes_per_second"
  | "tenant_messages_per_second"
  | "tenant_bytes_per_second"
  | "process_messages_per_second"
  | "process_bytes_per_second"
  | "rate_refusals"
  | "connections_per_process"
>;

/** A rate with its number of holders; it is kept for a while after the last one, so that reconnecting gains nothing. */
interface Held {
  readonly key: string;
  readonly pair: BucketPair;
  holders: number;
}

interface HeldTenant extends Held {
  readonly messages: Portion;
  readonly bytes: Portion;
}

/** The holders of one scope's rates, by key. */
class Holders<Item extends Held> {
  readonly #create: (key: string, now_ms: number) => Item;
  readonly #idle_max: number;
  readonly #items = new Map<string, Item>();
  /** Items without a holder, in the order of their last use. */
  readonly #idle = new Map<string, Item>();

  constructor(create: (key: string, now_ms: number) => Item, idle_max: number) {
    this.#create = create;
    this.#idle_max = idle_max;
  }

  get size(): number {
    return this.#items.size;
  }

  setRates(messages_per_second: number, bytes_per_second: number): void {
    for (const { pair } of this.#items.values()) {
      setPairRates(pair, messages_per_second, bytes_per_second);
    }
  }

  hold(key: string, now_ms: number): Item {
    let item = this.#items.get(key);
    if (item === undefined) this.#items.set(key, item = this.#create(key, now_ms));
    if (item.holders++ === 0) this.#idle.delete(key);
    this.#forget(now_ms);
    return item;
  }

  leave(item: Item, now_ms: number): void {
    if (--item.holders === 0) this.#idle.set(item.key, item);
    this.#forget(now_ms);
  }

  /** Drops the oldest items without a holder while their buckets are full again, or there are too many. */
  #forget(now_ms: number): void {
    for (const [key, { pair }] of this.#idle) {
      if (this.#idle.size <= this.#idle_max && !isPairFull(pair, now_ms)) return;
      this.#idle.delete(key);
      this.#items.delete(key);
    }
  }
}

/** The keys of the configuration for rates. */
export const RATE_KEYS: readonly LiveKey[] = [
  "limits.messages_per_second",
  "limits.bytes_per_second",
  "limits.user_messages_per_second",
  "limits.tenant_messages_per_second",
  "limits.tenant_bytes_per_second",
  "limits.process_messages_per_second",
];

/** All rates of one process. */
export class RateTable {
  readonly limits: RateLimits;
  /** The rate of the process: for operations, and for their bytes. */
  readonly messages: SharedRate;
  readonly bytes: SharedRate;
  /** When the table was made, in Unix ms: connections keep their times as whole ms since then. */
  readonly began_ms: number;
  /** A pair of buckets that all connections share in turn, each with its own levels. */
  readonly connection: BucketPair;
  /** Operations that were refused, by the scope of the rate. */
  readonly refusals: Record<RateScope, number> = { connection: 0, user: 0, tenant: 0, process: 0 };
  readonly errors = new RateRefusals();
  readonly #users: Holders<Held>;
  readonly #tenants: Holders<HeldTenant>;

  /** Makes the table, with metrics `shield_rate_refusals_total{scope}` and `shield_rates{scope}`. */
  constructor(limits: RateLimits, registry: Registry, now_ms: number) {
    this.limits = limits;
    this.began_ms = now_ms;
    this.connection = createPair(limits.messages_per_second, limits.bytes_per_second, 0);
    this.messages = createSharedRate(limits.process_messages_per_second, now_ms);
    this.bytes = createSharedRate(limits.process_bytes_per_second, now_ms);
    const { connections_per_process } = limits;
    this.#users = new Holders((key, at_ms) => ({
      key,
      pair: createPair(limits.user_messages_per_second, limits.user_bytes_per_second, at_ms),
      holders: 0,
    }), connections_per_process);
    this.#tenants = new Holders((key, at_ms) => ({
      key,
      pair: createPair(limits.tenant_messages_per_second, limits.tenant_bytes_per_second, at_ms),
      messages: createPortion(at_ms),
      bytes: createPortion(at_ms),
      holders: 0,
    }), connections_per_process);
    this.#register(registry);
  }

  /** Applies the current `limits` to all. */
  renew(): void {
    const { limits } = this;
    setPairRates(this.connection, limits.messages_per_second, limits.bytes_per_second);
    setRate(this.messages.bucket, limits.process_messages_per_second);
    setRate(this.bytes.bucket, limits.process_bytes_per_second);
    this.#users.setRates(limits.user_messages_per_second, limits.user_bytes_per_second);
    this.#tenants.setRates(limits.tenant_messages_per_second, limits.tenant_bytes_per_second);
  }

  /** The rates of a new connection, or of a user's HTTP requests, to be closed once. */
  open(identity: Pick<Identity, "tenant_id" | "user_key">, now_ms: number): Rates {
    const user = this.#users.hold(identity.user_key, now_ms);
    const tenant = this.#tenants.hold(identity.tenant_id, now_ms);
    return new Rates(this, user, tenant, now_ms);
  }

  /** Releases the result of `open`; call it once. */
  leave(user: Held, tenant: HeldTenant, now_ms: number): void {
    this.#users.leave(user, now_ms);
    this.#tenants.leave(tenant, now_ms);
  }

  /** The number of users and tenants with rates here. */
  tracked(): { users: number; tenants: number } {
    return { users: this.#users.size, tenants: this.#tenants.size };
  }

  #register(registry: Registry): void {
    const { refusals } = this;
    const tracked = () => this.tracked();
    scrapedFamily(
      registry,
      "shield_rate_refusals_total",
      "Operations refused with rate-limited, by the owner of the rate.",
      "scope",
      () => refusals,
    );
    new Gauge({
      name: "shield_rates",
      help: "Users and tenants with stored rates.",
      labelNames: ["scope"],
      registers: [registry],
      collect() {
        const { users, tenants } = tracked();
        this.set({ scope: "user" }, users);
        this.set({ scope: "tenant" }, tenants);
      },
    });
  }
}

/**
 * The rates that one connection is charged to: its own, and shared ones. Of its own buckets it keeps only the levels,
 * as plain numbers: with thousands of connections, every further object is work for the garbage collector.
 */
export class Rates {
  readonly #table: RateTable;
  readonly #user: Held;
  readonly #tenant: HeldTenant;
  /**
   * The levels of its own buckets, and when they were updated. For times, see `began_ms`. They start as NaN: for a
   * member that starts as an integer the engine allocates an object at each other value.
   */
  #messages_thousandths = NaN;
  #bytes_thousandths = NaN;
  #updated_ms: number;
  #closed = false;
  /** Operations refused since the last pause, minus those accepted. */
  #excess = 0;
  #paused_ms = 0;
  #advised_ms = 0;
  /** Operations refused since its last rest. */
  #refused = 0;

  /** Makes the rates of a connection; only `RateTable` calls it. */
  constructor(table: RateTable, user: Held, tenant: HeldTenant, now_ms: number) {
    const { messages, bytes } = table.connection;
    this.#table = table;
    this.#user = user;
    this.#tenant = tenant;
    this.#messages_thousandths = messages.burst * 1_000;
    this.#bytes_thousandths = bytes.burst * 1_000;
    this.#updated_ms = Math.trunc(now_ms - table.began_ms);
  }

  /** True if, without a pause, refusals exceed accepted operations by more than `limits.rate_refusals`. */
  get floods(): boolean {
    return this.#excess > this.#table.limits.rate_refusals;
  }

  /** How long to rest after a refusal, in ms; above 0 once in `REFUSALS_BEFORE_REST` calls. */
  restMs({ retry_after_ms }: Pick<ArqonError, "retry_after_ms">): number {
    if (++this.#refused < REFUSALS_BEFORE_REST) return 0;
    this.#refused = 0;
    return Math.max(retry_after_ms, REST_MS_MIN);
  }

  /** Takes one operation of `size_bytes`, or takes nothing and returns the refusal. */
  take(size_bytes: number, now_ms: number): ArqonError | undefined {
    const { messages, bytes, began_ms } = this.#table;
    const at_ms = Math.trunc(now_ms - began_ms);
    if (this.#excess > 0) this.#notePause(at_ms);
    const user = this.#user.pair;
    const tenant = this.#tenant;
    const own = this.#own();
    const wait_ms = waitForPair(own, size_bytes, at_ms) +
      waitForPair(user, size_bytes, now_ms) +
      waitForPair(tenant.pair, size_bytes, now_ms) +
      waitForShare(messages, tenant.messages, 1, now_ms) +
      waitForShare(bytes, tenant.bytes, size_bytes, now_ms);
    if (wait_ms === 0) withdrawPair(own, size_bytes);
    this.#messages_thousandths = own.messages.thousandths;
    this.#bytes_thousandths = own.bytes.thousandths;
    this.#updated_ms = at_ms;
    if (wait_ms > 0) return this.#refuse(own, size_bytes, now_ms);
    withdrawPair(user, size_bytes);
    withdrawPair(tenant.pair, size_bytes);
    withdrawShare(messages, tenant.messages, 1);
    withdrawShare(bytes, tenant.bytes, size_bytes);
    if (this.#excess > 0) this.#excess--;
    return undefined;
  }

  /** Releases the shared rates. Idempotent. */
  close(now_ms: number): void {
    if (!this.#closed) this.#table.leave(this.#user, this.#tenant, now_ms);
    this.#closed = true;
  }

  /** The shared buckets with this connection's levels, to be read and changed before another connection uses them. */
  #own(): BucketPair {
    const own = this.#table.connection;
    own.messages.thousandths = this.#messages_thousandths;
    own.bytes.thousandths = this.#bytes_thousandths;
    own.messages.updated_ms = own.bytes.updated_ms = this.#updated_ms;
    return own;
  }

  /** Forgives earlier refusals after a pause that was as long as advised, and long enough to be one. */
  #notePause(at_ms: number): void {
    if (at_ms >= this.#paused_ms) this.#excess = 0;
    this.#paused_ms = at_ms + Math.max(PAUSE_MS, this.#advised_ms);
  }

  /** The refusal, which names the rate with the longest wait. */
  #refuse(own: BucketPair, size_bytes: number, now_ms: number): ArqonError {
    const { messages, bytes, refusals } = this.#table;
    const tenant = this.#tenant;
    const waits: Wait[] = [
      longerOf("connection", own, size_bytes),
      longerOf("user", this.#user.pair, size_bytes),
      longerOf("tenant", tenant.pair, size_bytes),
      waitOf("process", "messages", waitForShare(messages, tenant.messages, 1, now_ms), messages),
      waitOf("process", "bytes", waitForShare(bytes, tenant.bytes, size_bytes, now_ms), bytes),
    ];
    const wait = waits.reduce(longer);
    const { scope, retry_after_ms } = wait;
    refusals[scope]++;
    this.#excess++;
    this.#advised_ms = retry_after_ms;
    this.#paused_ms = this.#updated_ms + Math.max(PAUSE_MS, retry_after_ms);
    return this.#table.errors.of(wait);
  }
}

type RateScope = "connection" | "user" | "tenant" | "process";

/** How long an operation must wait, and for which rate. */
interface Wait {
  readonly scope: RateScope;
  readonly unit: "messages" | "bytes";
  readonly retry_after_ms: number;
  readonly per_second: number;
}

function waitOf(
  scope: RateScope,
  unit: Wait["unit"],
  retry_after_ms: number,
  { bucket }: { readonly bucket: TokenBucket },
): Wait {
  return { scope, unit, retry_after_ms, per_second: bucket.per_second };
}

function longer(one: Wait, other: Wait): Wait {
  return other.retry_after_ms > one.retry_after_ms ? other : one;
}

/** The longer wait of a pair, for an operation of `size_bytes`. */
function longerOf(scope: RateScope, { messages, bytes }: BucketPair, size_bytes: number): Wait {
  return longer(
    waitOf(scope, "messages", waitFor(messages, 1), { bucket: messages }),
    waitOf(scope, "bytes", waitFor(bytes, size_bytes), { bucket: bytes }),
  );
}

function refusalOf({ scope, unit, retry_after_ms, per_second }: Wait): ArqonError {
  const shared = scope === "process" ? ", which its tenants share" : "";
  const detail = `this ${scope} has ${per_second} ${unit} a second${shared}; ` +
    `retry after ${retry_after_ms} ms`;
  return new ArqonError("rate-limited", detail, { retry_after_ms });
}

/**
 * Refusals for a rate. A flooding client gets the same object repeatedly, as making an error with its stack costs more
 * than the refused message.
 */
class RateRefusals {
  #wait: Wait | undefined;
  #refusal: ArqonError | undefined;

  /** The refusal `rate-limited` for this wait; it must not be changed. */
  of(wait: Wait): ArqonError {
    const last = this.#wait;
    const same = last !== undefined && last.retry_after_ms === wait.retry_after_ms &&
      last.scope === wait.scope && last.unit === wait.unit && last.per_second === wait.per_second;
    if (same && this.#refusal !== undefined) return this.#refusal;
    this.#wait = wait;
    return this.#refusal = refusalOf(wait);
  }
}

// One rate that all tenants share, max-min fair: a tenant that needs less than its share gets all of it, and the rest
// is shared equally by those that need more. Plain data and arithmetic, O(1) per call for any number of tenants; time
// is an argument. The process's bucket has the available amount, and each tenant's portion its usage in about the last
// second. A tenant may take while its portion is below an allowance that depends only on the bucket's level: none with
// an empty bucket, rate ÷ active tenants when it is half full, unlimited when it is full. Tenants with a high demand
// lower the bucket until the allowance stops them, all at the same level, while those below it are not affected. So the
// lower half is reserved for tenants below their share.

/** The time after which usage counts for 1/e, in ms. A tenant stays active as long. */
const MEMORY_MS = 1_000;
/** A window number that never equals or precedes a real one. */
const NEVER = -2;
/** The longest advised wait, in ms. */
const ADVICE_MAX_MS = 5_000;

/** The shared rate, and the number of tenants active in this second and the previous one. */
interface SharedRate {
  readonly bucket: TokenBucket;
  window: number;
  active: number;
  active_before: number;
  /** Tenants in `active` that are also in `active_before`. */
  returned: number;
}

/** One tenant's portion of the shared rate. */
interface Portion {
  /** Recent usage, decaying with `MEMORY_MS`: in balance, its rate per second. */
  used: number;
  updated_ms: number;
  /** The second of the tenant's last request. */
  window: number;
}

/** A shared rate with a full bucket, a burst of two seconds, and no active tenant. */
export function createSharedRate(per_second: number, now_ms: number): SharedRate {
  const bucket = createBucket(per_second, now_ms);
  return { bucket, window: windowOf(now_ms), active: 0, active_before: 0, returned: 0 };
}

/** The portion of a tenant that has taken nothing. */
export function createPortion(now_ms: number): Portion {
  return { used: 0, updated_ms: now_ms, window: NEVER };
}

function windowOf(now_ms: number): number {
  return Math.floor(now_ms / MEMORY_MS);
}

function countActive(shared: SharedRate, portion: Portion, now_ms: number): number {
  const window = windowOf(now_ms);
  if (shared.window !== window) {
    shared.active_before = shared.window === window - 1 ? shared.active : 0;
    shared.active = shared.returned = 0;
    shared.window = window;
  }
  if (portion.window !== window) {
    shared.active++;
    if (portion.window === window - 1) shared.returned++;
    portion.window = window;
  }
  return Math.max(1, shared.active + shared.active_before - shared.returned);
}

function fade(portion: Portion, now_ms: number): void {
  const elapsed_ms = now_ms - portion.updated_ms;
  portion.updated_ms = now_ms;
  if (elapsed_ms > 0) portion.used *= Math.exp(-elapsed_ms / MEMORY_MS);
}

/** The usage in about a second below which a tenant may take more, at this level of the bucket. */
function allowance({ per_second, burst }: TokenBucket, level: number, active: number): number {
  const half = burst / 2;
  const share = per_second / active;
  if (level < half) return share * Math.max(0, level) / half;
  return level >= burst ? Infinity : share * half / (burst - level);
}

/**
 * The wait in ms after which `amount` may pass, 0 for now. It takes nothing, but the tenant counts as active. An amount
 * above a quarter of the burst passes at that level and leaves a debt, as it might otherwise wait for ever among other
 * tenants. The wait is an estimate, as the load of others changes.
 */
export function waitForShare(
  shared: SharedRate,
  portion: Portion,
  amount: number,
  now_ms: number,
): number {
  const { bucket } = shared;
  const active = countActive(shared, portion, now_ms);
  refill(bucket, now_ms);
  fade(portion, now_ms);
  const level = bucket.thousandths / 1_000;
  const missing = Math.min(amount, bucket.burst / 4) - level;
  if (missing > 0) return Math.ceil(missing * 1_000 / bucket.per_second);
  const allowed = allowance(bucket, level, active);
  if (portion.used === 0 || portion.used < allowed) return 0;
  const fading_ms = Math.ceil(MEMORY_MS * Math.log(portion.used / allowed));
  return Math.min(ADVICE_MAX_MS, Math.max(1, fading_ms));
}

/** Takes the amount; only after `waitForShare` gave 0. */
export function withdrawShare(shared: SharedRate, portion: Portion, amount: number): void {
  withdraw(shared.bucket, amount);
  portion.used += amount;
}
