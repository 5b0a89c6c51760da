/**
 * A block of the journal: many decisions of one tenant at one Shield, compressed, each user's section encrypted with
 * the user's key, the whole with a checksum. A damaged, truncated or foreign block reads as a gap and never as a wrong
 * record. `block_rows.ts` has the rows. Synchronous: the caller closes a block in steps.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { BlockReader, BlockWriter, DamagedBlock, OtherVersionBlock } from "./block_bytes.ts";
import { COLUMN_COUNT, RowReader, RowWriter, Section, SectionWriter } from "./block_rows.ts";
import { type JournalEntry, type JournalHole, type JournalLine, RECORD_FORMAT } from "./record.ts";
import { isNoKey, type UserKey } from "./user_keys.ts";

/** `AJB` and the version of this format; every change of the format changes it. */
const MAGIC = Uint8Array.of(0x41, 0x4a, 0x42, 4);
/** A block with events that name their schemas: releases that do not know these must not read it. */
const NAMES_SCHEMAS = Uint8Array.of(0x41, 0x4a, 0x42, 5);
const SUM_BYTES = 16;
const NOTHING = new Uint8Array(0);
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Overhead of an encrypted section: key id, nonce, tag, sizes. */
const SECTION_BYTES = 64;
const CIPHER = "aes-256-gcm";
/** Sections below this size are not compressed: that would cost more than it saves. */
const DEFLATED_BYTES = 512;
/** Level 3 is a tenth smaller than level 1, and takes twice the time. */
const DEFLATE_LEVEL = 1;
/** The smallest chunk of zlib. */
const CHUNK_BYTES_MIN = 64;
/** The most bytes of columns or of a section; a block that declares more is damaged. */
const INFLATED_BYTES = 67_108_864;

/** The owner of a block, and the rules in force for its decisions. */
export interface BlockOwner {
  readonly tenant: string;
  readonly node: string;
  readonly meter_version: number;
  /** `[platform.overseer] fuel_limit`, and the constant `policy.chain_fuel_limit`. */
  readonly fuel_limit: number;
  readonly chain_fuel_limit: number;
}

/** A gap in the records, as a block reports it. */
export type BlockHole = Omit<JournalHole["hole"], "node" | "tenant">;

/** The position of a block among those of its writer, so that a missing or repeated one is detected. */
interface BlockPlace {
  /** Blocks of one series are stored together and expire together. */
  readonly series: number;
  /** From 0, without gaps. */
  readonly number: number;
  readonly first: number;
}

/** The head of a block, which identifies only tenant and Shield. */
export interface BlockHead extends BlockOwner, BlockPlace {
  readonly records: number;
  /** Unix ms of the first and the last record; 0 if there is none. */
  readonly from_ms: number;
  readonly to_ms: number;
  readonly holes: readonly BlockHole[];
}

/** A block that is being filled. */
export class BlockBuilder {
  readonly #rows = new RowWriter();
  readonly #users = new Map<string, { number: number; section: SectionWriter }>();
  #section_bytes = 0;
  #magic = MAGIC;
  records = 0;
  from_ms = 0;
  to_ms = 0;

  /** Its bytes before compression, which are also the most after it. */
  get length(): number {
    return this.#rows.length + this.#section_bytes + this.#users.size * SECTION_BYTES;
  }

  /** The users whose keys encrypt it, in order. */
  get users(): string[] {
    return [...this.#users.keys()];
  }

  /** Throws RangeError for an entry that no reader would accept; the block is unchanged then. */
  add(entry: JournalEntry): void {
    const { user } = entry.sender;
    const rows = this.#rows;
    const found = this.#users.get(user) ??
      { number: this.#users.size, section: new SectionWriter(user) };
    const { section, number } = found;
    const before = section.bytes.length;
    rows.mark();
    section.mark();
    try {
      section.write(entry);
      rows.write(entry, number);
    } catch (error) {
      rows.rollback();
      section.rollback();
      throw error;
    }
    this.#users.set(user, found);
    if (entry.schema_id !== undefined) this.#magic = NAMES_SCHEMAS;
    this.#section_bytes += section.bytes.length - before;
    this.from_ms = this.records === 0 ? entry.time_ms : Math.min(this.from_ms, entry.time_ms);
    this.to_ms = Math.max(this.to_ms, entry.time_ms);
    this.records++;
  }

  /**
   * Encrypts the block, a section per step; returns its bytes. `keys` are those of `users`. Throws as node:crypto does
   * for an invalid key.
   */
  *close(
    owner: BlockOwner,
    place: BlockPlace,
    holes: readonly BlockHole[],
    keys: readonly UserKey[],
  ): Generator<void, Uint8Array<ArrayBuffer>, void> {
    const { records, from_ms, to_ms } = this;
    const to = new BlockWriter(this.length + 1_024);
    to.raw(this.#magic);
    writeHead(to, { ...owner, ...place, records, from_ms, to_ms, holes });
    const bound = hashOf(to.written());
    const columns = new BlockWriter(this.#rows.length + 64);
    for (const column of this.#rows.columns) columns.bytes(column.written());
    to.count(columns.length);
    to.bytes(deflated(columns.written()));
    to.count(this.#users.size);
    for (const { number, section } of this.#users.values()) {
      yield;
      const key = keys[number]!;
      const plain = isNoKey(key.id) ? NOTHING : section.bytes.written();
      sealSection(to, plain, key, boundTo(bound, number));
    }
    to.raw(hashOf(to.written()));
    return to.written();
  }
}

/** Decrypted sections; undefined for erased ones. */
type OpenSections = readonly (Section | undefined)[];

/** A stored block with encrypted sections. */
export class ClosedBlock {
  readonly head: BlockHead;
  /** The ids of its users' keys, in order. */
  readonly key_ids: readonly Uint8Array[];
  readonly #columns: Uint8Array;
  readonly #sections: readonly ClosedSection[];
  readonly #bound: Uint8Array;

  /** Throws DamagedBlock; OtherVersionBlock for an intact one of another version. */
  constructor(bytes: Uint8Array) {
    const body = checked(bytes);
    const from = new BlockReader(body);
    from.raw(MAGIC.length);
    this.head = readHead(from);
    this.#bound = hashOf(body.subarray(0, from.at));
    this.#columns = inflated(from.count(), from.bytes());
    const sections: ClosedSection[] = [];
    for (let left = from.count(); left > 0; left--) sections.push(readSection(from));
    from.end();
    this.#sections = sections;
    this.key_ids = sections.map(({ key_id }) => key_id);
  }

  /**
   * Decrypts a section per step; there may be thousands. `keys` are those of `key_ids`; undefined for an erased one.
   * Throws DamagedBlock.
   */
  *open(keys: readonly (Uint8Array | undefined)[]): Generator<void, OpenSections, void> {
    const sections: (Section | undefined)[] = [];
    for (const [number, section] of this.#sections.entries()) {
      yield;
      const key = keys[number];
      const plain = key && opened(section, key, boundTo(this.#bound, number));
      sections.push(plain && new Section(new BlockReader(plain)));
    }
    return sections;
  }

  /**
   * The lines of the block: its gaps, then its records in order, decoded on demand. `sections` are those of `open`,
   * once. Throws DamagedBlock.
   */
  *lines(sections: OpenSections): Generator<JournalLine, void, void> {
    const { node, tenant, meter_version, first, records, holes } = this.head;
    for (const hole of holes) yield { format: RECORD_FORMAT, hole: { node, tenant, ...hole } };
    const from = new BlockReader(this.#columns);
    const columns = Array.from({ length: COLUMN_COUNT }, () => new BlockReader(from.bytes()));
    from.end();
    const rows = new RowReader(columns, sections, this.key_ids.map(isNoKey));
    for (let number = first; number < first + records; number++) {
      const common = { format: RECORD_FORMAT, id: `${node}.${number}`, node, tenant } as const;
      yield { ...common, ...rows.next(), meter_version };
    }
    rows.end();
  }
}

/** The line that replaces an unreadable block, with the facts from its store. */
export function damagedHole(
  { tenant, node, stored_ms }: Readonly<{ tenant: string; node: string; stored_ms: number }>,
  { why }: DamagedBlock,
): JournalHole {
  const hole = { node, tenant, from_ms: stored_ms, to_ms: stored_ms, records: null, why };
  return { format: RECORD_FORMAT, hole };
}

interface ClosedSection {
  readonly key_id: Uint8Array;
  /** Its size before compression; 0: not compressed. */
  readonly size_bytes: number;
  /** Nonce, ciphertext and tag. */
  readonly sealed: Uint8Array;
}

const hashOf = (bytes: Uint8Array): Uint8Array =>
  createHash("sha256").update(bytes).digest().subarray(0, SUM_BYTES);

/** The additional authenticated data of a section: the head of its block, and its index. */
function boundTo(bound: Uint8Array, number: number): Uint8Array {
  const bytes = new Uint8Array(bound.length + 3);
  bytes.set(bound);
  for (let at = 0; at < 3; at++) bytes[bound.length + at] = number >> 8 * at & 255;
  return bytes;
}

/** Compresses into one piece of memory if it fits; the default buffer is 16 KiB. */
function deflated(plain: Uint8Array): Uint8Array {
  const chunkSize = Math.max(CHUNK_BYTES_MIN, plain.length);
  return deflateRawSync(plain, { level: DEFLATE_LEVEL, chunkSize });
}

function writeHead(to: BlockWriter, head: BlockHead): void {
  to.text(head.tenant);
  to.text(head.node);
  to.count(head.meter_version);
  to.count(head.fuel_limit);
  to.count(head.chain_fuel_limit);
  to.count(head.series);
  to.count(head.number);
  to.count(head.first);
  to.count(head.records);
  to.count(head.from_ms);
  to.count(head.to_ms);
  to.count(head.holes.length);
  for (const { from_ms, to_ms, records, why } of head.holes) {
    to.count(from_ms);
    to.count(to_ms);
    to.count(records === null ? 0 : records + 1);
    to.text(why);
  }
}

function readHead(from: BlockReader): BlockHead {
  const owner = {
    tenant: from.text(),
    node: from.text(),
    meter_version: from.count(),
    fuel_limit: from.count(),
    chain_fuel_limit: from.count(),
  };
  const place = { series: from.count(), number: from.count(), first: from.count() };
  const records = from.count();
  const from_ms = from.count();
  const to_ms = from.count();
  const holes: BlockHole[] = [];
  for (let left = from.count(); left > 0; left--) {
    const began_ms = from.count();
    const ended_ms = from.count();
    const missing = from.count();
    const why = from.text();
    holes.push({
      from_ms: began_ms,
      to_ms: ended_ms,
      records: missing === 0 ? null : missing - 1,
      why,
    });
  }
  return { ...owner, ...place, records, from_ms, to_ms, holes };
}

function sealSection(to: BlockWriter, plain: Uint8Array, { id, key }: UserKey, bound: Uint8Array) {
  const is_deflated = plain.length >= DEFLATED_BYTES;
  const body = is_deflated ? deflated(plain) : plain;
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce);
  cipher.setAAD(bound);
  const sealed = cipher.update(body);
  cipher.final();
  to.bytes(id);
  to.count(is_deflated ? plain.length : 0);
  to.count(NONCE_BYTES + sealed.length + TAG_BYTES);
  to.raw(nonce);
  to.raw(sealed);
  to.raw(cipher.getAuthTag());
}

function readSection(from: BlockReader): ClosedSection {
  const section = { key_id: from.bytes(), size_bytes: from.count(), sealed: from.bytes() };
  if (section.sealed.length >= NONCE_BYTES + TAG_BYTES) return section;
  throw new DamagedBlock("a section is too short");
}

function opened(
  { sealed, size_bytes }: ClosedSection,
  key: Uint8Array,
  bound: Uint8Array,
): Uint8Array {
  const tag_at = sealed.length - TAG_BYTES;
  try {
    const decipher = createDecipheriv(CIPHER, key, sealed.subarray(0, NONCE_BYTES));
    decipher.setAAD(bound);
    decipher.setAuthTag(sealed.subarray(tag_at));
    const body = decipher.update(sealed.subarray(NONCE_BYTES, tag_at));
    decipher.final();
    return size_bytes === 0 ? body : inflated(size_bytes, body);
  } catch (error) {
    if (error instanceof DamagedBlock) throw error;
    throw new DamagedBlock("a section does not open with its key");
  }
}

/** The block without its checksum. */
function checked(bytes: Uint8Array): Uint8Array {
  const end = bytes.length - SUM_BYTES;
  const version_at = MAGIC.length - 1;
  if (end < MAGIC.length || MAGIC.some((byte, at) => at < version_at && bytes[at] !== byte)) {
    throw new DamagedBlock("it is no block");
  }
  const body = bytes.subarray(0, end);
  const sum = hashOf(body);
  if (sum.some((byte, at) => bytes[end + at] !== byte)) {
    throw new DamagedBlock("its checksum is another");
  }
  if (![MAGIC, NAMES_SCHEMAS].some((magic) => magic[version_at] === body[version_at])) {
    throw new OtherVersionBlock(`it is of version ${body[version_at]}`);
  }
  return body;
}

function inflated(size_bytes: number, bytes: Uint8Array): Uint8Array {
  if (size_bytes > INFLATED_BYTES) throw new DamagedBlock("it is too large");
  try {
    const whole = inflateRawSync(bytes, { maxOutputLength: Math.max(size_bytes, 1) });
    if (whole.length === size_bytes) return whole;
  } catch {
    // Reported below.
  }
  throw new DamagedBlock("it does not inflate to what it was");
}
