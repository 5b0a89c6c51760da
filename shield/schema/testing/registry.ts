/** A schema check on an embedded Spine, with controls for tests. Tests only. */
import { type ArqonError, scanEnvelope, writeEnvelope } from "@arqon/proto";
import { Registry } from "prom-client";
import { configFrom } from "../../../shared/config/load.ts";
import type { SchemaMapping } from "../../../shared/config/schema_governance.ts";
import { keptLog } from "../../../shared/testing/logs.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import { roomSubject } from "../../../shared/subjects/subject.ts";
import type { CandidateVerdict } from "../../message/gates.ts";
import { LIMITS } from "../../message/testing/path.ts";
import { openSettings, type Settings } from "../../settings/settings.ts";
import { register } from "../registry/register.ts";
import { type StartedSchemas, startSchemas } from "../capability.ts";
import { SetWorker } from "../registry/set_work.ts";
import { openSchemaStore, type SchemaStore } from "../registry/store.ts";

/** The refusal of an event with that data; undefined if it passes. */
export function refusalOf(
  { schemas }: Pick<TestSchemas, "schemas">,
  data: Uint8Array,
  tenant = "acme",
  room_id = "lobby",
): ArqonError | undefined {
  const envelope = scanEnvelope(writeEnvelope({ room_id, event: { type: "ping", data } }), LIMITS);
  return schemas.gate.check(roomSubject("in", tenant, room_id), tenant, envelope)?.error;
}

/** The reason of the refusal. */
export const check = (t: TestSchemas, data: Uint8Array) => refusalOf(t, data)?.reason;

/** The options of a test. */
export interface TestSchemasOptions {
  readonly mappings?: readonly Partial<SchemaMapping>[];
  /** More keys of `[platform.registry]`. */
  readonly more?: Readonly<Record<string, unknown>>;
  readonly now?: () => number;
  readonly monotonic_ms?: () => number;
}

/** The reason of the refusal. */
export interface TestSchemas extends Disposable {
  readonly schemas: StartedSchemas;
  readonly settings: Settings;
  readonly store: SchemaStore;
  /** Every line logged so far. */
  readonly lines: readonly string[];
  /** The verdicts of mappings that only observe. */
  readonly verdicts: readonly CandidateVerdict[];
  /** Registers the next version, compatible or not. */
  push(schema_id: string, bytes: Uint8Array): Promise<void>;
  metric(line: string): Promise<number | undefined>;
}

/** A schema check of `in.t.acme.r.*` on `spine`, unless `options` say otherwise. */
export async function testSchemas(
  spine: Spine,
  options: TestSchemasOptions = {},
): Promise<TestSchemas> {
  const now = options.now ?? Date.now;
  const { log, lines } = keptLog({ level: "info", component: "registry", now });
  const registry = new Registry();
  const settings = await openSettings({ spine, log, registry, now });
  await settings.ready;
  const base = { subject: "in.t.acme.r.*", schema_id: "ping", message: "t.Ping" };
  const mappings = (options.mappings ?? [{}]).map((mapping) => ({ ...base, ...mapping }));
  const config = configFrom({ platform: { registry: { mappings, ...options.more } } });
  const random = (size_bytes: number) => crypto.getRandomValues(new Uint8Array(size_bytes));
  const verdicts: CandidateVerdict[] = [];
  const candidates = {
    record: (_: unknown, verdict: CandidateVerdict) => void verdicts.push(verdict),
  };
  const schemas = await startSchemas({
    config,
    spine,
    settings,
    candidates,
    log,
    registry,
    now,
    monotonic_ms: options.monotonic_ms ?? (() => performance.now()),
    random,
  });
  const store = await openSchemaStore(spine, config.platform.registry.kv_bucket);
  return {
    schemas,
    settings,
    store,
    lines,
    verdicts,
    async push(schema_id, bytes) {
      const request = { schema_id, bytes, by: "ops", now_ms: now(), versions_max: 1_000 };
      await register({ store, work: new SetWorker().work }, { ...request, compatibility: "NONE" });
    },
    async metric(line) {
      const text = await registry.metrics();
      const found = text.split("\n").find((one) => one.startsWith(`${line} `));
      return found === undefined ? undefined : Number(found.slice(line.length));
    },
    [Symbol.dispose]() {
      schemas.close();
      settings.close();
    },
  };
}
