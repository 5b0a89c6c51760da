/**
 * Assembles the Overseer of one process: pool, registry, admin API and logs behind the interface of the message path.
 * With `[platform.overseer] enabled = false` there is none.
 */
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import { randomFraction } from "../../shared/ids.ts";
import type { Logger } from "../../shared/logs/log.ts";
import type { HealthCheck } from "../../shared/listeners/ops.ts";
import { type CandidateVerdicts, NO_POLICIES, type Policies } from "../message/gates.ts";
import type { PathTraces } from "../capability.ts";
import { PolicyTable } from "./policy_stats.ts";
import type { CheckedModule, PolicyAdminContext } from "./admin_api.ts";
import { type CompiledPolicy, Compiler, engineOf } from "./modules/compile.ts";
import { Kept } from "./modules/kept.ts";
import { LogFollowers, LogMemory } from "./logs/policy_logs.ts";
import { programLog } from "../../shared/logs/tenant_lines.ts";
import type { MeteredPolicy } from "./abi/abi_check.ts";
import { Metering } from "./modules/metering.ts";
import { createOverseer, type OverseerOptions } from "./overseer.ts";
import type { ModuleLoader } from "./modules/module_set.ts";
import { ModuleSweep } from "./modules/module_sweep.ts";
import { PolicyPool } from "./pool/pool.ts";
import { createPolicyRegistry, type PolicyRegistry, registerReady } from "./chain/registry.ts";
import { openQuarantine, type Quarantine, QUARANTINED } from "./modules/quarantine.ts";
import { cpuSeconds, scraped } from "../../shared/metrics/metrics.ts";
import { sha256Hex } from "../../shared/sha256.ts";
import { parseStateKeys } from "./state/declaration.ts";
import { openVerdicts, type VerdictStore } from "./modules/verdict_store.ts";
import { PolicyModuleError } from "../../wasm/module/errors.ts";

/** The most modules that are kept ready besides those in force. */
const READY_MAX = 256;
/** How long the end of the process waits for the storing of a quarantine, in ms. */
const QUARANTINE_CLOSE_MS = 2_000;

/** A module that has passed all steps of loading but the last. */
interface ReadyPolicy extends Omit<MeteredPolicy, "bytes">, CompiledPolicy {}

type Prepare = (sha256: string, upload: Uint8Array) => Promise<ReadyPolicy>;

/** The dependencies and settings of the Overseer. */
interface OverseerStart
  extends Pick<Env, "config" | "spine" | "registry" | "now" | "monotonic_ms" | "random"> {
  /** A log of component `overseer`. */
  readonly log: Logger;
  readonly cores: number;
  readonly candidates: CandidateVerdicts;
  /** The traces of the process; absent: nothing is traced. */
  readonly traces?: Pick<PathTraces, "judged"> | undefined;
  /** Called with the fuel of each policy; absent: not counted. */
  readonly onUsed?: OverseerOptions["onUsed"];
  /** Called when the pool has given up: the process must drain and exit non-zero. */
  readonly onFatal: (detail: string) => void;
  /** As in `PolicyRegistryOptions`; tests wait for less. */
  readonly tried_wait_ms?: number;
}

/** A running Overseer, and its admin API for operators. */
export interface StartedOverseer {
  readonly overseer: Policies;
  readonly table: PolicyTable;
  /** The dependencies of its admin API; undefined if the Overseer is disabled. */
  readonly admin: PolicyAdminContext | undefined;
  /** As `Running.forgets`. */
  forgets(tenant_id: string): void;
  checks(): Record<string, HealthCheck>;
  status(): Record<string, unknown>;
  close(): Promise<void>;
}

const forgetting =
  (memory: LogMemory, { comparisons }: Pick<PolicyRegistry, "comparisons">) =>
  (tenant_id: string) => {
    memory.forget(tenant_id);
    comparisons.forgetSamples(tenant_id);
  };

/**
 * Starts the Overseer. Resolves when the stored policies are in force, except for slow ones (`PolicyRegistry.ready`).
 * Rejects with `spine-unavailable`.
 */
export async function startOverseer(start: OverseerStart): Promise<StartedOverseer> {
  const { config, spine, log, registry, now, traces } = start;
  if (!config.platform.overseer.enabled) return noOverseer();
  const verdicts = await openVerdicts(spine, { engine: engineOf(), log });
  const { prepare, close: closePreparing } = startPreparing(start, verdicts);
  // Neither exists yet when the quarantine is opened. It is opened before any module is loaded, so that a module that
  // wedged a worker before this start does not run again.
  const later: { pool?: PolicyPool; reload?: PolicyRegistry["reload"] } = {};
  const quarantine = await startQuarantine(start, later);
  const pool = later.pool = await startPool(start, quarantine);
  const { loader, check } = loadingOf({ pool, prepare, verdicts, quarantine });
  const policies = await createPolicyRegistry({
    spine,
    loader,
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
  scraped(registry, {
    shield_policy_log_lines: ["Remembered lines of policies, of all tenants.", () => memory.size],
  });
  const write = programLog(log, now, "policies");
  const table = new PolicyTable();
  const overseer = createOverseer({
    onVerdict: countedBy(table, policies.comparisons),
    onUsed: start.onUsed,
    onJudged: traces && ((about, verdict) => traces.judged(about, verdict)),
    // The parameters are named, since rest parameters would make an array for every message.
    chainFor: (tenant_id, hook, room_id, key) => policies.chainFor(tenant_id, hook, room_id, key),
    versionOf: (tenant_id) => policies.versionOf(tenant_id),
    evaluate: (request) => pool.evaluate(request),
    ask: (request, receiver) => pool.ask(request, receiver),
    evaluateInline: (request) => pool.evaluateInline(request),
    candidates: start.candidates,
    limits: replaceLimits(config),
    now,
    onLogs(tenant_id, logs) {
      const at_ms = now();
      followers.publish(tenant_id, logs, at_ms);
      memory.remember(tenant_id, logs, at_ms);
      for (const { name, level, message } of logs) {
        write({ module: name, tenant_id }, level, message);
      }
    },
  });
  await policies.ready;
  const admin = { registry: policies, check, quarantine, followers, memory, log, now };
  return {
    overseer,
    table,
    admin: { ...admin, isStateful: (sha256) => pool.isStateful(sha256), sweep },
    forgets: forgetting(memory, policies),
    checks: () => ({ policies: policies.check() }),
    status: () => ({ ...policies.status(), ...pool.status() }),
    async close() {
      await quarantine.close(QUARANTINE_CLOSE_MS);
      sweep.close();
      policies.close();
      followers.close();
      closePreparing();
      pool.close();
    },
  };
}

function countedBy(
  table: PolicyTable,
  comparisons: PolicyRegistry["comparisons"],
): NonNullable<OverseerOptions["onVerdict"]> {
  return (request, outcomes) => {
    table.record(request, outcomes);
    comparisons.record(request, outcomes);
  };
}

/** The limits of the current configuration. */
function replaceLimits({ limits, policy }: Config): OverseerOptions["limits"] {
  return {
    get headers() {
      return limits.headers;
    },
    get header_bytes() {
      return limits.header_bytes;
    },
    get field_bytes() {
      return limits.field_bytes;
    },
    max_frame_bytes: limits.max_frame_bytes,
    payload_bytes: policy.payload_bytes,
  };
}

/** Starts the pool; resolves when its workers are ready. */
async function startPool(start: OverseerStart, quarantine: Quarantine): Promise<PolicyPool> {
  const { policy, platform: { overseer } } = start.config;
  const cpu_ms = () => 1_000 * cpuSeconds();
  const now = start.monotonic_ms;
  const pool = new PolicyPool({ ...start, policy, overseer, now, cpu_ms, quarantine });
  await pool.ready();
  return pool;
}

/**
 * Starts metering and compiling with a cache of the results: an upload, its deployment and its load check the same
 * module within seconds.
 */
function startPreparing(
  { config, registry, monotonic_ms }: OverseerStart,
  verdicts: VerdictStore | undefined,
) {
  const { memory_limit_pages } = config.platform.overseer;
  const metering = new Metering({ memory_limit_pages });
  const compiler = new Compiler({ verdicts });
  const kept_ms = config.policy.compiled_seconds * 1_000;
  const kept = new Kept<ReadyPolicy>({ max: READY_MAX, kept_ms });
  const compiled = registerReady(registry, kept);

  async function make(sha256: string, upload: Uint8Array): Promise<ReadyPolicy> {
    const { bytes, ...metered } = await metering.meter(upload);
    const began_ms = monotonic_ms();
    const made = await compiler.compile(sha256, bytes);
    compiled(monotonic_ms() - began_ms);
    return { ...metered, ...made };
  }

  const prepare: Prepare = (sha256, upload) => kept.get(sha256, () => make(sha256, upload));
  const close = () => {
    metering.close();
    kept.close();
  };
  return { prepare, close };
}

/** Starts to delete stored modules that nothing names any longer. */
function startSweep(
  { config, log, registry, now, monotonic_ms, random: bytes }: OverseerStart,
  { store }: PolicyRegistry,
) {
  const kept_ms = config.policy.unused_module_seconds * 1_000;
  const random = () => randomFraction(bytes);
  const clocks = { now, monotonic_ms };
  const sweep = new ModuleSweep({ store, log, registry, ...clocks, random, kept_ms });
  sweep.start();
  return sweep;
}

/** Unloads modules that come into quarantine, and loads released ones again. */
async function startQuarantine(
  { spine, log, now, config }: OverseerStart,
  later: { readonly pool?: PolicyPool; readonly reload?: PolicyRegistry["reload"] },
): Promise<Quarantine> {
  const node = config.server.node_id ?? "";
  return await openQuarantine({
    spine,
    log,
    now,
    node,
    onAdded(sha256) {
      later.pool?.unload(sha256);
      log.warn("a policy module is in quarantine", { sha256 });
    },
    onReleased(sha256) {
      log.warn("a policy module was released from quarantine", { sha256 });
      later.reload?.(sha256).catch((error) => {
        log.error("a released policy module cannot be loaded", { sha256, error });
      });
    },
  });
}

interface LoaderParts {
  readonly pool: PolicyPool;
  readonly prepare: Prepare;
  readonly verdicts: VerdictStore | undefined;
  readonly quarantine: Quarantine;
}

/** The loader of modules, and the check of all steps of loading but the last: a module that passes also loads. */
function loadingOf({ pool, prepare, verdicts, quarantine }: LoaderParts) {
  const loader: ModuleLoader = {
    async load(sha256, upload) {
      // The rest of its chain is in force, and the pool refuses operations that this policy would have to judge.
      if (quarantine.has(sha256)) return;
      const { compiled, state_keys, cost, renewal } = await prepare(sha256, upload);
      pool.load(sha256, { compiled, state_keys, instance_fuel: cost.instance_fuel, renewal });
    },
    unload: (sha256) => pool.unload(sha256),
    isKnown: async (sha256) => await verdicts?.passed(sha256) !== undefined,
  };

  async function check(bytes: Uint8Array): Promise<CheckedModule> {
    const sha256 = await sha256Hex(bytes);
    if (quarantine.has(sha256)) throw new PolicyModuleError("quarantined", QUARANTINED);
    const { hooks, imports, abi, renewal, cost, state_keys } = await prepare(sha256, bytes);
    parseStateKeys(state_keys);
    return { hooks, imports, abi, renewed_by: renewal?.by ?? null, ...cost };
  }
  return { loader, check };
}

function noOverseer(): StartedOverseer {
  const nothing = () => ({});
  return {
    overseer: NO_POLICIES,
    table: new PolicyTable(),
    admin: undefined,
    forgets: () => {},
    checks: nothing,
    status: nothing,
    close: () => Promise.resolve(),
  };
}
