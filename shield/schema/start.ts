/**
 * Assembles the schema check of one process: store, cache, mappings of the config and of the tenants, gate and admin
 * API. With `[platform.registry] enabled = false` nothing is started.
 */
import type { ConfigChanges } from "../../shared/config/live/live_config.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { Logger } from "../../shared/logs/log.ts";
import type { Env } from "../../shared/env.ts";
import type { HealthCheck } from "../../shared/listeners/ops.ts";
import { randomFraction } from "../../shared/ids.ts";
import type { Making } from "../../shared/turns/making.ts";
import { inPieces, STRANGERS } from "../../shared/turns/slices.ts";
import { plural } from "../../shared/plural.ts";
import { type CandidateVerdicts, NO_SCHEMAS } from "../message/gates.ts";
import type { Settings } from "../settings/settings.ts";
import { Adoption, type RefusedPut } from "./registry/adoption.ts";
import type { SchemaAdminContext } from "./admin/admin_schemas.ts";
import { SchemaCache } from "./registry/cache.ts";
import { DeadLetters } from "./dead_letters.ts";
import { createViolationLog, Gate, type SchemaGate } from "./gate.ts";
import { type ConfigMappings, Mappings } from "./mappings.ts";
import { registerSchemaMetrics, type SchemaFigures, type SchemaTotals } from "./metrics.ts";
import { openSchemaStore, type SchemaStore } from "./registry/store.ts";
import { SetWorker } from "./registry/set_work.ts";
import { startVersionSweep } from "./registry/sweep.ts";
import { WorkingSet } from "./registry/working_set.ts";

interface SchemaStart extends Pick<Env, "spine" | "registry" | "now" | "monotonic_ms" | "random"> {
  readonly config: Pick<Config, "platform">;
  /** The settings, which must be ready: tenants' mappings are known. */
  readonly settings: Settings;
  readonly candidates: CandidateVerdicts;
  /** A log of component `registry`. */
  readonly log: Logger;
}

/** A running schema check, and its admin API for operators. */
export interface StartedSchemas {
  readonly gate: SchemaGate;
  /** The context of its admin API; undefined if the schema check is disabled. */
  readonly admin: SchemaAdminContext | undefined;
  checks(): Record<string, HealthCheck>;
  status(): Record<string, unknown>;
  /** Applies the mappings of a changed configuration. */
  follow(changes: ConfigChanges): void;
  close(): void;
}

const DISABLED: StartedSchemas = {
  gate: { ...NO_SCHEMAS, schemaOf: () => "none" },
  admin: undefined,
  checks: () => ({}),
  status: () => ({}),
  follow: () => {},
  close: () => {},
};

/** The parts of the check, without those that follow the settings. */
interface Parts {
  readonly mappings: Mappings;
  readonly cache: SchemaCache;
  readonly working: WorkingSet;
  readonly totals: SchemaTotals;
  readonly puts: Adoption;
  readonly loads: SetWorker;
  /** Registers schemas for admins and other tools; loading never waits for it. */
  readonly checks: SetWorker;
}

function figuresOf(
  { cache, mappings, working, puts }: Parts,
  monotonic_ms: () => number,
): SchemaFigures {
  let packed_bytes = 0;
  const messages = { current: 0, outdated: 0, missing: 0 };
  const ages_seconds: [string, number][] = [];
  for (const schema of cache.schemas.values()) {
    const age_ms = monotonic_ms() - schema.confirmed_ms;
    packed_bytes += schema.packed_bytes;
    if (schema.confirmed_ms > 0) ages_seconds.push([schema.schema_id, age_ms / 1_000]);
    for (const { compiled, problem } of schema.messages) {
      messages[compiled === undefined ? "missing" : problem === "" ? "current" : "outdated"]++;
    }
  }
  const { tenant_mappings } = mappings;
  const schemas = cache.schemas.size;
  const refused = puts.refused();
  return { ages_seconds, schemas, messages, tenant_mappings, packed_bytes, working, refused };
}

/** Opens the parts; from now on puts of other tools are judged. */
function openParts(
  { config, log, registry, now, monotonic_ms, random }: SchemaStart,
  store: SchemaStore,
): Parts {
  const options = config.platform.registry;
  const { compiled_bytes, restore_ms } = options;
  const working = new WorkingSet({ compiled_bytes, restore_ms, monotonic_ms });
  const mappings = new Mappings(options.mappings, options);
  const totals = registerSchemaMetrics(registry, () => figuresOf(parts, monotonic_ms));
  const loads = new SetWorker();
  const checks = new SetWorker();
  const { message_parts, kv_bucket, versions: versions_max } = options;
  const ttl_ms = options.cache_ttl_seconds * 1_000;
  const cache = new SchemaCache({
    store,
    tools: { work: loads.work, message_parts },
    log,
    monotonic_ms,
    ttl_ms,
    schemas_max: options.schemas,
    working,
    onLoaded: (outcome) => void totals.loads[outcome]++,
  });
  const puts = new Adoption({
    store,
    work: checks.work,
    log,
    now,
    kv_bucket,
    versions_max,
    random: () => randomFraction(random),
    mapped: (schema_id) => mappings.messagesOf(schema_id),
    listed_ms: ttl_ms,
    onPut: (outcome) => void totals.puts[outcome]++,
    onHistory: (schema_id) => cache.refresh(schema_id),
  });
  const parts = { mappings, cache, working, totals, puts, loads, checks };
  return parts;
}

/**
 * Starts the schema check. Resolves after every mapped schema was read once. Rejects with `spine-unavailable` if the
 * bucket cannot be opened; a schema that cannot be loaded does not prevent the start.
 */
export async function startSchemas(start: SchemaStart): Promise<StartedSchemas> {
  const { config, spine, settings, log, now, monotonic_ms } = start;
  const options = config.platform.registry;
  if (!options.enabled) return DISABLED;
  const store = await openSchemaStore(spine, options.kv_bucket);
  const parts = openParts(start, store);
  const { mappings, cache, totals, puts, loads, checks } = parts;
  const bytes_max = options.dead_letter_bytes;
  const gate = new Gate({
    ...parts,
    log: createViolationLog(log, now),
    dead_letters: new DeadLetters({ spine, totals, bytes_max }),
    candidates: start.candidates,
  });
  const since_ms = now();
  await puts.ready;
  const random = () => randomFraction(start.random);
  const { registry } = start;
  const swept = { log, registry, monotonic_ms, random };
  const sweep = await startVersionSweep(spine, options.kv_bucket, swept);
  const apply = applying(() => cache.wanting(mappings.all()), gate);
  const stop = followSettings({ settings, mappings, log, apply });
  cache.want(mappings.all());
  await cache.settled();
  const { versions: versions_max, message_parts } = options;
  const shared = { store, cache, puts, settings, mappings, log };
  const common = { ...shared, now, monotonic_ms, versions_max };
  const figures = () => figuresOf(parts, monotonic_ms);
  return {
    gate,
    admin: { ...common, work: checks.work, message_parts },
    checks: () => ({ schemas: { ok: true, since_ms, detail: detailOf(figures()) } }),
    status: () => {
      const { schemas, messages, tenant_mappings, refused } = figures();
      const config_mappings = options.mappings.length;
      return { schemas, messages, tenant_mappings, config_mappings, refused: refused.length };
    },
    follow: (changes) =>
      changes.follow(
        ["platform.registry.mappings"],
        (config: ConfigMappings) => {
          mappings.replace(config);
          apply();
        },
        ({ platform }) => mappings.compiling(platform.registry.mappings),
      ),
    close() {
      stop();
      sweep.close();
      puts.close();
      cache.close();
      loads.close();
      checks.close();
    },
  };
}

/** The detail of the health check. A missing schema refuses its own subjects only. */
function detailOf({ schemas, messages: { outdated, missing }, refused }: SchemaFigures): string {
  const trouble = [
    ...(missing === 0 ? [] : [`${plural(missing, "message")} without a schema`]),
    ...(outdated === 0 ? [] : [`${outdated} out of date`]),
    ...(refused.length === 0 ? [] : [refusedText(refused)]),
  ];
  return [plural(schemas, "schema"), ...trouble].join(", ");
}

/** The most refused puts that a detail names with their reasons. */
const SHOWN_MAX = 3;

function refusedText(refused: readonly RefusedPut[]): string {
  const shown = refused.slice(0, SHOWN_MAX).map(({ schema_id, problem }) =>
    `${schema_id}: ${problem.slice(0, 200)}`
  );
  const more = refused.length > SHOWN_MAX ? "; …" : "";
  return `${refused.length} refused in the bucket (${shown.join("; ")}${more})`;
}

interface Following extends Pick<Env, "log"> {
  readonly settings: Settings;
  readonly mappings: Mappings;
  /** Called when the mappings have changed. */
  readonly apply: () => void;
}

/** Puts tenants' mappings in force, now and whenever they change. All known ones come into force in one step. */
function followSettings({ settings, mappings, log, apply }: Following): () => void {
  let starting = true;
  const stop = settings.onChange((tenant_id, { mappings: wanted }) => {
    if (!starting && mappings.has(tenant_id, wanted)) return;
    const problem = mappings.set(tenant_id, wanted);
    if (problem !== undefined) {
      log.error("a tenant's mappings cannot be used", { error: problem, tenant_id });
    }
    if (!starting) apply();
  });
  for (const tenant_id of settings.tenants()) {
    const problem = settings.problem(tenant_id);
    // Former mappings are unknown, and their subjects must not pass unchecked.
    if (problem !== undefined && settings.get(tenant_id).version === 0) {
      mappings.refuse(tenant_id, "the tenant's settings cannot be read");
    }
  }
  starting = false;
  return stop;
}

/** Mappings in one piece: all tenants have up to 100,000. */
const A_PIECE = 512;

/** Puts changed mappings in force, a large number in slices; what changes meanwhile follows. */
function applying(put: () => Making<void>, gate: Gate): () => void {
  let is_running = false;
  let is_due = false;
  const run = async () => {
    is_running = true;
    try {
      while (is_due) {
        is_due = false;
        gate.forget();
        await inPieces(STRANGERS, put(), A_PIECE);
        gate.forget();
      }
    } finally {
      is_running = false;
    }
  };
  return () => {
    is_due = true;
    if (!is_running) void run();
  };
}
