/**
 * Messages of `replication.proto` as tables of fields: each kind of field is read, checked and written in one place.
 * `beat.ts` and `presence/wire.ts` have the tables. Whether a message makes sense is decided by its receiver.
 */
import {
  DecodeError,
  fieldName,
  type FieldNames,
  idProblem,
  isId,
  seenOnce,
  skipField,
  WireReader,
  WireWriter,
  writePacked,
} from "@arqon/proto";
import type { Writer } from "../records/member.ts";

/**
 * The last values of one message. Thousands of entries mostly share writer, tenant, room and issuer: they get the same
 * string, which is checked and kept in memory once.
 */
export interface Shared {
  writer: Writer;
  tenant_id: string;
  room_id: string;
  issuer: string;
}

/** A message: how its bytes are read and written. */
export interface Part<Value> {
  read(this: void, reader: WireReader, shared: Shared): Value;
  write(this: void, out: WireWriter, value: Value): void;
}

/** Writes a message into its field. */
export function writeTo<Value>(
  out: WireWriter,
  field: number,
  part: Part<Value>,
  value: Value,
): void {
  const mark = out.open(field);
  part.write(out, value);
  out.close(mark);
}

/** The error for a field with a value that the contract forbids. */
export function invalid(field: number, names: FieldNames, problem: string): DecodeError {
  return new DecodeError("invalid-field", `${fieldName(field, names)}: ${problem}`);
}

/** Throws `invalid-field` unless `id` is one. */
export function checkId(id: string, field: number, names: FieldNames): void {
  if (!isId(id)) throw invalid(field, names, idProblem(id) ?? "not an id");
}

/** A uint64 up to 2^53-1. */
export function readCount(reader: WireReader, field: number, names: FieldNames): number {
  const value = reader.uint64();
  if (typeof value === "bigint") throw invalid(field, names, "an integer beyond 2^53");
  return value;
}

/** Throws `invalid-field` with the name of the field and the problem. */
type Fail = (problem: string) => never;

/** One kind of field. */
export interface Field<Value> {
  /** The allowed wire types, one bit for each. */
  readonly types: number;
  /** The field may be repeated; `read` adds to the earlier values. */
  readonly is_many?: boolean;
  /** The value of a missing field; absent: the message then lacks the member. */
  readonly empty?: () => Value | undefined;
  readonly read: (
    ...[reader, shared, before, fail, type]: [WireReader, Shared, Value, Fail, number]
  ) => Value | undefined;
  readonly write: (out: WireWriter, field: number, value: Value) => void;
  /** Called once the message is read: returns the value, or fails. */
  readonly judge?: (value: Value, fail: Fail, message: object) => Value;
  /** Other fields are checked first. */
  readonly is_message?: boolean;
}

/** The fields of a message by number, from 1 and without a gap. */
export type Fields<Value> = { readonly [Name in keyof Value]-?: Field<Value[Name]> };

const VARINT = 1;
/** The wire type of messages and texts. */
export const BYTES = 4;

/** A uint32. */
export const number: Field<number> = {
  types: VARINT,
  empty: () => 0,
  read: (reader) => reader.uint32(),
  write: (out, field, value) => out.uint32(field, value),
};

/** A uint32 that is omitted when it is 0. */
export const maybeNumber: Field<number | undefined> = {
  types: VARINT,
  read: (reader) => reader.uint32() || undefined,
  write: (out, field, value) => out.uint32(field, value ?? 0),
};

function countOf(reader: WireReader, fail: Fail): number {
  const value = reader.uint64();
  return typeof value === "bigint" ? fail("an integer beyond 2^53") : value;
}

/** A uint64 up to 2^53-1. */
export const count: Field<number> = {
  types: VARINT,
  empty: () => 0,
  read: (reader, _shared, _before, fail) => countOf(reader, fail),
  write: (out, field, value) => out.uint64(field, value),
};

/** A page, counted from 0, of a message that has the number of `pages`. */
export const page: Field<number> = {
  ...number,
  judge(value, fail, message) {
    const { pages } = message as { readonly pages: number };
    return value >= pages ? fail(`page ${value} of ${pages}, counted from 0`) : value;
  },
};

/** True or false. */
export const flag: Field<boolean> = {
  types: VARINT,
  empty: () => false,
  read: (reader) => reader.bool(),
  write: (out, field, value) => out.bool(field, value),
};

/** An id. */
export const id: Field<string> = {
  types: BYTES,
  empty: () => "",
  read: (reader) => reader.text(),
  write: (out, field, value) => out.text(field, value),
  judge: (value, fail) => isId(value) ? value : fail(idProblem(value) ?? "not an id"),
};

/** Counters, packed; Protobuf requires readers to accept them unpacked, too. */
export const counts: Field<readonly number[]> = {
  types: VARINT | BYTES,
  is_many: true,
  empty: () => [],
  read(reader, _shared, before, fail, type) {
    const numbers = before as number[];
    if (type === 0) numbers.push(countOf(reader, fail));
    else reader.embedded(readPacked, numbers, fail);
    return numbers;
  },
  write: writePacked,
};

function readPacked(reader: WireReader, numbers: number[], fail: Fail): void {
  while (reader.pos < reader.end) numbers.push(countOf(reader, fail));
}

/** One of some words, by its number on the wire; `unknown` for an unknown number. */
export const word = <Word extends string>(
  words: readonly (Word | undefined)[],
  unknown?: Word,
): Field<Word> => ({
  types: VARINT,
  empty: () => unknown,
  read(reader, _shared, _before, fail) {
    const number = reader.uint32();
    return words[number] ?? unknown ?? fail(`there is no state ${number}`);
  },
  write: (out, field, value) => out.uint32(field, words.indexOf(value)),
  judge: (value: Word | undefined, fail) => value ?? fail("there is no state 0"),
});

/** An optional message. */
export const maybe = <Value>(part: Part<Value>): Field<Value | undefined> => ({
  types: BYTES,
  empty: () => undefined,
  is_message: true,
  read: (reader, shared) => reader.embedded(part.read, shared),
  write: (out, field, value) => void (value !== undefined && writeTo(out, field, part, value)),
});

/** A required message. */
export const one = <Value>(part: Part<Value>): Field<Value> => ({
  ...maybe(part) as Field<Value>,
  judge: (value: Value | undefined, fail) => value ?? fail("it is missing"),
});

/** Any number of messages. */
export const many = <Value>(part: Part<Value>): Field<readonly Value[]> => ({
  types: BYTES,
  is_many: true,
  empty: () => [],
  read(reader, shared, before) {
    (before as Value[]).push(reader.embedded(part.read, shared));
    return before;
  },
  write(out, field, values) {
    for (const value of values) writeTo(out, field, part, value);
  },
});

/** A message with these fields. Unknown fields are skipped. */
export function message<Value extends object>(title: string, fields: Fields<Value>): Part<Value> {
  type Known = Record<string, unknown>;
  const keys = Object.keys(fields);
  const kinds: Field<unknown>[] = Object.values(fields);
  const names: FieldNames = [title, ...keys];
  const fails = keys.map((_, at): Fail => (problem) => {
    throw invalid(at + 1, names, problem);
  });
  const order = (at: number) => Number(kinds[at]?.is_message ?? 0);
  const judged = [...kinds.keys()].filter((at) => kinds[at]?.judge !== undefined)
    .sort((one, other) => order(one) - order(other));
  const always = [...kinds.keys()].filter((at) => kinds[at]?.empty !== undefined);
  const lists = always.filter((at) => kinds[at]?.is_many);
  const blank = Object.fromEntries(always.map((at) => [keys[at]!, kinds[at]?.empty?.()]));
  return {
    read(reader, shared) {
      // A copy always has the same shape, unlike an empty object that is filled field by field.
      const found: Known = { ...blank };
      for (const at of lists) found[keys[at]!] = [];
      let seen = 0;
      while (reader.pos < reader.end) {
        const tag = reader.tag();
        const at = (tag >>> 3) - 1;
        const kind = kinds[at];
        if (kind?.is_many !== true) seen = seenOnce(seen, tag, names);
        if (kind === undefined || (kind.types >> (tag & 7) & 1) === 0) {
          skipField(reader, tag, names);
          continue;
        }
        const key = keys[at]!;
        const value = kind.read(reader, shared, found[key], fails[at]!, tag & 7);
        if (value !== undefined) found[key] = value;
      }
      for (let index = 0; index < judged.length; index++) {
        const at = judged[index]!;
        const key = keys[at]!;
        found[key] = kinds[at]!.judge!(found[key], fails[at]!, found);
      }
      return found as Value;
    },
    write(out, value) {
      for (let at = 0; at < kinds.length; at++) {
        kinds[at]!.write(out, at + 1, (value as Known)[keys[at]!]);
      }
    },
  };
}

/** A message whose values differ between memory and wire. */
export const mapped = <Wire, Value>(
  part: Part<Wire>,
  valueOf: (wire: Wire) => Value,
  wireOf: (value: Value) => Wire,
): Part<Value> => ({
  read: (reader, shared) => valueOf(part.read(reader, shared)),
  write: (out, value) => part.write(out, wireOf(value)),
});

const WRITER: FieldNames = ["Writer", "node_id", "incarnation"];

function readWriter(reader: WireReader, shared: Shared): Writer {
  let node_id = "", incarnation = 0, seen = 0;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    seen = seenOnce(seen, tag, WRITER);
    if (tag === 0x0a) node_id = reader.text();
    else if (tag === 0x10) incarnation = readCount(reader, 2, WRITER);
    else skipField(reader, tag, WRITER);
  }
  const last = shared.writer;
  if (last.node_id === node_id && last.incarnation === incarnation && node_id !== "") return last;
  checkId(node_id, 1, WRITER);
  return shared.writer = { node_id, incarnation };
}

/** A writer as bytes. */
export const WRITER_PART = {
  read: readWriter,
  write(out: WireWriter, { node_id, incarnation }: Writer): void {
    out.text(1, node_id);
    out.uint64(2, incarnation);
  },
};

/** The messages of a `oneof` as bytes: its names, in the order of their numbers, and the part of each kind. */
export function codecOf<Message extends { readonly kind: string }>(
  names: FieldNames,
  parts: Readonly<Partial<Record<string, Part<object>>>>,
) {
  return {
    /** Throws TypeError for a number that its field cannot hold. */
    encode(message: Message): Uint8Array<ArrayBuffer> {
      const out = new WireWriter();
      writeTo(out, names.indexOf(message.kind), parts[message.kind]!, message);
      return out.finish();
    },
    /**
     * Throws `DecodeError` and nothing else; `bytes` may hold anything. Unknown fields are skipped, so that processes
     * of two versions can work together; an unknown kind is refused.
     */
    decode(bytes: Uint8Array): Message {
      const reader = new WireReader(bytes);
      let message: Message | undefined;
      while (reader.pos < reader.end) {
        const tag = reader.tag();
        const kind = names[tag >>> 3] ?? "";
        const part = parts[kind];
        if (part === undefined || (tag & 7) !== 2) {
          skipField(reader, tag, names);
          continue;
        }
        if (message !== undefined) throw new DecodeError("malformed-frame", "two messages in one");
        const writer = { node_id: "", incarnation: 0 };
        const nothing = { writer, tenant_id: "", room_id: "", issuer: "" };
        message = { kind, ...reader.embedded(part.read, nothing) } as unknown as Message;
      }
      if (message !== undefined) return message;
      throw new DecodeError("malformed-frame", "no message of a known kind");
    },
  };
}
