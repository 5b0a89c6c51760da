/**
 * The quotas capability of a Shield: quotas of tenants on all Shields together. A message only reads its tenant's slice
 * in memory (`slices.ts`). Slices are filled in the background: from the server or, while the server is unreachable or
 * late, from local buckets, as if this Shield were the only one.
 */
import type { Capability } from "../capability.ts";
import { scraped } from "../../shared/metrics/metrics.ts";
import { ArqonError } from "@arqon/proto";
import { Counter } from "prom-client";
import type { Env } from "../../shared/env.ts";
import { liveKeysOf } from "../../shared/config/keys/live_keys.ts";
import type { ConfigChanges } from "../../shared/config/live/live_config.ts";
import type { Config } from "../../shared/config/schema.ts";
import { BoundedMap } from "../../shared/containers/bounded_map.ts";
import { RenewedSecret } from "../../shared/process/secret_file.ts";
import { makeAtOnce, type Making } from "../../shared/turns/making.ts";
import { fullBucket, reserve } from "./bucket.ts";
import type { Amounts, Bucket, Grant, Reservation } from "./bucket.ts";
import { withOwn } from "../../shared/config/schema_quota.ts";
import { quotaSecrets } from "./secrets.ts";
import { type Shortage, Slices } from "./slices.ts";
import type { Quota } from "../message/gates.ts";
import type { Settings } from "../settings/settings.ts";
import type { QuotaServer, ValkeyOptions } from "./valkey.ts";

/** The most tenants in one call, as the server is blocked meanwhile. */
const CALL_TENANTS = 500;
/** The least time between two reservations for a slice that is used up early, as a part of `slice_ms`. */
const SOONEST = 1 / 4;

type QuotaConfig = NonNullable<Config["quota"]>;

/** The dependencies and settings of `startQuota`. */
export interface QuotaOptions extends Pick<Env, "registry" | "log" | "monotonic_ms"> {
  readonly config: QuotaConfig;
  /** The tenants' own settings. */
  readonly settings: Pick<Settings, "get" | "onChange">;
  /** Reads a file; throws if it does not exist. */
  readonly readTextFile: (path: string) => string;
}

/** Starts the quotas of `[quota]`; undefined without that table. It does not wait for the server. */
export async function startQuota(
  options: Omit<QuotaOptions, "config"> & { readonly config: { quota?: QuotaConfig | undefined } },
): Promise<StartedQuota | undefined> {
  const config = options.config.quota;
  if (config === undefined) return undefined;
  // The client is loaded only by processes with quotas.
  const { connectValkey } = await import("./valkey.ts");
  return new StartedQuota({ ...options, config }, connectValkey);
}

type Connect = (options: ValkeyOptions) => QuotaServer;

type RateOf = (tenant_id: string) => Amounts;

const UNITS = { messages: "messages a second", bytes: "bytes a second" } as const;

/** The quotas of a process; its starter closes them. */
export class StartedQuota implements Quota {
  readonly #options: QuotaOptions;
  readonly #slices: Slices;
  readonly #server: QuotaServer;
  #rateOf: RateOf;
  /** This Shield's own buckets, filled while the server is unreachable. */
  readonly #alone: BoundedMap<string, Bucket>;
  readonly #refusals: Counter<"quota">;
  readonly #outcomes: Counter<"outcome">;
  readonly #ask = () => this.#schedule(this.#options.config.slice_ms * SOONEST);
  /** True from the start until the server's first answer, without a log line. */
  #degraded = true;
  #logged = false;
  #closed = false;
  #running = false;
  #asked_ms = -Infinity;
  #due_ms = Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #stop: () => void;
  readonly #prober: ReturnType<typeof setInterval>;

  constructor(options: QuotaOptions, connect: Connect) {
    this.#options = options;
    const { config, registry, settings } = options;
    const { slice_ms, timeout_ms, active_tenants: tenants_max } = config;
    this.#alone = new BoundedMap(tenants_max);
    this.#rateOf = makeAtOnce(ratesOf(config));
    const rateOf = (tenant_id: string) =>
      withOwn(this.#rateOf(tenant_id), settings.get(tenant_id).quotas);
    this.#slices = new Slices({ rateOf, slice_ms, timeout_ms, tenants_max });
    this.#stop = settings.onChange((tenant_id) => {
      if (this.#slices.renew(tenant_id)) this.#alone.delete(tenant_id);
    });
    const { readTextFile, log } = options;
    const secrets = new RenewedSecret(() => quotaSecrets(config, readTextFile), log);
    this.#server = connect({
      ...config,
      secrets: () => secrets.current(),
      random: Math.random,
      onConnected: () => void this.#probe(),
      onLost: (why = "no connection") => this.#lose(why),
    });
    this.#prober = setInterval(() => this.#probe(), config.retry_ms);
    const registers = [registry];
    this.#refusals = new Counter({
      name: "shield_quota_refusals_total",
      help: "Messages refused because their tenant's quota is used up",
      labelNames: ["quota"],
      registers,
    });
    this.#outcomes = new Counter({
      name: "shield_quota_reservations_total",
      help: "Requests for slices of quotas, by outcome",
      labelNames: ["outcome"],
      registers,
    });
    scraped(registry, {
      "shield_quota_degraded": [
        "1 while this Shield counts quotas alone",
        () => Number(this.#degraded),
      ],
      "shield_quota_tenants": ["Tenants with a slice on this Shield", () => this.#slices.size],
      "shield_quota_untracked_total": [
        "Messages allowed without a quota because more tenants were active than the limit of slices",
        () => this.#slices.untracked,
      ],
    });
  }

  /** True while each Shield counts alone, because the server is unreachable or late. */
  get degraded(): boolean {
    return this.#degraded;
  }

  take(tenant_id: string, size_bytes: number): void {
    const now_ms = this.#options.monotonic_ms();
    const shortage = this.#slices.take(tenant_id, size_bytes, now_ms, this.#ask);
    if (shortage !== undefined) this.#refuse(shortage);
  }

  /** Applies the quotas of a changed configuration. */
  follow(changes: ConfigChanges): void {
    const renew = (rateOf: RateOf) => {
      this.#rateOf = rateOf;
      this.#slices.clear();
      this.#alone.clear();
    };
    const { config } = this.#options;
    changes.follow(liveKeysOf("quota"), renew, ({ quota = config }) => ratesOf(quota));
  }

  close(): void {
    this.#closed = true;
    this.#stop();
    clearInterval(this.#prober);
    clearTimeout(this.#timer);
    this.#server.close();
  }

  #refuse({ unit, retry_after_ms }: Shortage): never {
    this.#refusals.inc({ quota: unit });
    throw new ArqonError("tenant-quota", UNITS[unit], { retry_after_ms });
  }

  /** Plans a round in `wait_ms` after the last one, or at once. An earlier planned round is kept. */
  #schedule(wait_ms: number): void {
    if (this.#closed || this.#running) return;
    const due_ms = this.#asked_ms + wait_ms;
    if (due_ms >= this.#due_ms) return;
    this.#due_ms = due_ms;
    clearTimeout(this.#timer);
    const in_ms = Math.max(0, due_ms - this.#options.monotonic_ms());
    this.#timer = setTimeout(() => void this.#round(), in_ms);
  }

  async #round(): Promise<void> {
    this.#running = true;
    this.#due_ms = Infinity;
    this.#asked_ms = this.#options.monotonic_ms();
    const reservations = this.#slices.due(this.#asked_ms);
    for (let at = 0; at < reservations.length && !this.#closed; at += CALL_TENANTS) {
      await this.#reserve(reservations.slice(at, at + CALL_TENANTS));
    }
    this.#running = false;
    // Shields must not run in lockstep: the first would always find the bucket full and the last one empty.
    const jitter = 0.8 + 0.4 * Math.random();
    if (this.#slices.size > 0) this.#schedule(this.#options.config.slice_ms * jitter);
  }

  async #reserve(reservations: readonly Reservation[]): Promise<void> {
    let grants: Grant[] | undefined;
    if (!this.#degraded) {
      grants = await this.#server.reserve(reservations).catch((error) => {
        this.#outcomes.inc({ outcome: "failed" }, reservations.length);
        this.#lose(error);
        return undefined;
      });
    }
    const alone = grants === undefined;
    const now_ms = this.#options.monotonic_ms();
    const answers = grants ?? reservations.map((one) => this.#grantAlone(one, now_ms));
    for (const [index, grant] of answers.entries()) {
      const one = reservations[index];
      if (one === undefined) continue;
      this.#slices.granted(one, grant);
      this.#outcomes.inc({ outcome: alone ? "alone" : outcomeOf(grant) });
    }
  }

  #grantAlone(reservation: Reservation, now_ms: number): Grant {
    const bucket = this.#alone.get(reservation.tenant_id) ?? fullBucket(reservation.rate, now_ms);
    this.#alone.renew(reservation.tenant_id, bucket);
    return reserve(bucket, reservation, now_ms);
  }

  #lose(error: unknown): void {
    if (this.#closed || (this.#degraded && this.#logged)) return;
    this.#degraded = true;
    this.#logged = true;
    const reason = error instanceof Error ? error.message : String(error);
    this.#options.log.warn("the quota server is unreachable: this Shield counts alone", {
      server: serverOf(this.#options.config.url),
      reason,
    });
  }

  async #probe(): Promise<void> {
    if (!this.#degraded || this.#closed || !this.#server.tried()) return;
    try {
      await this.#server.ping();
    } catch (error) {
      return this.#lose(error);
    }
    if (!this.#degraded || this.#closed) return;
    this.#degraded = false;
    this.#logged = false;
    this.#alone.clear();
    this.#options.log.info("the quota server counts for all Shields", {
      server: serverOf(this.#options.config.url),
    });
  }
}

/** Looks up tenants' quotas: a tenant's own quota has priority over the default. */
function* ratesOf(config: QuotaConfig): Making<RateOf> {
  const usual = {
    messages: config.tenant_messages_per_second,
    bytes: config.tenant_bytes_per_second,
  };
  const own = new Map<string, Amounts>();
  for (const { tenant, messages_per_second, bytes_per_second } of config.tenants) {
    own.set(tenant, {
      messages: messages_per_second ?? usual.messages,
      bytes: bytes_per_second ?? usual.bytes,
    });
    yield;
  }
  return (tenant_id) => own.get(tenant_id) ?? usual;
}

function outcomeOf({ granted, retry_after_ms }: Grant): string {
  if (retry_after_ms === 0) return "granted";
  return granted.messages + granted.bytes > 0 ? "partial" : "empty";
}

/** The server's URL without user and password, for the log. */
function serverOf(url: string): string {
  return new URL(url).host;
}

/** Limits the messages of tenants on all Shields together. */
export const QUOTA: Capability<StartedQuota> = {
  name: "quota",
  title: "limits the messages of tenants on all Shields together",
  config: ["quota"],
  tenant: ["quotas"],
  async open(env, { settings }) {
    const quota = await startQuota({ ...env, settings, log: env.log.child({ part: "quota" }) });
    if (quota === undefined) return {};
    return {
      own: quota,
      gives: { quota, has_quotas: true },
      start: () => ({ follow: (changes) => quota.follow(changes) }),
      close: () => quota.close(),
    };
  },
};
