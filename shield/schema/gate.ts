/**
 * The schema step of the message path (docs/governance.md#contracts): an event on a mapped subject must be the message
 * that its mapping names. It answers from memory, and fails closed. `cache.ts` keeps schemas in memory.
 */
import { ArqonError, type ScannedEnvelope, type ScannedEvent } from "@arqon/proto";
import type { SchemaMapping } from "../../shared/config/schema_governance.ts";
import {
  deadLetterSubject,
  parseRoomSubject,
  type Subject,
} from "../../shared/subjects/subject.ts";
import type { CandidateVerdicts, Note, SchemaRefusal, Schemas } from "../message/gates.ts";
import type { MappedMessage, SchemaCache, Wanted } from "./registry/cache.ts";
import { essenceOf, formOf } from "./validation/message_schema.ts";
import type { MessageSchema, Validation, Violation } from "./validation/message_schema.ts";
import type { SchemaTotals } from "./metrics.ts";
import type { CompiledSchema, WorkingSet } from "./registry/working_set.ts";
import type { Logger } from "../../shared/logs/log.ts";
import { tenantLines } from "../../shared/logs/tenant_lines.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import {
  compilePatterns,
  compilingPatterns,
  moreSpecific,
} from "../../shared/subjects/subject_pattern.ts";
import type { PatternTable } from "../../shared/subjects/subject_pattern.ts";
import { FairBound } from "../../shared/turns/fair_bound.ts";
import { makeAtOnce, type Making } from "../../shared/turns/making.ts";

/** The most subjects with a cached mapping; beyond that, the cache is cleared. */
const SUBJECTS_MAX = 65_536;
const RETRY_AFTER_MS = 1_000;

/** Why the schema is evicted and cannot be used. */
const PUT_AWAY = "it is evicted, and too many others are being restored";

/** The gate for the message path and filters. */
export interface SchemaGate extends Schemas {
  /** The schema of a subject's events; `none`: it has none, `missing`: it is not there, or an event `named` another. */
  schemaOf(subject: Subject, tenant_id: string, named?: string): MessageSchema | "none" | "missing";
}

interface GateParts {
  readonly mappings: Mappings;
  readonly cache: SchemaCache;
  readonly working: WorkingSet;
  readonly totals: SchemaTotals;
  readonly log: ViolationLog;
  readonly dead_letters: DeadLetters;
  readonly candidates: CandidateVerdicts;
}

type Rule =
  | { readonly kind: "none" }
  | { readonly kind: "unknown"; readonly problem: string }
  | {
    readonly kind: "mapped";
    readonly mapping: SchemaMapping;
    readonly message: MappedMessage | undefined;
  };

const NONE: Rule = Object.freeze({ kind: "none" });

interface Question {
  readonly tenant_id: string;
  readonly envelope: ScannedEnvelope;
  readonly note: Note | undefined;
}

/** The gate. Call `forget` after every change of the mappings or of the cache. */
export class Gate implements SchemaGate {
  readonly #parts: GateParts;
  readonly #subjects = new Map<string, Rule>();
  steps = 0;
  work = 0;

  constructor(parts: GateParts) {
    this.#parts = parts;
  }

  /** Clears the cached subjects, since mappings have changed. */
  forget(): void {
    this.#subjects.clear();
  }

  get isEmpty(): boolean {
    return this.#parts.mappings.isEmpty;
  }

  check(
    subject: Subject,
    tenant_id: string,
    envelope: ScannedEnvelope,
    note?: Note,
  ): SchemaRefusal | undefined {
    const rule = this.#subjects.get(subject) ?? this.#find(subject, tenant_id);
    if (rule.kind === "none" || envelope.event === undefined) return undefined;
    if (rule.kind === "unknown") return this.#unavailable(rule.problem);
    const { mapping, message } = rule;
    const compiled = message?.compiled;
    const question = { tenant_id, envelope, note };
    if (compiled === undefined) {
      const why = message?.problem ?? "this node holds no more schemas";
      return this.#missing(question, mapping, why);
    }
    const schema = this.#parts.working.use(compiled, tenant_id);
    if (schema === undefined) return this.#missing(question, mapping, PUT_AWAY);
    const { cache } = this.#parts.totals;
    if (message?.schema.isStale === true) cache.stale++;
    else cache.hit++;
    return this.#judge(question, mapping, { compiled, schema });
  }

  schemaOf(subject: Subject, tenant_id: string, named = ""): MessageSchema | "none" | "missing" {
    const rule = this.#subjects.get(subject) ?? this.#find(subject, tenant_id);
    if (rule.kind === "none") return "none";
    if (rule.kind === "mapped" && namesAnother(named, rule.mapping)) return "missing";
    const compiled = rule.kind === "mapped" ? rule.message?.compiled : undefined;
    return compiled === undefined
      ? "missing"
      : this.#parts.working.use(compiled, tenant_id) ?? "missing";
  }

  keep(subject: Subject, routed: Uint8Array, { error }: SchemaRefusal): void {
    this.#parts.dead_letters.send(subject, routed, error.reason);
  }

  #find(subject: string, tenant_id: string): Rule {
    const { mappings, cache } = this.#parts;
    const found = mappings.find(subject, tenant_id);
    const rule: Rule = found === undefined
      ? NONE
      : "problem" in found
      ? { kind: "unknown", problem: found.problem }
      : {
        kind: "mapped",
        mapping: found.mapping,
        message: cache.get(found.mapping.schema_id, found.mapping.message),
      };
    if (this.#subjects.size >= SUBJECTS_MAX) this.#subjects.clear();
    this.#subjects.set(subject, rule);
    return rule;
  }

  #unavailable(detail: string): SchemaRefusal {
    this.#parts.totals.cache.miss++;
    const error = new ArqonError("schema-unavailable", detail, { retry_after_ms: RETRY_AFTER_MS });
    return { error, dead_letter: undefined };
  }

  /** The refusal for a missing schema; none for a mapping that never refuses. */
  #missing(
    { tenant_id, envelope }: Question,
    mapping: SchemaMapping,
    why: string,
  ): SchemaRefusal | undefined {
    const { schema_id, mode } = mapping;
    const refusal = this.#unavailable(`${schema_id}: ${why}`);
    this.#parts.log("a mapped subject has no schema", why, tenant_id, {
      schema: schema_id,
      message: mapping.message,
      mode,
      room: envelope.room_id,
    });
    return mode === "observe" ? undefined : refusal;
  }

  #judge(
    question: Question,
    mapping: SchemaMapping,
    { compiled, schema }: { readonly compiled: CompiledSchema; readonly schema: MessageSchema },
  ): SchemaRefusal | undefined {
    const { tenant_id, envelope } = question;
    const { event } = envelope;
    if (event === undefined) return undefined;
    const { rule_steps: before, work } = schema;
    const found = checkEvent(mapping, schema, event, envelope.bytes);
    this.steps += 1 + Math.ceil(schema.rule_steps - before);
    this.work += schema.work - work;
    const { schema_id, mode } = mapping;
    const violation = found.total === 0 ? undefined : firstOf(found);
    question.note?.checked(schema_id, compiled.version, violation);
    if (mode === "observe") {
      const candidate = `schema:${schema_id}`;
      const refuse = found.total > 0;
      const reason = violationText(found);
      this.#parts.candidates.record(envelope, { tenant_id, candidate, refuse, reason });
    }
    if (found.total > 0) return this.#violated(question, mapping, compiled, found);
    if (found.unknown > 0 && mapping.unknown_fields === "warn") {
      this.#warn(question, mapping, found);
    }
    return undefined;
  }

  #warn({ tenant_id, envelope }: Question, { schema_id }: SchemaMapping, found: Validation): void {
    const { totals, log } = this.#parts;
    totals.unknown(schema_id, found.unknown);
    const [path = ""] = found.unknown_paths;
    const more = found.unknown > 1 ? ` (1 of ${found.unknown})` : "";
    log("an event has fields outside its schema", `${path}: unknown-field${more}`, tenant_id, {
      schema: schema_id,
      room: envelope.room_id,
    });
  }

  #violated(
    { tenant_id, envelope }: Question,
    { schema_id, mode }: SchemaMapping,
    { version }: CompiledSchema,
    found: Validation,
  ): SchemaRefusal | undefined {
    const { totals, log } = this.#parts;
    const { path, rule } = firstOf(found);
    const text = violationText(found);
    totals.violated(schema_id, rule);
    totals.tenants.add(tenant_id);
    log("an event violates its schema", text, tenant_id, {
      schema: schema_id,
      version,
      rule,
      mode,
      room: envelope.room_id,
    });
    if (mode === "observe") return undefined;
    const error = new ArqonError("schema-violation", text);
    const dead_letter = mode === "dead-letter"
      ? [[DLQ_REASON_HEADER, error.message], [DLQ_PATH_HEADER, path]] as const
      : undefined;
    return { error, dead_letter };
  }
}

/** The most lines of one tenant that reach the log in a second. */
export const LINES_PER_SECOND = 10;

/** Writes a line about an event of the tenant. */
export type ViolationLog = (
  msg: string,
  error: string,
  tenant_id: string,
  fields: Readonly<Record<string, unknown>>,
) => void;

/** Makes a writer. `log` is of component `registry`, `now` in Unix ms. */
export function createViolationLog(log: Logger, now: () => number): ViolationLog {
  const choose = tenantLines(LINES_PER_SECOND, now);
  return (msg, error, tenant_id, fields) => {
    const choice = choose(tenant_id);
    if (choice === "written") log.warn(msg, { error, tenant_id, ...fields });
    else if (choice === "last") {
      const more = "more events of the tenant violate schemas; lines were dropped";
      log.warn(more, { error: "too many lines", tenant_id });
    }
  };
}

// A copy of a refused event that cannot be sent is counted and dropped, and never delays the sender's answer.

/** The header of the envelope that says why it was refused. */
const DLQ_REASON_HEADER = "x-arqon-dlq-reason";
/** The header with the path of the field; empty when the refusal is about the event itself. */
const DLQ_PATH_HEADER = "x-arqon-dlq-path";
/** The header beside the envelope: the reason of the refusal, as in `docs/errors.md`. */
const DLQ_SPINE_HEADER = "x-arqon-reason";

interface DeadLettersOptions {
  readonly spine: Pick<Spine, "publish" | "flush">;
  readonly totals: Pick<SchemaTotals, "dead_letters">;
  /** The unconfirmed bytes; above its share, a tenant's copies are dropped. */
  readonly pending: FairBound;
}

/** Sends copies of refused events. */
export class DeadLetters {
  readonly #options: DeadLettersOptions;

  constructor(options: DeadLettersOptions) {
    this.#options = options;
  }

  /** Sends a copy; `envelope` is the routed form. Never throws, never waits. */
  send(subject: Subject, envelope: Uint8Array, reason: string): void {
    const { spine, pending, totals: { dead_letters } } = this.#options;
    const size = envelope.length;
    const tenant_id = parseRoomSubject(subject)?.tenantId ?? "";
    if (!pending.take(tenant_id, size)) return void dead_letters.full++;
    try {
      spine.publish(deadLetterSubject(subject), envelope, { [DLQ_SPINE_HEADER]: reason });
    } catch {
      dead_letters.failed++;
      return pending.add(tenant_id, -size);
    }
    spine.flush().then(
      () => void dead_letters.sent++,
      () => void dead_letters.failed++,
    ).finally(() => pending.add(tenant_id, -size));
  }
}

/** The longest path and the longest message in a refusal, in UTF-16 units. */
const PATH_UNITS = 256;
const MESSAGE_UNITS = 256;

function only(rule: string, message: string): Validation {
  return { violations: [{ path: "", rule, message }], total: 1, unknown: 0, unknown_paths: [] };
}

const BLANK: ReadonlySet<number> = new Set([0x20, 0x09, 0x0a, 0x0d]);

/** Whether bytes begin and end as a JSON object or array does. */
function looksLikeJson(data: Uint8Array): boolean {
  const isText = (byte: number) => !BLANK.has(byte);
  const first = data.find(isText);
  const last = data.findLast(isText);
  return (first === 0x7b && last === 0x7d) || (first === 0x5b && last === 0x5d);
}

const namesAnother = (named: string, { schema_id }: SchemaMapping) =>
  named !== "" && named !== schema_id;

/** Checks an event; the result has no violations if the event is valid. */
export function checkEvent(
  mapping: SchemaMapping,
  schema: MessageSchema,
  event: Readonly<ScannedEvent>,
  bytes: ScannedEnvelope["bytes"],
): Validation {
  if (namesAnother(event.schema_id, mapping)) {
    const named = JSON.stringify(event.schema_id);
    return only(
      "schema-id",
      `the event names ${named}, but its subject is mapped to ${mapping.schema_id}`,
    );
  }
  const data = bytes.subarray(event.data_start, event.data_end);
  const type = essenceOf(event.content_type);
  const form = formOf(event.content_type);
  if (form === "binary") {
    const found = schema.validate(data, mapping);
    if (found.total === 0 || !looksLikeJson(data)) return found;
    const named = type === "" ? "none" : type;
    return only("content-type", `the data is JSON, but its content type ${named} is binary`);
  }
  if (form === undefined) {
    const named = JSON.stringify(event.content_type.slice(0, 100));
    return only(
      "content-type",
      `${named} cannot be checked; expected application/json or application/protobuf`,
    );
  }
  return schema.validateJson(data, mapping);
}

const clip = (text: string, units: number) =>
  text.length <= units ? text : `${text.slice(0, units - 1)}…`;

/** The sentence for violations, bounded: `entity[2].vehicle.position.latitude: required (1 of 3)`. */
export function violationText({ violations, total }: Validation): string {
  const [first] = violations;
  if (first === undefined) return "";
  const { path, rule, message } = first;
  const where = path === "" ? "" : `${clip(path, PATH_UNITS)}: `;
  // The path alone explains the violation.
  const is_plain = message === "" || rule === "required";
  const why = is_plain ? "" : `: ${clip(message, MESSAGE_UNITS)}`;
  return `${where}${rule}${why}${total > 1 ? ` (1 of ${total})` : ""}`;
}

/** The first violation. */
export function firstOf({ violations }: Validation): Violation {
  return violations[0] ?? { path: "", rule: "other", message: "" };
}

// The most specific pattern of a mapping wins, and of two equal ones the tenant's.

/** A mapping and where it comes from. */
interface Bound {
  readonly mapping: SchemaMapping;
  readonly source: "config" | "tenant";
}

/** The configuration's mappings, compiled. */
export interface ConfigMappings {
  readonly mappings: readonly SchemaMapping[];
  readonly table: PatternTable<Bound>;
}

/** One tenant's own table, or a problem if its mappings cannot be used and none were in force before. */
type Table = PatternTable<Bound> | { readonly problem: string };

interface MappingLimits {
  /** The run-time mappings that tenants share. */
  readonly tenant_mappings: number;
}

/** The mappings in force. */
export class Mappings {
  #config: ConfigMappings;
  readonly #counts: FairBound;
  readonly #tenants = new Map<string, Table>();
  readonly #own = new Map<string, readonly SchemaMapping[]>();

  /** Compiles the configuration's mappings. Throws TypeError if one of their subjects is not a pattern. */
  constructor(config: readonly SchemaMapping[], { tenant_mappings }: MappingLimits) {
    this.#config = makeAtOnce(this.compiling(config));
    this.#counts = new FairBound(tenant_mappings);
  }

  /** Compiles the configuration's mappings for `replace`. Throws as the constructor does. */
  *compiling(mappings: readonly SchemaMapping[]): Making<ConfigMappings> {
    return { mappings, table: yield* compilingPatterns(entriesOf(mappings, "config")) };
  }

  /** Replaces the configuration's mappings, for every tenant. */
  replace(config: ConfigMappings): void {
    this.#config = config;
  }

  /** The number of run-time mappings in force. */
  get tenant_mappings(): number {
    return this.#counts.total;
  }

  /** True if no subject of any tenant is mapped. */
  get isEmpty(): boolean {
    return this.#config.mappings.length === 0 && this.#tenants.size === 0;
  }

  /**
   * Throws `settings-conflict` for more mappings than the tenant may have beside those of others. Only who changes them
   * asks: stored ones are in force on every Shield, in whichever order they are read.
   */
  requireRoom(tenant_id: string, mappings: readonly SchemaMapping[]): void {
    const more = mappings.length - this.#counts.of(tenant_id);
    if (more <= 0 || this.#counts.hasRoom(tenant_id, more)) return;
    const detail = `${mappings.length} mappings are above the tenant's share of tenant_mappings`;
    throw new ArqonError("settings-conflict", detail);
  }

  /**
   * Puts a tenant's mappings in force, all at once. If they cannot be used, returns why, and the former ones stay;
   * without former ones, every subject of the tenant is refused.
   */
  set(tenant_id: string, mappings: readonly SchemaMapping[]): string | undefined {
    const before = this.#own.get(tenant_id);
    const table = tableOf(mappings);
    if ("problem" in table) {
      if (before === undefined) this.#tenants.set(tenant_id, table);
      return table.problem;
    }
    this.#counts.add(tenant_id, mappings.length - this.#counts.of(tenant_id));
    if (mappings.length === 0) {
      this.#own.delete(tenant_id);
      this.#tenants.delete(tenant_id);
    } else {
      this.#own.set(tenant_id, mappings);
      this.#tenants.set(tenant_id, table);
    }
    return undefined;
  }

  has(tenant_id: string, mappings: readonly SchemaMapping[]): boolean {
    const own = this.#tenants.get(tenant_id);
    if (own !== undefined && "problem" in own) return false;
    return JSON.stringify(this.#own.get(tenant_id) ?? []) === JSON.stringify(mappings);
  }

  /** Refuses every subject of a tenant until `set`, since its mappings are unknown. */
  refuse(tenant_id: string, problem: string): void {
    this.#tenants.set(tenant_id, { problem });
  }

  /** The mapping of `in.t.T.r.R` of that tenant, or why it cannot be determined. */
  find(subject: string, tenant_id: string): Bound | { readonly problem: string } | undefined {
    const own = this.#tenants.get(tenant_id);
    if (own !== undefined && "problem" in own) return own;
    return moreSpecific(this.#config.table.match(subject), own?.match(subject))?.value;
  }

  /** All mappings in force, each with its tenant, the configuration's first. */
  *all(): Iterable<SchemaMapping & Wanted> {
    for (const mapping of this.#config.mappings) yield { ...mapping, tenant_id: "" };
    for (const [tenant_id, mappings] of this.#own) {
      for (const mapping of mappings) yield { ...mapping, tenant_id };
    }
  }

  messagesOf(schema_id: string): ReadonlySet<string> {
    const mapped = new Set<string>();
    for (const one of this.all()) if (one.schema_id === schema_id) mapped.add(one.message);
    return mapped;
  }
}

function tableOf(mappings: readonly SchemaMapping[]): Table {
  try {
    return compilePatterns(entriesOf(mappings, "tenant"));
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

function entriesOf(
  mappings: readonly SchemaMapping[],
  source: Bound["source"],
): (readonly [string, Bound])[] {
  return mappings.map((mapping) => [mapping.subject, { mapping, source }] as const);
}
