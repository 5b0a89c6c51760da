/**
 * The layout of one decision in a block, written and read: columns for what identifies nobody; the sender's section
 * for everything that identifies somebody, or that a user or policy wrote. Erasing the key erases the section.
 * `block.ts` has the block. Pure.
 */
import { type BlockReader, DamagedBlock, readId, readMessageId, TextList } from "./block_bytes.ts";
import { BlockWriter, TextTable, whole, writeId, writeTwist } from "./block_bytes.ts";
import { type SharedTerms, TermsReader, TermsWriter } from "./block_bytes.ts";
import type { EntryPayload, JournalEntry, JournalRecord, PayloadRecord } from "./record.ts";
import type { PolicyRecord, Read, Terms } from "./record.ts";

/** Hooks, by their number in a block. */
const HOOKS = ["on_connect", "on_subscribe", "on_message"] as const;
/** Forms of payloads, by number. */
const FORMS = ["none", "kept", "reference", "hash"] as const;
/** Sources of inputs, by number. */
const FROM = ["header", "claim", "state"] as const;

/** The columns, by number; each is compressed on its own. */
const COLUMNS = {
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
const SHAPE = {
  allowed: 16,
  offset: 32,
  schema: 64,
  chain: 128,
  signed: 256,
  command: 512,
  schema_id: 1_024,
} as const;
/** The bits of a policy's shape. */
const POLICY_SHAPE = {
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
      (entry.is_command === true ? SHAPE.command : 0) |
      (entry.schema_id === undefined ? 0 : SHAPE.schema_id);
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
    if (entry.schema_id !== undefined) this.#texts.write(to, entry.schema_id);
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

/** One decision in a block; the block has its owner and the record's number. */
type BlockRow = Omit<JournalRecord, "format" | "id" | "node" | "tenant" | "meter_version">;

/** One user's section, after the user's id. */
export class Section {
  readonly bytes: BlockReader;
  readonly texts: TextList = new TextList();
  readonly user: string;
  #expires_ms = 0;

  constructor(bytes: BlockReader) {
    this.bytes = bytes;
    this.user = bytes.text();
  }

  text(): string {
    return this.texts.read(this.bytes);
  }

  terms(): Pick<Terms, "expires_ms" | "grant"> {
    this.#expires_ms += this.bytes.difference();
    return { expires_ms: this.#expires_ms || null, grant: this.text() || null };
  }

  value(): string | null {
    return this.bytes.byte() === 0 ? null : this.text();
  }
}

/** Reads rows in written order. */
export class RowReader {
  readonly #columns: readonly BlockReader[];
  readonly #sections: readonly (Section | undefined)[];
  readonly #without_key: readonly boolean[];
  readonly #texts = new TextList();
  readonly #terms = new TermsReader();
  readonly #offsets = new Map<string, number>();
  #time_ms = 0;
  #chain_version = 0;

  /** `sections` are those of the block's users; undefined: erased, or never written if the user is in `without_key`. */
  constructor(
    columns: readonly BlockReader[],
    sections: readonly (Section | undefined)[],
    without_key: readonly boolean[],
  ) {
    this.#columns = columns;
    this.#sections = sections;
    this.#without_key = without_key;
  }

  /** The next row. Throws DamagedBlock. */
  next(): BlockRow {
    const user = this.#user();
    const section = this.#sections[user];
    this.#time_ms += this.#at("time").difference();
    const shape = this.#at("shape").count();
    const place = this.#at("place");
    const room = this.#text(place);
    const type = this.#text(place);
    const content_type = this.#text(place);
    const offset = (shape & SHAPE.offset) === 0 ? null : this.#offset(room);
    const form = FORMS[(shape >> 2) & 3]!;
    const bytes = form === "reference" || form === "hash" ? this.#at("offset").count() : 0;
    const allowed = (shape & SHAPE.allowed) !== 0;
    const code = allowed ? 0 : this.#at("refusal").count();
    const reason = allowed ? "" : this.#text(this.#at("refusal"));
    const sender = section && {
      user: section.user,
      connection: section.text(),
      remote_ip: section.text(),
    };
    const trace = section === undefined ? null : readId(section.bytes);
    const ids = section === undefined ? { message_id: null } : readMessageId(section.bytes);
    const schema_id = (shape & SHAPE.schema_id) === 0 ? undefined : section?.text();
    const terms = termsOf(this.#terms.read(this.#at("terms")), section);
    const message = allowed ? "" : section?.text() ?? "";
    const schema = (shape & SHAPE.schema) === 0 ? null : this.#schema(section);
    const payload = payloadOf(form, bytes, section);
    const hook = HOOKS[shape & 3];
    if (hook === undefined) throw new DamagedBlock("it refers to a missing hook");
    return {
      time_ms: this.#time_ms,
      hook,
      room,
      trace,
      ...ids,
      offset,
      sender: sender ?? null,
      ...(this.#without_key[user] === true ? { is_unkept: true as const } : {}),
      type,
      content_type,
      ...(schema_id === undefined ? {} : { schema_id }),
      ...((shape & SHAPE.signed) === 0 ? {} : { is_signed: true as const }),
      ...((shape & SHAPE.command) === 0 ? {} : { is_command: true as const }),
      payload,
      allowed,
      code,
      reason,
      message,
      schema,
      ...this.#chain((shape & SHAPE.chain) !== 0, section),
      ...terms,
    };
  }

  /** Throws DamagedBlock unless every column and section was read to its end. */
  end(): void {
    for (const column of this.#columns) column.end();
    for (const section of this.#sections) section?.bytes.end();
  }

  #at(column: keyof typeof COLUMNS): BlockReader {
    return this.#columns[COLUMNS[column]]!;
  }

  #text(from: BlockReader): string {
    return this.#texts.read(from);
  }

  #user(): number {
    const user = this.#at("user").count();
    if (user < this.#sections.length) return user;
    throw new DamagedBlock("it refers to a missing user");
  }

  #offset(room: string): number {
    const offset = (this.#offsets.get(room) ?? 0) + this.#at("offset").difference();
    this.#offsets.set(room, offset);
    return offset;
  }

  #schema(section: Section | undefined): JournalRecord["schema"] {
    const from = this.#at("schema");
    const id = this.#text(from);
    const version = from.count();
    if (from.byte() === 0) return { id, version, violation: null };
    const rule = this.#text(from);
    const [path, message] = section === undefined ? ["", ""] : [section.text(), section.text()];
    return { id, version, violation: { path, rule, message } };
  }

  #chain(has_chain: boolean, section: Section | undefined) {
    if (!has_chain) return { chain_version: null, policies: [] };
    this.#chain_version += this.#at("chain").difference();
    const policies: PolicyRecord[] = [];
    for (let left = this.#at("policy").count(); left > 0; left--) {
      policies.push(this.#policy(section));
    }
    return { chain_version: this.#chain_version, policies };
  }

  #policy(section: Section | undefined): PolicyRecord {
    const from = this.#at("policy");
    const name = this.#text(from);
    const module = this.#text(from);
    const shape = from.byte();
    const has = (bit: number) => (shape & bit) !== 0;
    const allowed = has(POLICY_SHAPE.allowed);
    const code = allowed ? 0 : from.count();
    const fault = has(POLICY_SHAPE.fault) ? this.#text(from) : null;
    const budget_units = from.count();
    const units = this.#at("units").count();
    const asking_bytes = this.#at("units").count();
    const reason = allowed ? "" : section?.text() ?? "";
    const detail = fault === null ? "" : section?.text() ?? "";
    const payload = has(POLICY_SHAPE.payload) && section !== undefined
      ? section.bytes.bytes().toBase64()
      : null;
    return {
      name,
      module,
      abi: has(POLICY_SHAPE.v2) ? 2 : 1,
      mode: has(POLICY_SHAPE.observes) ? "observe" : "enforce",
      allowed,
      code,
      reason,
      fault,
      detail,
      units,
      budget_units,
      asking_bytes,
      has_read_payload: has(POLICY_SHAPE.read_payload),
      ...this.#lists(has(POLICY_SHAPE.lists), section),
      payload,
      ...(has(POLICY_SHAPE.payload_missing) ? { is_payload_missing: true as const } : {}),
    };
  }

  #lists(
    has_lists: boolean,
    section: Section | undefined,
  ): Pick<PolicyRecord, "reads" | "writes" | "added_headers" | "logs"> {
    if (!has_lists) return { reads: [], writes: [], added_headers: [], logs: [] };
    const names = this.#at("names");
    const reads = times(names.count(), () => this.#name());
    const writes = times(names.count(), () => this.#text(names));
    const added = names.count();
    const logs = names.count();
    if (section === undefined) {
      return {
        reads: reads.map((read): Read => ({ ...read, value: null, is_erased: true })),
        writes: writes.map((name) => ({ name, value: null })),
        added_headers: [],
        logs: [],
      };
    }
    return {
      reads: reads.map((read) => valueOf(read, section)),
      writes: writes.map((name) => ({ name, value: section.value() })),
      added_headers: times(added, () => [section.text(), section.text()]),
      logs: times(logs, () => ({ level: section.bytes.byte(), message: section.text() })),
    };
  }

  #name(): Pick<Read, "from" | "name"> {
    const names = this.#at("names");
    const from = FROM[names.byte()];
    if (from === undefined) throw new DamagedBlock("it refers to a missing input");
    return { from, name: this.#text(names) };
  }
}

function termsOf(
  shared: SharedTerms | undefined,
  section: Section | undefined,
): Pick<BlockRow, "terms"> {
  if (shared === undefined) return {};
  return { terms: { ...shared, ...section?.terms() ?? { expires_ms: null, grant: null } } };
}

function times<T>(count: number, make: () => T): T[] {
  const all: T[] = [];
  // Each takes a byte at least, so a count that is too large ends with the bytes.
  for (let left = count; left > 0; left--) all.push(make());
  return all;
}

function valueOf(read: Pick<Read, "from" | "name">, section: Section): Read {
  const value = section.value();
  if (read.from !== "state") return { ...read, value };
  const key = section.value();
  return key === null ? { ...read, value } : { ...read, value, key };
}

function payloadOf(
  form: typeof FORMS[number],
  bytes: number,
  section: Section | undefined,
): PayloadRecord {
  switch (form) {
    case "none":
      return { form };
    case "reference":
      return section === undefined ? { form: "erased" } : { form, bytes };
    case "kept":
      if (section === undefined) return { form: "erased" };
      return { form, data: section.bytes.bytes().toBase64() };
    case "hash":
      if (section === undefined) return { form: "erased" };
      return { form, sha256: section.bytes.raw(32).toHex(), bytes };
    default:
      return form satisfies never;
  }
}
