/**
 * Checks recorded events against a candidate of a schema, with the code of a Shield: which would be refused, for which
 * field and rule, from whom, and at which position. Pure.
 */
import type { SchemaMapping } from "../../shared/config/schema_governance.ts";
import type { JournalRecord } from "../../shared/journal/record.ts";
import { SchemaError } from "../../shared/schema/schema_error.ts";
import { readDescriptorSet } from "../../shared/schema/descriptors/descriptor_set.ts";
import { roomSubject } from "../../shared/subjects/subject.ts";
import { checkEvent, firstOf, Mappings, violationText } from "../../shield/schema/gate.ts";
import { compileMessage } from "../../shield/schema/validation/message_schema.ts";
import type { MessageSchema, Validation } from "../../shield/schema/validation/message_schema.ts";
import { isSelected, type ReplaySelection } from "../replay/selection.ts";
import { addCounts, type Counts, countWithin } from "../replay/tally.ts";

/** An event as it was sent. */
export interface TrafficEvent {
  readonly room: string;
  /** The sender; null: erased. */
  readonly sender: string | null;
  /** Unix ms. */
  readonly time_ms: number;
  /** Its offset in the room's log; null: it has none. */
  readonly offset: number | null;
  /** The id of its journal record; null: it comes from the log. */
  readonly id: string | null;
  readonly content_type: string;
  /** The schema that it names; absent: none. */
  readonly schema_id?: string | undefined;
  readonly data: Uint8Array;
  /** Whether the schema of that time refused it. */
  readonly was_refused: boolean;
}

/** The candidate, and the mappings to it. */
export interface CandidateSchema {
  readonly tenant: string;
  /** The id under which it would be registered. */
  readonly schema_id: string;
  /** The gzipped descriptor set. */
  readonly set: Uint8Array;
  /** The tenant's mappings, or one for everything. */
  readonly mappings: readonly SchemaMapping[];
  /** Those of the bus's configuration; absent: none is known. */
  readonly general?: readonly SchemaMapping[];
}

/** One event that the candidate would refuse. */
export interface RefusedEvent extends Omit<TrafficEvent, "data" | "content_type" | "schema_id"> {
  readonly path: string;
  readonly rule: string;
  /** The sentence that its sender would receive. */
  readonly text: string;
}

/** The counts of a check, as plain data that threads can send. */
export type TrafficTally = ReturnType<typeof emptyTraffic>;

/** Most refused events that are listed, and most senders and rooms that are counted separately. */
const NAMED = 10_000;

/** An empty tally. */
function emptyTraffic() {
  return {
    checked: 0,
    refused: 0,
    /** Of these, events that the former schema refused, too; and events that only it refused. */
    refused_before: 0,
    allowed_now: 0,
    /** Events of rooms without a mapping to this schema. */
    unmapped: 0,
    /** Events whose payload the journal does not have. */
    no_payload: 0,
    /** Refusals by field and rule, by sender, and by room. */
    by_rule: new Map() as Counts,
    by_sender: new Map() as Counts,
    by_room: new Map() as Counts,
    events: [] as RefusedEvent[],
    /** Lines of a journal other than events; outside: of other tenants, rooms or times. */
    journal: {
      lines: 0,
      bad_lines: 0,
      first_bad: null as { readonly line: number; readonly problem: string } | null,
      answers: { open: 0, whole: 0 },
      holes: 0,
      outside: 0,
    },
  };
}

/** The counts of all threads; the earliest events come first. */
export function trafficOf(tallies: readonly TrafficTally[]): TrafficTally {
  const all = emptyTraffic();
  for (const from of tallies) {
    const { first_bad, ...journal } = from.journal;
    addCounts(all, { ...from, journal }, NAMED);
    all.events.push(...from.events.slice(0, NAMED - all.events.length));
    if (first_bad !== null && first_bad.line < (all.journal.first_bad?.line ?? Infinity)) {
      all.journal.first_bad = first_bad;
    }
  }
  all.events.sort((one, other) => one.time_ms - other.time_ms);
  return all;
}

/** A path without list indexes and map keys: a field has one name. */
const fieldOf = (path: string): string => path.replace(/\[[^\]]*\]/g, "[]");

/** The required type of a room's events. */
interface Rule {
  readonly mapping: SchemaMapping;
  /** Undefined: there is no set that has it. */
  readonly message: MessageSchema | undefined;
}

/** The mappings of a tenant and of the configuration with the sets of their schemas, as a Shield would have them. */
export class MappedRooms {
  readonly #tenant: string;
  readonly #mappings: Mappings;
  readonly #registries: ReadonlyMap<string, Parameters<typeof compileMessage>[0]>;
  readonly #messages = new Map<string, MessageSchema>();
  readonly #rooms = new Map<string, Rule | undefined>();

  /** Throws `SchemaError` when a set cannot be used. */
  constructor(
    { tenant, mappings, general = [] }: Pick<CandidateSchema, "tenant" | "mappings" | "general">,
    sets: ReadonlyMap<string, Uint8Array>,
  ) {
    this.#tenant = tenant;
    this.#mappings = new Mappings(general, { tenant_mappings: Infinity });
    const problem = this.#mappings.set(tenant, mappings);
    if (problem !== undefined) throw new TypeError(problem);
    const read = [...sets].map(([id, set]) => [id, readDescriptorSet(set).registry] as const);
    this.#registries = new Map(read);
  }

  /** Throws `SchemaError` when the schema's set lacks the message. */
  messageOf({ schema_id, message }: SchemaMapping): MessageSchema | undefined {
    const registry = this.#registries.get(schema_id);
    if (registry === undefined) return undefined;
    const key = `${schema_id} ${message}`;
    const known = this.#messages.get(key) ?? compileMessage(registry, message);
    this.#messages.set(key, known);
    return known;
  }

  /** The rule of a room's events; undefined: nothing is required of them. */
  ruleOf(room: string): Rule | undefined {
    if (this.#rooms.has(room)) return this.#rooms.get(room);
    const found = this.#mappings.find(roomSubject("in", this.#tenant, room), this.#tenant);
    const mapping = found === undefined || "problem" in found ? undefined : found.mapping;
    const rule = mapping && { mapping, message: this.#tried(mapping) };
    if (this.#rooms.size >= NAMED) this.#rooms.clear();
    this.#rooms.set(room, rule);
    return rule;
  }

  #tried(mapping: SchemaMapping): MessageSchema | undefined {
    try {
      return this.messageOf(mapping);
    } catch (error) {
      if (error instanceof SchemaError) return undefined;
      throw error;
    }
  }
}

function violations(
  mapping: SchemaMapping,
  message: MessageSchema,
  { content_type, schema_id = "", data }: Pick<TrafficEvent, "content_type" | "schema_id" | "data">,
): Validation {
  const scanned = { type: "", content_type, schema_id, data_start: 0, data_end: data.length };
  return checkEvent(mapping, message, scanned, data);
}

/** Whether a Shield would refuse a record's operation, whatever was decided then; undefined: it has no payload. */
export function refusedBy(rooms: MappedRooms, record: JournalRecord): string | false | undefined {
  const { hook, room, content_type, schema_id, payload, is_command } = record;
  if (hook !== "on_message" || is_command === true || payload.form === "none") return false;
  const rule = rooms.ruleOf(room);
  if (rule === undefined || rule.mapping.mode === "observe") return false;
  const { mapping, message } = rule;
  if (message === undefined) return mapping.schema_id;
  if (payload.form !== "kept") return undefined;
  const event = { content_type, schema_id, data: Uint8Array.fromBase64(payload.data) };
  return violations(mapping, message, event).total > 0 && mapping.schema_id;
}

/** A running check. */
export class SchemaChecker {
  readonly tally: TrafficTally = emptyTraffic();
  readonly #schema_id: string;
  readonly #rooms: MappedRooms;

  /** Throws `SchemaError` when the set cannot be used or lacks a message that the tenant maps. */
  constructor(candidate: CandidateSchema) {
    const { schema_id, set, mappings } = candidate;
    this.#schema_id = schema_id;
    this.#rooms = new MappedRooms(candidate, new Map([[schema_id, set]]));
    for (const one of mappings) this.#rooms.messageOf(one);
  }

  /** Checks the event of a journal's record, if it is selected and has one. */
  take(record: JournalRecord, selection: Omit<ReplaySelection, "policy">): void {
    if (!isSelected(record, selection)) return void this.tally.journal.outside++;
    const event = eventOf(record);
    if (event === "no-payload") this.tally.no_payload++;
    else if (event !== "no-event") this.check(event);
  }

  check(event: TrafficEvent): void {
    const { tally } = this;
    const { room, sender } = event;
    const { mapping, message } = this.#rooms.ruleOf(room) ?? {};
    const is_own = mapping?.schema_id === this.#schema_id;
    if (!is_own || message === undefined) return void tally.unmapped++;
    tally.checked++;
    const found = violations(mapping, message, event);
    if (found.total === 0) return void (tally.allowed_now += Number(event.was_refused));
    tally.refused++;
    tally.refused_before += Number(event.was_refused);
    const first = firstOf(found);
    countWithin(NAMED, tally.by_rule, `${fieldOf(first.path) || "(message)"}: ${first.rule}`);
    countWithin(NAMED, tally.by_sender, sender ?? "(erased)");
    countWithin(NAMED, tally.by_room, room);
    if (tally.events.length >= NAMED) return;
    const { time_ms, offset, id, was_refused } = event;
    const about = { room, sender, time_ms, offset, id, was_refused };
    tally.events.push({ ...about, path: first.path, rule: first.rule, text: violationText(found) });
  }
}

/** The event of a record that reached the schema check, or why there is none to check. */
function eventOf(record: JournalRecord): TrafficEvent | "no-event" | "no-payload" {
  const { hook, payload, room, time_ms, offset, id, content_type, schema_id, sender } = record;
  const was_refused = record.reason === "schema-violation";
  const is_judged = record.allowed || was_refused;
  if (hook !== "on_message" || !is_judged || record.is_command === true) return "no-event";
  if (payload.form !== "kept") return payload.form === "none" ? "no-event" : "no-payload";
  const user = sender?.user ?? null;
  const about = { room, sender: user, time_ms, offset, id, content_type, schema_id };
  return { ...about, was_refused, data: Uint8Array.fromBase64(payload.data) };
}
