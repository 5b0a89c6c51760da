/**
 * Puts the Overseer of one process together: pool, registry, admin API and logs behind the one
 * interface that the message path knows. With `[platform.overseer] enabled = false` there is none.
 */
import type { Config } from "../../shared/config/schema.ts";
import type { Random } from "../../shared/ids.ts";
import type { Logger } from "../../shared/logs/log.ts";
import type { Registry } from "../../shared/metrics/metrics.ts";
import type { HealthCheck } from "../../shared/listeners/ops.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { Admin } from "../admin/routing/admin_scope.ts";
import type { CandidateVerdicts } from "../mirror/diff.ts";
import type { Traces } from "../traces/traces.ts";
import { PolicyTable } from "./policy_table.ts";
import { handlePolicies } from "./admin_api.ts";
import type { CheckedModule } from "./admin_api.ts";
import { createCompiler, engineOf } from "./modules/compile.ts";
import type { Compiler } from "./modules/compile.ts";
import { Kept } from "./modules/kept.ts";
import { LogFollowers } from "./logs/log_followers.ts";
import { LogMemory } from "./logs/log_memory.ts";
import { createPolicyLogWriter } from "./logs/log_writer.ts";
import type { MeteredPolicy } from "./abi/abi_check.ts";
import { createMetering } from "./modules/metering.ts";
import { createOverseer, NO_OVERSEER } from "./overseer.ts";
import type { Overseer } from "./overseer.ts";
import type { ModuleLoader } from "./modules/module_set.ts";
import { ModuleSweep } from "./modules/module_sweep.ts";
import { createPolicyPool } from "./pool/pool.ts";
import type { PolicyPool } from "./pool/pool.ts";
import { QUARANTINED } from "./pool/pool_modules.ts";
import { registerKept, registerLogMemory } from "./chain/registry_metrics.ts";
import { openQuarantine } from "./modules/quarantine.ts";
import type { Quarantine } from "./modules/quarantine.ts";
import { createPolicyRegistry } from "./chain/registry.ts";
import type { PolicyRegistry } from "./chain/registry.ts";
import { sha256Hex } from "../../shared/sha256.ts";
import { openVerdicts } from "./modules/verdict_store.ts";
import type { Verdicts } from "./modules/verdict_store.ts";
import { PolicyModuleError } from "../../wasm/module/errors.ts";

/** Metered modules that are remembered; each is a few megabytes at most. */
const METERED_MAX = 8;
/** How long the end of the process waits until a quarantine is stored, in ms. */
const QUARANTINE_CLOSE_MS = 2_000;

type Meter = (sha256: string, bytes: Uint8Array) => Promise<MeteredPolicy>;

/** What the Overseer needs of the process. */
export interface OverseerStart {
  readonly config: Config;
  readonly spine: Spine;
  /** A log of component `overseer`. */
  readonly log: Logger;
  readonly registry: Registry;
  /** Unix ms. */
  readonly now: () => number;
  /** Monotonic ms. */
  readonly monotonic_ms: () => number;
  readonly random: Random;
  readonly cores: number;
  readonly candidates: CandidateVerdicts;
  /** Absent: nothing is traced. */
  readonly traces?: Pick<Traces, "judged"> | undefined;
  /** The pool has given up: drain and exit non-zero. */
  readonly onFatal: (detail: string) => void;
  /** As in `PolicyRegistryOptions`; tests have less patience. */
  readonly tried_wait_ms?: number;
}

/** A running Overseer and its operators' side. */
export interface StartedOverseer {
  readonly overseer: Overseer;
  /** What each policy decided and cost. */
  readonly table: PolicyTable;
  /** Answers `/v1/policies…` for that admin; undefined when it is disabled. */
  readonly admin: ((request: Request, admin: Admin) => Promise<Response>) | undefined;
  checks(): Record<string, HealthCheck>;
  status(): Record<string, unknown>;
  close(): Promise<void>;
}

/** Resolves when the stored policies are in force, but for those that take long (`PolicyRegistry.ready`). Rejects with `spine-unavailable`. */
export async function startOverseer(start: OverseerStart): Promise<StartedOverseer> {
  const { config, spine, log, registry, now, traces } = start;
  if (!config.platform.overseer.enabled) {
    return noOverseer();
  }
  const verdicts = await openVerdicts(spine, { engine: engineOf(), log });
  const kept_ms = config.policy.compiled_seconds * 1_000;
  const compiler = createCompiler({ verdicts, kept_ms });
  registerKept(registry, compiler);
  const pool = await startPool(start, compiler, (...found) => quarantine.add(...found));
  // There is nothing to load anew before there is a registry.
  const later: { reload?: PolicyRegistry["reload"] } = {};
  // Before a module is loaded: what wedged a worker before this start must not get another try.
  const quarantine = await startQuarantine(start, pool, (sha256) => later.reload?.(sha256));
  const { meter, close: closeMeter } = startMeter(start, kept_ms);
  const loading = { pool, meter, verdicts, quarantine };
  const policies = await createPolicyRegistry({
    spine,
    loader: loaderOf(loading),
    log,
    now,
    registry,
    known_wait_ms: config.policy.start_wait_ms,
    ...(start.tried_wait_ms === undefined ? {} : { tried_wait_ms: start.tried_wait_ms }),
  });
  const sweep = startSweep(start, policies);
  later.reload = (sha256) => policies.reload(sha256);
  const followers = new LogFollowers(now);
  const memory = new LogMemory({ lines_max: config.policy.log_lines, now });
  registerLogMemory(registry, memory);
  const write = createPolicyLogWriter(log, now);
  const table = new PolicyTable();
  const overseer = createOverseer({
    onVerdict: (request, outcomes) => table.record(request, outcomes),
    onJudged: traces && ((about, verdict) => traces.judged(about, verdict)),
    chainFor: (...question) => policies.chainFor(...question),
    evaluate: (request) => pool.evaluate(request),
    candidates: start.candidates,
    now,
    onLogs(tenant_id, logs) {
      const at_ms = now();
      followers.publish(tenant_id, logs, at_ms);
      memory.remember(tenant_id, logs, at_ms);
      write(tenant_id, logs);
    },
  });
  await policies.ready;
  const check = checkerOf(loading, compiler);
  const context = { registry: policies, check, quarantine, followers, memory, log, now };
  return {
    overseer,
    table,
    admin: (request, admin) => handlePolicies(context, request, admin),
    checks: () => ({ policies: policies.check() }),
    status: () => ({ ...policies.status(), ...pool.status() }),
    async close() {
      await quarantine.close(QUARANTINE_CLOSE_MS);
      sweep.close();
      policies.close();
      followers.close();
      closeMeter();
      await pool.close();
      compiler.close();
    },
  };
}

function startPool(
  { config, cores, registry, log, monotonic_ms: now, onFatal }: OverseerStart,
  compiler: Compiler,
  onQuarantine: Quarantine["add"],
): Promise<PolicyPool> {
  const { policy, platform: { overseer } } = config;
  const common = { policy, overseer, cores, registry, log, now, onFatal, onQuarantine };
  return createPolicyPool({ ...common, compiler });
}

/** An upload is checked, its deployment checks it again, and then it is loaded, all within seconds. */
function startMeter({ config }: OverseerStart, kept_ms: number) {
  const { memory_limit_pages } = config.platform.overseer;
  const metering = createMetering({ memory_limit_pages });
  const kept = new Kept<MeteredPolicy>({ max: METERED_MAX, kept_ms });
  const meter: Meter = (sha256, bytes) => kept.get(sha256, () => metering.meter(bytes));
  const close = () => {
    metering.close();
    kept.close();
  };
  return { meter, close };
}

/** Stored modules that nothing names any more go, from now on. */
function startSweep(
  { config, log, registry, now, random: bytes }: OverseerStart,
  { store }: PolicyRegistry,
) {
  const kept_ms = config.policy.unused_module_seconds * 1_000;
  const random = () => (bytes(1)[0] ?? 0) / 256;
  const sweep = new ModuleSweep({ store, log, registry, now, random, kept_ms });
  sweep.start();
  return sweep;
}

/** Keeps pool and quarantine alike; `reload` is asked for a module that may run again. */
async function startQuarantine(
  { spine, log, now, config }: OverseerStart,
  pool: PolicyPool,
  reload: (sha256: string) => Promise<void> | undefined,
): Promise<Quarantine> {
  const node = config.server.node_id ?? "";
  return await openQuarantine({
    spine,
    log,
    now,
    node,
    onAdded(sha256) {
      pool.quarantine(sha256);
      log.warn("a policy module is in quarantine", { sha256 });
    },
    onReleased(sha256) {
      pool.release(sha256);
      log.warn("a policy module was released from quarantine", { sha256 });
      reload(sha256)?.catch((error) => {
        log.error("a released policy module cannot be loaded", { sha256, error });
      });
    },
  });
}

/** What loading a module takes. */
interface LoaderParts {
  readonly pool: PolicyPool;
  readonly meter: Meter;
  readonly verdicts: Verdicts | undefined;
  readonly quarantine: Quarantine;
}

function loaderOf({ pool, meter, verdicts, quarantine }: LoaderParts): ModuleLoader {
  return {
    async load(sha256, upload) {
      // The rest of its chain is in force; the pool refuses what this policy was to decide.
      if (quarantine.has(sha256)) return;
      const { bytes, cost } = await meter(sha256, upload);
      await pool.load(sha256, { bytes, instance_fuel: cost.instance_fuel });
    },
    unload: (sha256) => pool.unload(sha256),
    isKnown: async (sha256) => await verdicts?.passed(sha256) !== undefined,
  };
}

/** All that a load does but running, so that what passes here loads there. */
function checkerOf(
  { meter, quarantine }: LoaderParts,
  compiler: Compiler,
): (bytes: Uint8Array) => Promise<CheckedModule> {
  return async (bytes) => {
    const sha256 = await sha256Hex(bytes);
    if (quarantine.has(sha256)) throw new PolicyModuleError("quarantined", QUARANTINED);
    const metered = await meter(sha256, bytes);
    await compiler.compile(sha256, metered.bytes);
    const { hooks, imports, cost } = metered;
    return { hooks, imports, ...cost };
  };
}

function noOverseer(): StartedOverseer {
  const nothing = () => ({});
  return {
    overseer: NO_OVERSEER,
    table: new PolicyTable(),
    admin: undefined,
    checks: nothing,
    status: nothing,
    close: () => Promise.resolve(),
  };
}
