/**
 * Decodes the decisions of a block from its columns and its users' sections. Without a section's key, only the columns
 * remain. `block_rows.ts` writes. Pure.
 */
import { type BlockReader, DamagedBlock, readId, readMessageId, TextList } from "./block_bytes.ts";
import { COLUMNS, FORMS, FROM, HOOKS, POLICY_SHAPE, SHAPE, TermsReader } from "./block_rows.ts";
import type { SharedTerms } from "./block_rows.ts";
import type { JournalRecord, PayloadRecord, PolicyRecord, Read, Terms } from "./record.ts";

/** One decision in a block; the block has its owner and the record's number. */
export type BlockRow = Omit<JournalRecord, "format" | "id" | "node" | "tenant" | "meter_version">;

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
