/**
 * The Spine's state as metrics of its process, read on a scrape, never on the message path; and two watches: whether a
 * small write is stored, for readiness, and whether the storage is enough.
 */
import type { Logger } from "../logs/log.ts";
import { Histogram, LAG_SECONDS, metricsOn, scraped } from "../metrics/metrics.ts";
import type { Registry } from "../metrics/metrics.ts";
import type { Spine, SpineState, StorageReport } from "./contract/spine.ts";
import { onNewer } from "../records/stored.ts";
import type { Env } from "../env.ts";
import type { HealthCheck } from "../listeners/ops.ts";
import type { Config } from "../config/schema.ts";
import { promisedBytes, storageProblem, type StorageWish } from "./contract/storage_plan.ts";

const STATES: Record<SpineState, true> = {
  connecting: true,
  connected: true,
  disconnected: true,
  draining: true,
  closed: true,
};

/** Registers the gauges and counters; once a registry. */
export function registerSpineMetrics(spine: Spine, registry: Registry): void {
  scraped(registry, {
    arqon_spine_connected: [
      "1 while the Spine is connected.",
      () => Number(spine.status.state === "connected"),
    ],
    arqon_spine_pending_bytes: [
      "Bytes handed to the Spine and not yet delivered or confirmed.",
      () => spine.status.pending_bytes,
    ],
    arqon_spine_reconnects_total: [
      "Reconnects to the Spine's server.",
      () => spine.status.reconnects,
    ],
    arqon_spine_slow_consumers_total: [
      "Subscriptions that lost messages because they were too slow.",
      () => spine.status.slow_consumers,
    ],
    arqon_spine_state: [
      "1 for the state that the Spine's connection is in, 0 for the others.",
      "state",
      () =>
        Object.fromEntries(
          Object.keys(STATES).map((one) => [one, Number(one === spine.status.state)]),
        ),
    ],
  });
}

const ROUND_TRIP_MS = 5_000;
const ROUND_TRIP_BUCKETS_SECONDS = [0.000_1, 0.000_25, 0.000_5, ...LAG_SECONDS, 5];

/**
 * Measures the duration of a flush as `arqon_spine_round_trip_seconds`: once every `interval_ms`, until disposed.
 * `monotonic_ms` is `performance.now`. Failed flushes are counted.
 */
export function watchRoundTrip(
  spine: Pick<Spine, "flush">,
  registry: Registry,
  monotonic_ms: () => number,
  interval_ms = ROUND_TRIP_MS,
): Disposable {
  const seconds = new Histogram({
    name: "arqon_spine_round_trip_seconds",
    help: "From a flush to the server's answer, measured every 5 seconds.",
    buckets: ROUND_TRIP_BUCKETS_SECONDS,
    registers: [registry],
  });
  let failures = 0;
  scraped(registry, {
    arqon_spine_round_trip_failures_total: [
      "Measurements of the round trip to which no answer came.",
      () => failures,
    ],
  });
  return poll(interval_ms, async () => {
    const began_ms = monotonic_ms();
    try {
      await spine.flush();
      seconds.observe((monotonic_ms() - began_ms) / 1_000);
    } catch {
      failures++;
    }
  });
}

/** Runs it now and then regularly, one at a time, until disposed; the timer does not keep the process alive. */
function poll(interval_ms: number, run: () => Promise<void>): Disposable {
  let is_running = false;
  const again = async () => {
    if (is_running) return;
    is_running = true;
    await run();
    is_running = false;
  };
  void again();
  const timer = setInterval(again, interval_ms);
  Deno.unrefTimer(timer);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** Counts reads of records from a newer ArqonBus, and warns about the first of each kind. */
function watchRecords(registry: Registry, log: Logger): Disposable {
  const counter = metricsOn(registry).counter(
    "arqon_newer_records_total",
    "Reads of records that a newer ArqonBus has stored and this one does not know.",
    "record",
  );
  const warned = new Set<string>();
  return onNewer((record, error) => {
    counter.inc({ record });
    if (warned.has(record)) return;
    warned.add(record);
    const text = "a newer ArqonBus has stored what this one cannot read: upgrade this process";
    log.warn(text, { record, error });
  });
}

/**
 * Registers metrics of a Spine until the result is disposed: its state, the flush duration, whether writes are stored,
 * and records from a newer ArqonBus. `monotonic_ms` is `performance.now`.
 */
export function watchSpine(
  options: WriteWatchOptions & { readonly spine: Spine; readonly monotonic_ms: () => number },
): WriteWatch {
  const { spine, registry, monotonic_ms } = options;
  registerSpineMetrics(spine, registry);
  const round_trips = watchRoundTrip(spine, registry, monotonic_ms);
  const storage = watchWrites(options);
  const records = watchRecords(registry, options.log);
  return {
    asked: storage.asked,
    check: storage.check,
    [Symbol.dispose]() {
      round_trips[Symbol.dispose]();
      storage[Symbol.dispose]();
      records[Symbol.dispose]();
    },
  };
}

const ASK_MS = 5_000;
const ASK_BYTES = 4_096;
/** Interval between tests while writes fail: recovery is detected within this time. */
const ASK_AGAIN_MS = 1_000;
/** Bytes that must fit again after a failure: otherwise writes would alternate between success and failure. */
const ASK_AGAIN_BYTES = 1_048_576;

/** The dependencies of a watch. */
interface WriteWatchOptions extends Pick<Env, "registry" | "log" | "now"> {
  readonly spine: Pick<Spine, "proveStorage" | "status" | "onEvent">;
}

/** A running watch; dispose it to stop. */
export interface WriteWatch extends Disposable {
  /** Resolves after the first test, whatever its result. */
  readonly asked: Promise<void>;
  /** For readiness: not ok while writes fail, and before the first has succeeded. */
  readonly check: () => HealthCheck;
}

class Watch implements WriteWatch {
  readonly #options: WriteWatchOptions;
  readonly asked: Promise<void>;
  readonly #unlisten: () => void;
  #state: HealthCheck;
  #has_failed = false;
  #is_over = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: WriteWatchOptions) {
    this.#options = options;
    this.#state = { ok: false, since_ms: options.now(), detail: "not written yet" };
    this.#unlisten = options.spine.onEvent((event) => {
      if (event.type === "unstored" && this.#state.ok) this.#failed(event.error);
    });
    this.asked = this.#round();
  }

  readonly check = (): HealthCheck => this.#state;

  [Symbol.dispose](): void {
    this.#is_over = true;
    this.#unlisten();
    clearTimeout(this.#timer);
  }

  async #round(): Promise<void> {
    await this.#ask();
    if (!this.#is_over) this.#askIn(this.#state.ok ? ASK_MS : ASK_AGAIN_MS);
  }

  #askIn(wait_ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#round(), wait_ms);
    Deno.unrefTimer(this.#timer);
  }

  async #ask(): Promise<void> {
    const { spine, log } = this.#options;
    // Without a connection the storage is unknown; the disconnect is reported elsewhere.
    if (spine.status.state !== "connected") return;
    try {
      await spine.proveStorage(this.#has_failed ? ASK_AGAIN_BYTES : ASK_BYTES);
      if (this.#has_failed) log.info("the storage takes writes again");
      this.#has_failed = false;
      this.#turn(true, "writable");
    } catch (error) {
      if (!this.#is_over && spine.status.state === "connected") this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    const detail = error instanceof Error ? error.message : String(error);
    if (!this.#has_failed) this.#options.log.error("the storage takes no writes", { detail });
    // Not during a test, which sets its own timer.
    if (!this.#has_failed && this.#timer !== undefined) this.#askIn(ASK_AGAIN_MS);
    this.#has_failed = true;
    this.#turn(false, detail);
  }

  #turn(ok: boolean, detail: string): void {
    const since_ms = ok === this.#state.ok ? this.#state.since_ms : this.#options.now();
    this.#state = { ok, since_ms, detail };
  }
}

/**
 * Starts watching at once; runs one test at a time. A failed write of other callers counts at once, too. Its timer does
 * not keep the process alive.
 */
export function watchWrites(options: WriteWatchOptions): WriteWatch {
  const watch = new Watch(options);
  scraped(options.registry, {
    arqon_spine_storage_writable: [
      "1 while the Spine stores what is written, 0 while writes fail.",
      () => Number(watch.check().ok),
    ],
  });
  return watch;
}

const WATCH_MS = 30_000;
const NOTHING: StorageReport = {
  used_bytes: 0,
  promised_bytes: 0,
  limit_bytes: undefined,
  logs: 0,
  shared_streams: 0,
  unbounded: [],
};

/** The part of the configuration that promises storage. */
type StorageConfig = Pick<Config, "nats" | "durable" | "rooms" | "auth">;

/** The number of configured tenants that may have durable rooms; 0 if any tenant is allowed. */
export function namedTenants({ rooms, auth }: Pick<StorageConfig, "rooms" | "auth">): number {
  const durable = rooms.filter((one) => one.durable).map(({ tenant }) => tenant);
  const vouched = auth.issuers.flatMap(({ tenants }) => tenants);
  const is_open = durable.includes("*") && vouched.includes("*");
  if (is_open) return 0;
  const named = durable.includes("*") ? [...vouched, ...durable] : durable;
  return new Set(named.filter((tenant) => tenant !== "*")).size;
}

/** What a bus with this configuration needs of its storage. */
export function storageWish(config: StorageConfig): StorageWish {
  const { durable } = config;
  const { log_bytes, tenants = namedTenants(config), shared_streams: streams } = durable;
  if (streams === 0) return { log_bytes, tenants };
  const { shared_bytes: bytes, shared_tenant_bytes: tenant_bytes } = durable;
  return { log_bytes, tenants, shared: { streams, bytes, tenant_bytes } };
}

/** The process's parts that the watch needs. */
interface StorageWatchOptions extends Pick<Env, "registry" | "log"> {
  readonly spine: Pick<Spine, "storage" | "status">;
  readonly config: StorageConfig;
  /** Interval in ms; absent: 30 seconds. */
  readonly interval_ms?: number;
}

/** Registers the gauges, and polls the storage until disposed. */
export function watchStorage(options: StorageWatchOptions): Disposable {
  const { spine, config, registry, log, interval_ms = WATCH_MS } = options;
  const nats = config.nats;
  const wish = storageWish(config);
  let last: StorageReport = NOTHING;
  let is_logged = false;
  const promised = nats === undefined ? { ...wish, tenants: 0 } : wish;
  scraped(registry, {
    arqon_spine_storage_used_bytes: [
      "Bytes that the Spine stores, each message counted once.",
      () => last.used_bytes,
    ],
    arqon_spine_storage_promised_bytes: [
      "Bytes of the Spine's storage that streams were promised, and those that are not made yet.",
      () => promisedBytes(last, promised),
    ],
    arqon_spine_storage_limit_bytes: [
      "Bytes of storage that there are for the Spine; 0: nobody says.",
      () => last.limit_bytes ?? 0,
    ],
    arqon_spine_logs: ["Tenants' logs in streams of their own.", () => last.logs],
    arqon_spine_shared_streams: ["Streams of logs that tenants share.", () => last.shared_streams],
    arqon_spine_unbounded_streams: [
      "Streams that this process uses and that nothing bounds.",
      () => last.unbounded.length,
    ],
  });
  return poll(interval_ms, async () => {
    if (spine.status.state !== "connected") return;
    try {
      last = await spine.storage();
      const problem = nats === undefined ? undefined : storageProblem(last, wish);
      // The figures in the problem change; it is logged once.
      if (problem !== undefined && !is_logged) log.warn("there is too little storage", { problem });
      is_logged = problem !== undefined;
    } catch (error) {
      log.warn("the storage did not answer", { error });
    }
  });
}
