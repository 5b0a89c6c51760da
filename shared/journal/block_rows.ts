/**
 * The layout of one decision in a block: columns for what identifies nobody; the sender's section for everything that
 * identifies somebody, or that a user or policy wrote. Erasing the key erases the section. `block.ts` has the block.
 * Pure.
 */
import {
  BlockWriter,
  DamagedBlock,
  TextList,
  TextTable,
  whole,
  writeId,
  writeTwist,
} from "./block_bytes.ts";
import type { BlockReader } from "./block_bytes.ts";
import { Terms } from "./record.ts";
import type { EntryPayload, JournalEntry, JournalRecord, PolicyRecord } from "./record.ts";
import type { z } from "zod";
import { problemText } from "../problem.ts";

/** Hooks, by their number in a block. */
export const HOOKS = ["on_connect", "on_subscribe", "on_message"] as const;
/** Forms of payloads, by number. */
export const FORMS = ["none", "kept", "reference", "hash"] as const;
/** Sources of inputs, by number. */
export const FROM = ["header", "claim", "state"] as const;

/** The columns, by number; each is compressed on its own. */
export const COLUMNS = {
  time: 0,
  user: 1,
  shape: 2,
  place: 3,
  offset: 4,
  refusal: 5,
  schema: 6,
  chain: 7,
  policy: 8,
  units: 9,
  names: 10,
  terms: 11,
} as const;

/** The number of columns in a block. */
export const COLUMN_COUNT = Object.keys(COLUMNS).length;

/** The bits of a decision's shape, above two each for its hook and the form of its payload. */
export const SHAPE = {
  allowed: 16,
  offset: 32,
  schema: 64,
  chain: 128,
  signed: 256,
  command: 512,
} as const;
/** The bits of a policy's shape. */
export const POLICY_SHAPE = {
  allowed: 1,
  observes: 2,
  v2: 4,
  read_payload: 8,
  fault: 16,
  payload: 32,
  lists: 64,
  payload_missing: 128,
} as const;

/** The columns of a block being written. */
export class RowWriter {
  readonly columns: readonly BlockWriter[];
  readonly #texts = new TextTable();
  readonly #terms = new TermsWriter();
  readonly #offsets = new Map<string, number>();
  #time_ms = 0;
  #chain_version = 0;

  constructor() {
    this.columns = Array.from({ length: COLUMN_COUNT }, () => new BlockWriter());
  }

  /** Bytes of the columns. */
  get length(): number {
    let sum = 0;
    for (const { length } of this.columns) sum += length;
    return sum;
  }

  /** Starts a part that `rollback` undoes. */
  mark(): void {
    for (const column of this.columns) column.mark();
    this.#texts.mark();
    this.#terms.mark();
  }

  rollback(): void {
    for (const column of this.columns) column.rollback();
    this.#texts.rollback();
    this.#terms.rollback();
  }

  /**
   * Adds a decision of the user with this number in the block. Throws RangeError for values that no reader would
   * accept; the caller must then `rollback`.
   */
  write(entry: JournalEntry, user: number): void {
    const { time_ms, schema, chain_version, offset } = entry;
    this.#at("time").difference(whole(time_ms, "time_ms") - this.#time_ms);
    this.#at("user").count(user);
    const flags = (entry.allowed ? SHAPE.allowed : 0) | (offset === null ? 0 : SHAPE.offset) |
      (schema === null ? 0 : SHAPE.schema) | (chain_version === null ? 0 : SHAPE.chain) |
      (entry.is_signed === true ? SHAPE.signed : 0) |
      (entry.is_command === true ? SHAPE.command : 0);
    this.#at("shape").count(
      HOOKS.indexOf(entry.hook) | (FORMS.indexOf(entry.payload.form) << 2) | flags,
    );
    const place = this.#at("place");
    this.#texts.write(place, entry.room);
    this.#texts.write(place, entry.type);
    this.#texts.write(place, entry.content_type);
    if (offset !== null) {
      const before = this.#offsets.get(entry.room) ?? 0;
      this.#at("offset").difference(whole(offset, "offset") - before);
    }
    if (entry.payload.form === "reference" || entry.payload.form === "hash") {
      this.#at("offset").count(entry.payload.bytes, "payload.bytes");
    }
    if (!entry.allowed) {
      this.#at("refusal").count(entry.code, "code");
      this.#texts.write(this.#at("refusal"), entry.reason);
    }
    if (schema !== null) this.#schema(schema);
    this.#terms.write(this.#at("terms"), entry.terms);
    if (chain_version !== null) {
      this.#at("chain").difference(whole(chain_version, "chain_version") - this.#chain_version);
      this.#at("policy").count(entry.policies.length);
      for (const policy of entry.policies) this.#policy(policy);
    }
    // Nothing throws from here on, so the next decision follows this one.
    this.#time_ms = time_ms;
    this.#chain_version = chain_version ?? this.#chain_version;
    if (offset !== null) this.#offsets.set(entry.room, offset);
  }

  #at(column: keyof typeof COLUMNS): BlockWriter {
    return this.columns[COLUMNS[column]]!;
  }

  #schema({ id, version, violation }: NonNullable<JournalRecord["schema"]>): void {
    const to = this.#at("schema");
    this.#texts.write(to, id);
    to.count(version, "schema.version");
    to.byte(violation === null ? 0 : 1);
    if (violation === null) return;
    this.#texts.write(to, violation.rule);
  }

  #policy(policy: Readonly<PolicyRecord>): void {
    const to = this.#at("policy");
    const { reads, writes, added_headers, logs } = policy;
    const has_lists = reads.length + writes.length + added_headers.length + logs.length > 0;
    this.#texts.write(to, policy.name);
    this.#texts.write(to, policy.module);
    to.byte(shapeOf(policy, has_lists));
    if (!policy.allowed) to.count(policy.code, "policies.code");
    if (policy.fault !== null) this.#texts.write(to, policy.fault);
    to.count(policy.budget_units, "policies.budget_units");
    this.#at("units").count(policy.units, "policies.units");
    this.#at("units").count(policy.asking_bytes, "policies.asking_bytes");
    if (!has_lists) return;
    const names = this.#at("names");
    names.count(reads.length);
    for (const { from, name } of reads) {
      names.byte(FROM.indexOf(from));
      this.#texts.write(names, name);
    }
    names.count(writes.length);
    for (const { name } of writes) this.#texts.write(names, name);
    names.count(added_headers.length);
    names.count(logs.length);
  }
}

function shapeOf(policy: Readonly<PolicyRecord>, has_lists: boolean): number {
  const { allowed, observes, v2, read_payload, fault, payload, lists, payload_missing } =
    POLICY_SHAPE;
  return (policy.allowed ? allowed : 0) | (policy.mode === "observe" ? observes : 0) |
    (policy.abi === 2 ? v2 : 0) | (policy.has_read_payload ? read_payload : 0) |
    (policy.fault === null ? 0 : fault) | (policy.payload === null ? 0 : payload) |
    (has_lists ? lists : 0) | (policy.is_payload_missing === true ? payload_missing : 0);
}

/** One user's section of a block being written: the user, and what was sent. */
export class SectionWriter {
  readonly bytes: BlockWriter = new BlockWriter(256);
  readonly #texts = new TextTable();
  #expires_ms = 0;
  #marked_ms = 0;

  constructor(user: string) {
    this.bytes.text(user);
  }

  /** Starts a part that `rollback` undoes. */
  mark(): void {
    this.bytes.mark();
    this.#texts.mark();
    this.#marked_ms = this.#expires_ms;
  }

  rollback(): void {
    this.bytes.rollback();
    this.#texts.rollback();
    this.#expires_ms = this.#marked_ms;
  }

  /** Adds what identifies a decision's sender, and what sender and policies wrote. */
  write(entry: JournalEntry): void {
    const to = this.bytes;
    this.#texts.write(to, entry.sender.connection);
    this.#texts.write(to, entry.sender.remote_ip);
    writeId(to, entry.trace);
    if (entry.twist === undefined) writeId(to, entry.message_id);
    else writeTwist(to, entry.twist);
    if (entry.terms !== undefined) this.#own(entry.terms);
    if (!entry.allowed) this.#texts.write(to, entry.message);
    const violation = entry.schema?.violation ?? null;
    if (violation !== null) {
      // The path has the keys of a map, and unknown members, as the sender wrote them.
      this.#texts.write(to, violation.path);
      this.#texts.write(to, violation.message);
    }
    writePayload(to, entry.payload);
    for (const policy of entry.policies) this.#policy(policy);
  }

  #own({ expires_ms, grant }: Readonly<Terms>): void {
    const ends_ms = whole(expires_ms ?? 0, "terms.expires_ms");
    this.bytes.difference(ends_ms - this.#expires_ms);
    this.#expires_ms = ends_ms;
    this.#texts.write(this.bytes, grant ?? "");
  }

  #policy(policy: Readonly<PolicyRecord>): void {
    const to = this.bytes;
    if (!policy.allowed) this.#texts.write(to, policy.reason);
    if (policy.fault !== null) this.#texts.write(to, policy.detail);
    if (policy.payload !== null) to.bytes(Uint8Array.fromBase64(policy.payload));
    for (const { value, key, from } of policy.reads) {
      this.#value(value);
      if (from === "state") this.#value(key ?? null);
    }
    for (const { value } of policy.writes) this.#value(value);
    for (const [name, value] of policy.added_headers) {
      this.#texts.write(to, name);
      this.#texts.write(to, value);
    }
    for (const { level, message } of policy.logs) {
      to.byte(level, "policies.logs.level");
      this.#texts.write(to, message);
    }
  }

  #value(value: string | null): void {
    this.bytes.byte(value === null ? 0 : 1);
    if (value !== null) this.#texts.write(this.bytes, value);
  }
}

function writePayload(to: BlockWriter, payload: EntryPayload): void {
  if (payload.form === "kept") to.bytes(payload.data);
  else if (payload.form === "hash") to.raw(Uint8Array.fromHex(payload.sha256));
}

/** The parts that many decisions share, in column order. */
const Shared = {
  credential: Terms.shape.credential,
  limits: Terms.shape.limits,
  room_class: Terms.shape.room_class,
  mirror: Terms.shape.mirror,
};
/** The terms in the column: all but the sender's own. */
export type SharedTerms = z.output<z.ZodObject<typeof Shared>>;

const PARTS = Object.keys(Shared) as readonly (keyof SharedTerms)[];

/** Empty, and the mark of a decision without terms. */
const NONE = "";

/** The column of terms being written. A part is the same object as long as its content is. */
class TermsWriter {
  readonly #texts = new TextTable();
  /** The text of each part; parts repeat. */
  readonly #json = new WeakMap<object, string>();

  /** Starts a part that `rollback` undoes. */
  mark(): void {
    this.#texts.mark();
  }

  rollback(): void {
    this.#texts.rollback();
  }

  /** Throws RangeError for a part that no reader would accept. */
  write(to: BlockWriter, terms: Readonly<Terms> | undefined): void {
    if (terms === undefined) return this.#texts.write(to, NONE);
    for (const name of PARTS) this.#texts.write(to, this.#textOf(name, terms[name]));
  }

  #textOf(name: keyof SharedTerms, part: object | null): string {
    if (part === null) return NONE;
    const known = this.#json.get(part);
    if (known !== undefined) return known;
    const { error } = Shared[name].safeParse(part);
    if (error !== undefined) throw new RangeError(`terms.${name}.${problemText(error)}`);
    const text = JSON.stringify(part);
    this.#json.set(part, text);
    return text;
  }
}

/** The column of terms being read. */
export class TermsReader {
  readonly #texts = new TextList();
  readonly #parts = new Map<string, unknown>();

  /** The terms of the next decision; undefined: none. Throws DamagedBlock. */
  read(from: BlockReader): SharedTerms | undefined {
    const text = this.#texts.read(from);
    if (text === NONE) return undefined;
    return {
      credential: this.#part(Shared.credential, text),
      limits: this.#part(Shared.limits, this.#texts.read(from)),
      room_class: this.#part(Shared.room_class, this.#texts.read(from)),
      mirror: this.#part(Shared.mirror, this.#texts.read(from)),
    };
  }

  #part<T extends z.ZodType>(form: T, text: string): z.output<T> {
    const known = this.#parts.get(text);
    if (known !== undefined) return known as z.output<T>;
    let value: unknown;
    try {
      value = text === NONE ? null : JSON.parse(text);
    } catch {
      throw new DamagedBlock("a part of the terms is no JSON");
    }
    const parsed = form.safeParse(value);
    if (!parsed.success) throw new DamagedBlock("a part of the terms is none");
    this.#parts.set(text, parsed.data);
    return parsed.data;
  }
}
