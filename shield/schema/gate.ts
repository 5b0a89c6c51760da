/**
 * The schema step of the message path (docs/governance.md#contracts): an event on a mapped subject must be the message
 * that its mapping names. It answers from memory, and fails closed. `cache.ts` keeps schemas in memory;
 * `event_check.ts` checks an event.
 */
import { ArqonError, type ScannedEnvelope } from "@arqon/proto";
import type { SchemaMapping } from "../../shared/config/schema_governance.ts";
import type { Subject } from "../../shared/subjects/subject.ts";
import type { CandidateVerdicts, Note, SchemaRefusal, Schemas } from "../message/gates.ts";
import type { SchemaCache } from "./registry/cache.ts";
import { type DeadLetters, DLQ_PATH_HEADER, DLQ_REASON_HEADER } from "./dead_letters.ts";
import type { MappedMessage } from "./registry/entry.ts";
import { checkEvent, firstOf, violationText } from "./validation/event_check.ts";
import type { Mappings } from "./mappings.ts";
import type { MessageSchema, Validation } from "./validation/message_schema.ts";
import type { SchemaTotals } from "./metrics.ts";
import type { CompiledSchema, WorkingSet } from "./registry/working_set.ts";
import type { Logger } from "../../shared/logs/log.ts";
import { tenantLines } from "../../shared/logs/tenant_lines.ts";

/** The most subjects with a cached mapping; beyond that, the cache is cleared. */
const SUBJECTS_MAX = 65_536;
const RETRY_AFTER_MS = 1_000;

/** Why the schema is evicted and cannot be used. */
const PUT_AWAY = "it is evicted, and too many others are being restored";

/** The gate for the message path and filters. */
export interface SchemaGate extends Schemas {
  /** The schema of a subject's events; `none`: it has none, `missing`: it is not available. `subject` as in `check`. */
  schemaOf(subject: Subject, tenant_id: string): MessageSchema | "none" | "missing";
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
    const schema = this.#parts.working.use(compiled);
    if (schema === undefined) return this.#missing(question, mapping, PUT_AWAY);
    const { cache } = this.#parts.totals;
    if (message?.schema.isStale === true) cache.stale++;
    else cache.hit++;
    return this.#judge(question, mapping, { compiled, schema });
  }

  schemaOf(subject: Subject, tenant_id: string): MessageSchema | "none" | "missing" {
    const rule = this.#subjects.get(subject) ?? this.#find(subject, tenant_id);
    if (rule.kind === "none") return "none";
    const compiled = rule.kind === "mapped" ? rule.message?.compiled : undefined;
    return compiled === undefined ? "missing" : this.#parts.working.use(compiled) ?? "missing";
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
    if (found.total === 0) {
      if (found.unknown > 0 && mapping.unknown_fields === "warn") {
        this.#warn(question, mapping, found);
      }
      return undefined;
    }
    return this.#violated(question, mapping, compiled, found);
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
