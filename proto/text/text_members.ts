/**
 * A client's text frame as typed members: each reader checks the type of one member, and its error names the member.
 * `text.ts` knows the operations.
 */
import { decodeBase64 } from "./base64.ts";
import { dataForm } from "./content_type.ts";
import { DecodeError } from "../errors/error.ts";
import { isJson, type Member, objectMembers } from "./json_text.ts";
import { encodeUtf8 } from "../wire/utf8.ts";
import type { Uint64 } from "../wire/wire.ts";

/** More members than any operation has: a frame with more is refused before all are read. */
const MEMBER_LIMIT = 32;

/**
 * In a text with more UTF-16 units, only requested members are parsed. For data with many names, or nested lists,
 * parsing takes ten times as long as finding its end.
 */
const LARGE_UNITS = 4_096;

const EMPTY = new Uint8Array();
const UINT64_MAX = 0xffff_ffff_ffff_ffffn;

function tooManyMembers(): DecodeError {
  return new DecodeError("malformed-frame", `more than ${MEMBER_LIMIT} members`);
}

/** An object of a text frame: its parsed value, unless it is large, and the position of each member. */
export class TextMembers {
  private readonly text: string;
  private readonly values: Readonly<Record<string, unknown>> | undefined;
  private readonly members: Map<string, Member>;

  private constructor(
    text: string,
    values: Readonly<Record<string, unknown>> | undefined,
    members: Map<string, Member>,
  ) {
    this.text = text;
    this.values = values;
    this.members = members;
  }

  /** Throws `malformed-frame` unless `text` is one JSON object, `repeated-field` for a repeated name. */
  static parse(text: string): TextMembers {
    if (!text.isWellFormed()) throw new DecodeError("malformed-frame", "the text is not Unicode");
    const values = valuesOf(text);
    if (!text.trimStart().startsWith("{")) {
      throw new DecodeError(
        "malformed-frame",
        'expected an object like {"op":"sub","room":"lobby"}',
      );
    }
    try {
      return new TextMembers(text, values, objectMembers(text, 0, MEMBER_LIMIT, tooManyMembers));
    } catch (error) {
      const id = toUint64((values ?? JSON.parse(text))["id"]);
      if (!(error instanceof DecodeError) || id === undefined || id === 0) throw error;
      throw new DecodeError(error.reason, error.detail, id);
    }
  }

  has(name: string): boolean {
    return this.members.has(name);
  }

  /** Throws `unknown-field` for the first member that `known` does not list. */
  refuseUnknown(known: ReadonlySet<string>): void {
    for (const name of this.members.keys()) {
      if (!known.has(name)) {
        throw new DecodeError("unknown-field", JSON.stringify(name.slice(0, 64)));
      }
    }
  }

  private value(name: string): unknown {
    const member = this.members.get(name);
    if (member === undefined) return undefined;
    return this.values === undefined
      ? JSON.parse(this.text.slice(member.start, member.end))
      : this.values[name];
  }

  /** A string; "" if absent. */
  string(name: string): string {
    if (!this.members.has(name)) return "";
    const value = this.value(name);
    if (typeof value !== "string" || !value.isWellFormed()) throw expected(name, "a string");
    return value;
  }

  /** A boolean; false if absent. */
  flag(name: string): boolean {
    if (!this.members.has(name)) return false;
    const value = this.value(name);
    if (typeof value !== "boolean") throw expected(name, "true or false");
    return value;
  }

  /** A number up to 2^53-1, or a string of decimal digits up to 2^64-1; 0 if absent. */
  uint64(name: string): Uint64 {
    if (!this.members.has(name)) return 0;
    const value = toUint64(this.value(name));
    if (value !== undefined) return value;
    throw expected(name, "an integer from 0 to 2^64-1, beyond 2^53-1 as a string of digits");
  }

  /** A number up to 2^32-1; 0 if absent. */
  uint32(name: string): number {
    const value = this.uint64(name);
    if (value > 0xffff_ffff) throw expected(name, "an integer from 0 to 2^32-1");
    return Number(value);
  }

  /** An integer within ±(2^53-1), or the same as a string; 0 if absent. */
  integer(name: string): number {
    if (!this.members.has(name)) return 0;
    const value = this.value(name);
    const number = typeof value === "string" && /^-?[0-9]{1,16}$/.test(value)
      ? Number(value)
      : value;
    if (typeof number !== "number" || !Number.isSafeInteger(number)) {
      throw expected(name, "an integer within 2^53");
    }
    // Protobuf omits 0, but not -0.
    return number === 0 ? 0 : number;
  }

  /** Base64; `undefined` if absent. */
  base64(name: string): Uint8Array<ArrayBuffer> | undefined {
    if (!this.members.has(name)) return undefined;
    const value = this.value(name);
    const bytes = typeof value === "string" ? decodeBase64(value) : undefined;
    if (bytes === undefined) throw expected(name, "base64");
    return bytes;
  }

  /** A nested object; `undefined` if absent. */
  object(name: string): TextMembers | undefined {
    const member = this.members.get(name);
    if (member === undefined) return undefined;
    const value = this.value(name);
    if (!isObject(value)) throw expected(name, "an object");
    const members = objectMembers(this.text, member.start, MEMBER_LIMIT, tooManyMembers);
    return new TextMembers(this.text, value, members);
  }

  /** An object of strings, at most `limit` of them; without a prototype. */
  headers(name: string, limit: number): Record<string, string> {
    const headers: Record<string, string> = Object.create(null);
    const member = this.members.get(name);
    if (member === undefined) return headers;
    const values = this.value(name);
    if (!isObject(values)) throw expected(name, "an object of strings");
    const tooMany = () => new DecodeError("too-many-headers", `at most ${limit}`);
    for (const key of objectMembers(this.text, member.start, limit, tooMany).keys()) {
      const value = values[key];
      if (typeof value !== "string" || !value.isWellFormed() || !key.isWellFormed()) {
        throw expected(`${name}[${JSON.stringify(key.slice(0, 64))}]`, "a string");
      }
      headers[key] = value;
    }
    return headers;
  }

  /**
   * The bytes of `data`: its JSON text byte for byte if the content type is JSON or "", the string's UTF-8 if it is
   * text, otherwise `{"base64":"…"}`.
   */
  data(name: string, content_type: string): Uint8Array {
    const member = this.members.get(name);
    if (member === undefined) return EMPTY;
    const form = content_type === "" ? "json" : dataForm(content_type);
    if (form === "json") return encodeUtf8(this.text.slice(member.start, member.end));
    if (form === "text") return encodeUtf8(this.string(name));
    const bytes = this.wrappedBase64(name);
    if (bytes !== undefined) return bytes;
    throw expected(name, `{"base64":"…"}, because content_type is neither JSON nor text`);
  }

  /** A string's UTF-8, or the bytes of `{"base64":"…"}`; empty if absent. */
  stringOrBase64(name: string): Uint8Array {
    const member = this.members.get(name);
    if (member === undefined) return EMPTY;
    if (this.text[member.start] === '"') return encodeUtf8(this.string(name));
    const bytes = this.wrappedBase64(name);
    if (bytes !== undefined) return bytes;
    throw expected(name, 'a string or {"base64":"…"}');
  }

  /** The bytes of `{"base64":"…"}`, or the JSON text of any other value; empty if absent. */
  jsonOrBase64(name: string): Uint8Array {
    return this.wrappedBase64(name) ?? this.data(name, "");
  }

  private wrappedBase64(name: string): Uint8Array | undefined {
    const member = this.members.get(name);
    if (member === undefined || this.text[member.start] !== "{") return undefined;
    const value = this.value(name);
    if (!isObject(value) || Object.keys(value).length !== 1) return undefined;
    return this.object(name)?.has("base64") === true && typeof value["base64"] === "string"
      ? decodeBase64(value["base64"])
      : undefined;
  }
}

/** The parsed value; undefined: the text is large. Throws `malformed-frame` unless it is JSON. */
function valuesOf(text: string): Record<string, unknown> | undefined {
  try {
    if (text.length <= LARGE_UNITS) return JSON.parse(text);
  } catch {
    throw new DecodeError("malformed-frame", "the text is not JSON");
  }
  if (isJson(text)) return undefined;
  throw new DecodeError("malformed-frame", "the text is not JSON");
}

function toUint64(value: unknown): Uint64 | undefined {
  if (typeof value === "number") {
    // -0 becomes 0, because the sign would make a difference later.
    return Number.isSafeInteger(value) && value >= 0 ? Math.abs(value) : undefined;
  }
  if (typeof value !== "string" || !/^[0-9]{1,20}$/.test(value)) return undefined;
  const exact = BigInt(value);
  if (exact > UINT64_MAX) return undefined;
  return exact <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(exact) : exact;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function expected(name: string, what: string): DecodeError {
  return new DecodeError("malformed-frame", `"${name}" must be ${what}`);
}
