/**
 * The encoding of a block's fields: integers of any size, flags, repeated texts, and users' rights (terms). `block.ts`
 * has the layout, `record.ts` the records. Pure.
 */
import type { z } from "zod";
import { problemText } from "../problem.ts";
import { Terms } from "./record.ts";

const encoder = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const FIRST_BYTES = 64;
/** The smallest growth of the buffer, so that small writes do not copy it each time. */
const GROWTH_BYTES = 1_024;

const ID_NONE = 0;
const ID_TEXT = 1;
const ID_HEX = 2;
const ID_UUID = 3;
/** A UUID as well, and the id that a Shield gave to a message without one. */
const ID_TWIST = 4;
const ID_BYTES = 16;
const UUID_CHARACTERS = 36;
const HYPHEN = 0x2d;
/** The values of lower-case hex digits by their code; -1 for all else. */
const HEX_DIGITS = Int8Array.from(
  { length: 128 },
  (_, code) => "0123456789abcdef".indexOf(String.fromCharCode(code)),
);
const isHyphenAt = (place: number): boolean =>
  place === 8 || place === 13 || place === 18 || place === 23;

/** Thrown for bytes that do not decode: the block is damaged. */
export class DamagedBlock extends Error {
  /** The reason in the gap in its place. */
  readonly why: string = "damaged";
}

/** Thrown for an intact block in the format of another release. */
export class OtherVersionBlock extends DamagedBlock {
  override readonly why = "other-version";
}

/** The value, an integer from 0 to 2^53 - 1. Throws RangeError, with the field's name, for any other. */
export function whole(value: number, field: string): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new RangeError(`${field}: ${value} is no whole number from 0 to 2^53 - 1`);
}

/** A growing buffer. A number that no reader would accept is refused with a RangeError. */
export class BlockWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #at = 0;
  #mark = 0;

  constructor(size_bytes: number = FIRST_BYTES) {
    this.#bytes = new Uint8Array(size_bytes);
  }

  /** Written bytes. */
  get length(): number {
    return this.#at;
  }

  /** The written bytes, as a view that is valid until more are written. */
  written(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#at);
  }

  /** Starts a part that `rollback` undoes. */
  mark(): void {
    this.#mark = this.#at;
  }

  rollback(): void {
    this.#at = this.#mark;
  }

  byte(value: number, field: string = "a byte"): void {
    if ((value & 0xff) !== value) throw new RangeError(`${field}: ${value} is no byte`);
    this.#room(1);
    this.#bytes[this.#at++] = value;
  }

  /** An integer from 0 to 2^53 - 1, as a varint of 7 bits per byte. */
  count(value: number, field: string = "a count"): void {
    this.#room(8);
    if ((value & 0x7f) === value) {
      this.#bytes[this.#at++] = value;
      return;
    }
    let left = whole(value, field);
    while (left >= 0x80) {
      this.#bytes[this.#at++] = (left % 0x80) | 0x80;
      left = Math.floor(left / 0x80);
    }
    this.#bytes[this.#at++] = left;
  }

  /** A signed integer, within 2^53 - 1 of 0. Its lowest bit is the sign. */
  difference(value: number): void {
    if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is no safe integer`);
    const is_negative = value < 0;
    const size = is_negative ? -1 - value : value;
    const low = size % 0x40 * 2 + (is_negative ? 1 : 0);
    if (size < 0x40) return this.byte(low);
    // Doubled in one step it would be inexact above 2^52.
    this.byte(low | 0x80);
    this.count(Math.floor(size / 0x40));
  }

  /** Bytes after their length. */
  bytes(value: Uint8Array): void {
    this.count(value.length);
    this.raw(value);
  }

  /** Bytes without a length. */
  raw(value: Uint8Array): void {
    this.#room(value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
  }

  /**
   * Writes `form`, and 16 bytes from a text of 32 lower-case hex digits, or of a UUID with 36 characters. False, and
   * nothing is written, for any other text. `text` has 32 or 36 characters.
   */
  id(form: number, text: string): boolean {
    this.#room(ID_BYTES + 1);
    const bytes = this.#bytes;
    const is_uuid = text.length === UUID_CHARACTERS;
    let at = this.#at + 1;
    let high = -1;
    for (let place = 0; place < text.length; place++) {
      const code = text.charCodeAt(place);
      const is_hyphen = is_uuid && isHyphenAt(place);
      if (is_hyphen && code === HYPHEN) continue;
      const digit = HEX_DIGITS[code] ?? -1;
      if (digit < 0 || is_hyphen) return false;
      if (high < 0) high = digit;
      else {
        bytes[at++] = high << 4 | digit;
        high = -1;
      }
    }
    bytes[this.#at] = form;
    this.#at = at;
    return true;
  }

  /** UTF-8 text after its size. */
  text(value: string): void {
    this.#room(value.length * 3 + 4);
    if (value.length * 3 >= 0x80) return this.bytes(encoder.encode(value));
    const { written } = encoder.encodeInto(value, this.#bytes.subarray(this.#at + 1));
    this.#bytes[this.#at] = written;
    this.#at += written + 1;
  }

  #room(size_bytes: number): void {
    const needed = this.#at + size_bytes;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2, GROWTH_BYTES));
    grown.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = grown;
  }
}

/** Decodes what `BlockWriter` wrote. Every method throws DamagedBlock for invalid bytes. */
export class BlockReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get at(): number {
    return this.#at;
  }

  byte(): number {
    const value = this.#bytes[this.#at++];
    if (value === undefined) throw new DamagedBlock("it ends too early");
    return value;
  }

  count(): number {
    let value = 0;
    for (let unit = 1; unit < 2 ** 56; unit *= 0x80) {
      const part = this.byte();
      value += (part & 0x7f) * unit;
      if (part < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
    }
    throw new DamagedBlock("a number is too large");
  }

  difference(): number {
    const low = this.byte();
    const size = ((low & 0x7f) >> 1) + (low < 0x80 ? 0 : this.count() * 0x40);
    if (size > Number.MAX_SAFE_INTEGER) throw new DamagedBlock("a number is too large");
    return low % 2 === 0 ? size : -1 - size;
  }

  bytes(): Uint8Array {
    return this.raw(this.count());
  }

  raw(size_bytes: number): Uint8Array {
    const start = this.#at;
    if (start + size_bytes > this.#bytes.length) throw new DamagedBlock("it ends too early");
    this.#at += size_bytes;
    return this.#bytes.subarray(start, this.#at);
  }

  text(): string {
    try {
      return strict.decode(this.bytes());
    } catch (error) {
      if (error instanceof DamagedBlock) throw error;
      throw new DamagedBlock("a text is not UTF-8");
    }
  }

  /** Throws unless all was read. */
  end(): void {
    if (this.#at !== this.#bytes.length) throw new DamagedBlock("it has surplus bytes");
  }
}

/** Repeated texts: each is written once, and after that as its number. */
export class TextTable {
  readonly #numbers = new Map<string, number>();
  #mark = 0;

  /** Starts a part that `rollback` undoes. */
  mark(): void {
    this.#mark = this.#numbers.size;
  }

  rollback(): void {
    for (const [text, number] of this.#numbers) {
      if (number >= this.#mark) this.#numbers.delete(text);
    }
  }

  write(to: BlockWriter, text: string): void {
    const known = this.#numbers.get(text);
    if (known !== undefined) return to.count(known + 1);
    this.#numbers.set(text, this.#numbers.size);
    to.count(0);
    to.text(text);
  }
}

/** Reads what `TextTable` wrote. */
export class TextList {
  readonly #texts: string[] = [];

  read(from: BlockReader): string {
    const number = from.count();
    if (number === 0) {
      const text = from.text();
      this.#texts.push(text);
      return text;
    }
    const known = this.#texts[number - 1];
    if (known === undefined) throw new DamagedBlock("it refers to a missing text");
    return known;
  }
}

/** Writes an id; 32 hex digits or a UUID, as most are, take 17 bytes. */
export function writeId(to: BlockWriter, id: string | null): void {
  if (id === null) return to.byte(ID_NONE);
  if (id.length === UUID_CHARACTERS && to.id(ID_UUID, id)) return;
  if (id.length === 2 * ID_BYTES && to.id(ID_HEX, id)) return;
  to.byte(ID_TEXT);
  to.text(id);
}

/** Writes, in place of a message's id, the UUID that its Shield gave it. */
export function writeTwist(to: BlockWriter, twist: string): void {
  if (twist.length !== UUID_CHARACTERS || !to.id(ID_TWIST, twist)) to.byte(ID_NONE);
}

/** Reads what `writeId` or `writeTwist` wrote in place of a message's id. */
export function readMessageId(
  from: BlockReader,
): { readonly message_id: string | null; readonly twist?: string } {
  const form = from.byte();
  return form === ID_TWIST
    ? { message_id: null, twist: uuidIn(from) }
    : { message_id: idOf(form, from) };
}

/** Reads what `writeId` wrote. */
export const readId = (from: BlockReader): string | null => idOf(from.byte(), from);

const uuidIn = (from: BlockReader): string =>
  from.raw(16).toHex().replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");

function idOf(form: number, from: BlockReader): string | null {
  switch (form) {
    case ID_NONE:
      return null;
    case ID_TEXT:
      return from.text();
    case ID_HEX:
      return from.raw(16).toHex();
    case ID_UUID:
      return uuidIn(from);
    default:
      throw new DamagedBlock("an id has no such form");
  }
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
export class TermsWriter {
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
