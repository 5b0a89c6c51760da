/**
 * Watches the storage: at the start, where too little is a warning or ends the start, and later as gauges. The figures
 * are the engine's (`Spine.storage`); `storage_plan.ts` evaluates them.
 */
import type { Config } from "../config/schema.ts";
import type { Env } from "../env.ts";
import { type Registry, scrapedGauge } from "../metrics/metrics.ts";
import type { Spine, StorageReport } from "./contract/spine.ts";
import { promisedBytes, storageProblem, type StorageWish } from "./contract/storage_plan.ts";

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

function registerGauges(registry: Registry, wish: StorageWish, last: () => StorageReport): void {
  scrapedGauge(
    registry,
    "arqon_spine_storage_used_bytes",
    "Bytes that the Spine stores, each message counted once.",
    () => last().used_bytes,
  );
  scrapedGauge(
    registry,
    "arqon_spine_storage_promised_bytes",
    "Bytes of the Spine's storage that streams were promised, and those that are not made yet.",
    () => promisedBytes(last(), wish),
  );
  scrapedGauge(
    registry,
    "arqon_spine_storage_limit_bytes",
    "Bytes of storage that there are for the Spine; 0: nobody says.",
    () => last().limit_bytes ?? 0,
  );
  scrapedGauge(
    registry,
    "arqon_spine_logs",
    "Tenants' logs in streams of their own.",
    () => last().logs,
  );
  scrapedGauge(
    registry,
    "arqon_spine_shared_streams",
    "Streams of logs that tenants share.",
    () => last().shared_streams,
  );
  scrapedGauge(
    registry,
    "arqon_spine_unbounded_streams",
    "Streams that this process uses and that nothing bounds.",
    () => last().unbounded.length,
  );
}

/** Registers the gauges, and polls the storage until disposed; the timer does not keep the process alive. */
export function watchStorage(options: StorageWatchOptions): Disposable {
  const { spine, config, registry, log, interval_ms = WATCH_MS } = options;
  const nats = config.nats;
  const wish = storageWish(config);
  let last = NOTHING;
  let is_logged = false;
  let asking = false;
  registerGauges(registry, nats === undefined ? { ...wish, tenants: 0 } : wish, () => last);
  const look = async () => {
    last = await spine.storage();
    return nats === undefined ? undefined : storageProblem(last, wish);
  };
  const again = async () => {
    if (asking || spine.status.state !== "connected") return;
    asking = true;
    try {
      const problem = await look();
      // The figures in the problem change; it is logged once.
      if (problem !== undefined && !is_logged) log.warn("there is too little storage", { problem });
      is_logged = problem !== undefined;
    } catch (error) {
      log.warn("the storage did not answer", { error });
    }
    asking = false;
  };
  void again();
  const timer = setInterval(again, interval_ms);
  Deno.unrefTimer(timer);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
