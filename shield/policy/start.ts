/**
 * Puts the Overseer of one process together: pool, registry, admin API and logs behind the one
 * interface that the message path knows. With `[platform.overseer] enabled = false` there is none.
 */
import type { Config } from "../../shared/config/schema.ts";
import type { Logger } from "../../shared/log.ts";
import type { Registry } from "../../shared/metrics.ts";
import type { HealthCheck } from "../../shared/ops.ts";
import type { Spine } from "../../shared/spine/spine.ts";
import { handlePolicies } from "./admin_api.ts";
import type { CheckedModule } from "./admin_api.ts";
import { createCompiler } from "./compile.ts";
import type { Compiler } from "./compile.ts";
import { LogFollowers } from "./log_followers.ts";
import { createMetering } from "./metering.ts";
import type { Metering } from "./metering.ts";
import { createOverseer, NO_OVERSEER } from "./overseer.ts";
import type { Overseer } from "./overseer.ts";
import { createPolicyPool } from "./pool.ts";
import type { PolicyPool } from "./pool.ts";
import type { PolicyLog } from "./policy.ts";
import { createPolicyRegistry } from "./registry.ts";
import { sha256Hex } from "./store.ts";

/** Lines of one tenant a second that reach the process's log; the rest is counted in one line. */
const LOG_LINES_PER_SECOND = 50;
const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
/** Tenants whose log rate is remembered; when there are more, all begin anew. */
const LOG_TENANTS_MAX = 10_000;

/** What the Overseer needs of the process. */
export interface OverseerStart {
  readonly config: Config;
  readonly spine: Spine;
  /** Of component `overseer`. */
  readonly log: Logger;
  readonly registry: Registry;
  /** Unix ms. */
  readonly now: () => number;
  /** Monotonic ms. */
  readonly monotonic_ms: () => number;
  readonly cores: number;
  /** The pool has given up: drain and exit non-zero. */
  readonly onFatal: (detail: string) => void;
}

/** A running Overseer and its operators' side. */
export interface StartedOverseer {
  readonly overseer: Overseer;
  /** Answers `/v1/policies…` for the admin with that user id; undefined when it is disabled. */
  readonly admin: ((request: Request, by: string) => Promise<Response>) | undefined;
  checks(): Record<string, HealthCheck>;
  status(): Record<string, unknown>;
  close(): Promise<void>;
}

/** Resolves when all stored policies are in force. Rejects with `spine-unavailable`. */
export async function startOverseer(start: OverseerStart): Promise<StartedOverseer> {
  const { config, spine, log, registry, now } = start;
  if (!config.platform.overseer.enabled) {
    const close = () => Promise.resolve();
    const nothing = () => ({});
    return { overseer: NO_OVERSEER, admin: undefined, checks: nothing, status: nothing, close };
  }
  const { overseer: limits } = config.platform;
  const compiler = createCompiler();
  const pool = await createPolicyPool({
    compiler,
    policy: config.policy,
    overseer: limits,
    cores: start.cores,
    registry,
    log,
    now: start.monotonic_ms,
    onFatal: start.onFatal,
  });
  const { memory_limit_pages } = limits;
  const metering = createMetering({ memory_limit_pages });
  const policies = await createPolicyRegistry({
    spine,
    loader: {
      load: (sha256, bytes) => load(pool, sha256, bytes, metering),
      unload: (sha256) => pool.unload(sha256),
    },
    log,
    now,
    registry,
  });
  const followers = new LogFollowers(now);
  const write = createLogWriter(log, now);
  const overseer = createOverseer({
    chainFor: (...question) => policies.chainFor(...question),
    evaluate: (request) => pool.evaluate(request),
    now,
    onLogs(tenant_id, logs) {
      followers.publish(tenant_id, logs);
      write(tenant_id, logs);
    },
  });
  await policies.ready;
  const check = (bytes: Uint8Array) => checkModule(compiler, bytes, metering);
  const context = { registry: policies, check, followers, log, now };
  return {
    overseer,
    admin: (request, by) => handlePolicies(context, request, by),
    checks: () => ({ policies: policies.check() }),
    status: () => ({ ...policies.status(), ...pool.status() }),
    async close() {
      policies.close();
      followers.close();
      await pool.close();
    },
  };
}

async function load(
  pool: PolicyPool,
  sha256: string,
  bytes: Uint8Array,
  metering: Metering,
): Promise<void> {
  const metered = await metering.meter(bytes);
  await pool.load(sha256, metered.bytes);
}

/** What an upload goes through: all that a load does but running, so that what passes here loads there. */
async function checkModule(
  compiler: Compiler,
  bytes: Uint8Array,
  metering: Metering,
): Promise<CheckedModule> {
  const metered = await metering.meter(bytes);
  await compiler.compile(await sha256Hex(bytes), metered.bytes);
  const { hooks, imports, cost } = metered;
  return { hooks, imports, ...cost };
}

/** Writes `component=overseer module=NAME msg="…"`, at most so many lines a second and tenant. */
function createLogWriter(
  log: Logger,
  now: () => number,
): (tenant_id: string, logs: readonly PolicyLog[]) => void {
  const rates = new Map<string, { second: number; lines: number }>();
  return (tenant_id, logs) => {
    const second = Math.floor(now() / 1_000);
    if (rates.size > LOG_TENANTS_MAX) rates.clear();
    const before = rates.get(tenant_id);
    const rate = before?.second === second ? before : { second, lines: 0 };
    rates.set(tenant_id, rate);
    for (const { name, level, message } of logs) {
      if (++rate.lines > LOG_LINES_PER_SECOND) break;
      log.child({ module: name, tenant: tenant_id })[LOG_LEVELS[level] ?? "info"](message);
    }
    if (rate.lines > LOG_LINES_PER_SECOND && before?.second !== second) {
      log.warn("a tenant's policies log too much; lines are left out", { tenant: tenant_id });
    }
  };
}
