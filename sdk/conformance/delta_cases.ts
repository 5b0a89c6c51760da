/** Cases of deltas.json, from `cases/deltas.json` and hand-written diffs; it decodes nothing. */
import { adler32, encodeBatch, encodeMsg, findData, Opcode, withData } from "@arqon/proto";
import { writeEnvelope } from "@arqon/proto";
import { createDelta } from "fossil-delta";
import { type Plain, toHex } from "./plain.ts";

const BYTES_MAX = 16_777_216;
const bytes = (text: string) => new TextEncoder().encode(text);
const diffOf = (base: Uint8Array, data: Uint8Array) => createDelta(base, data) as Uint8Array;

/** A diff that keeps only the longest common suffix. */
function vcdiffOf(base: Uint8Array, data: Uint8Array): Uint8Array {
  let same = 0;
  const most = Math.min(base.length, data.length);
  while (same < most && base.at(-1 - same) === data.at(-1 - same)) same++;
  const added = data.subarray(0, data.length - same);
  const number = (value: number) => value < 128 ? [value] : [0x80 | value >> 7, value & 0x7f];
  const instructions = [
    ...(added.length > 0 ? [1, ...number(added.length)] : []),
    ...(same > 0 ? [19, ...number(same)] : []),
  ];
  const places = same > 0 ? number(base.length - same) : [];
  const sizes = [added, instructions, places].flatMap(({ length }) => number(length));
  const window = [...number(data.length), 0, ...sizes, ...added, ...instructions, ...places];
  const source = [1, ...number(base.length), 0];
  return Uint8Array.from([0xd6, 0xc3, 0xc4, 0, 0, ...source, ...number(window.length), ...window]);
}

const LINES = Array.from({ length: 9 }, (_, n) => `line ${n} of what stays\n`).join("");
const OTHER = LINES.replace("line 3 ", "line three ").replace("line 6 ", "zeile 6 ");
const HIGH = new Uint8Array(83).fill(0xff);
const ALL = Uint8Array.from({ length: 128 }, (_, at) => (at * 7) & 0xff);

/** Name, base, data. */
const MADE: readonly (readonly [string, Uint8Array, Uint8Array])[] = [
  ["lines of which two change", bytes(LINES), bytes(OTHER)],
  ["the same data", bytes(LINES), bytes(LINES)],
  ["parts change places", bytes(LINES), bytes(LINES.slice(100) + LINES.slice(0, 100))],
  ["from nothing", bytes(""), bytes(LINES)],
  ["to nothing", bytes(LINES), bytes("")],
  ["nothing in common", bytes(LINES), ALL],
  ["text beyond ASCII", bytes(`${LINES}é`), bytes(`é${LINES}😀`)],
  ["a sum beyond 32 bits", HIGH.subarray(1), HIGH],
  ...[1, 2, 3].map((more) =>
    [
      `${more} bytes behind the last whole word`,
      ALL,
      new Uint8Array([...ALL, ...HIGH.subarray(0, more)]),
    ] as const
  ),
];

const BASE = "0123456789abcdef";
/** Diffs, and their results. */
export function diffCases({ refused }: DeltaCases): Plain[] {
  const row = (name: string, base: Uint8Array, diff: Uint8Array, bytes_max: number) => (
    { name, kind: "diff", base: toHex(base), diff: toHex(diff), bytes_max }
  );
  return [
    ...MADE.map(([name, base, data]) => (
      { ...row(name, base, diffOf(base, data), BYTES_MAX), expect: toHex(data) }
    )),
    ...MADE.slice(0, 1).map(([, base, data]) => (
      { ...row("more than is allowed", base, diffOf(base, data), data.length - 1), expect: null }
    )),
    {
      ...row(
        "a diff from other data",
        bytes(LINES.toUpperCase()),
        diffOf(bytes(LINES), bytes(OTHER)),
        BYTES_MAX,
      ),
      expect: null,
    },
    ...["4\n4@0,lCJ8o;", "0004\n2@00,2@2,lCJ8o;", "4\n2:012@2,lCJ8o;", "4\n0@0,0:4@0,lCJ8o;"].map(
      (diff) => ({
        ...row(`by hand: ${JSON.stringify(diff)}`, bytes(BASE), bytes(diff), 4),
        expect: toHex(bytes("0123")),
      }),
    ),
    ...Object.entries(refused).map(([name, diff]) => (
      { ...row(name, bytes(BASE), bytes(diff), BYTES_MAX), expect: null }
    )),
  ];
}

/** A message of a step, with this version of `textOf`. */
interface SentMessage {
  /** As whole data, without a delta. */
  readonly plain?: number;
  readonly whole?: number;
  /** As a diff from another version. */
  readonly diff?: number;
  readonly from?: number;
  readonly room?: string;
  readonly slot?: number;
  /** The numbers of the data and its base; default: the versions. */
  readonly number?: number;
  readonly base?: number;
  readonly lost?: true;
  /** True: in VCDIFF; `wrong`: with the checksum of other data. */
  readonly vcdiff?: "right" | "wrong";
  /** Another encoding of the same envelope, from `ODD`. */
  readonly odd?: string;
}

type Step =
  | { readonly sub: string }
  | { readonly unsub: string }
  | SentMessage
  | readonly SentMessage[];
type Connections = Readonly<Record<string, readonly Step[]>>;

/** The sources of deltas.json, besides hand-written diffs and those of packages. */
export interface DeltaCases {
  /** Diffs from `BASE` that every client must refuse. The sum of "0123" is lCJ8o. */
  readonly refused: Readonly<Record<string, string>>;
  readonly connections: Connections;
  /** The oldest data is dropped above `KEPT_BYTES`. */
  readonly bounded: Connections;
}

const versionOf = ({ plain, whole, diff }: SentMessage): number => plain ?? whole ?? diff ?? 0;
/** Adjacent versions differ at every position. */
const textOf = (version: number) => bytes(`${"*".repeat(version % 3)}${LINES}version ${version}`);
/** Room for two of them; each has an overhead of 256 bytes. */
const KEPT_BYTES = 2 * (textOf(2).length + 256);

/** The envelope in parts: before the event, the event's fields, the delta with its tag and length. */
function partsOf(envelope: Uint8Array) {
  const span = findData(envelope);
  if (span === undefined) throw new TypeError("a message without data");
  const { event_length, event_start, event_end, envelope_end } = span;
  return {
    head: envelope.subarray(0, event_length),
    event: envelope.subarray(event_start, event_end),
    delta: envelope.subarray(envelope_end),
  };
}

/** Encodings of a message that are equal for Protobuf. */
const ODD: Readonly<Record<string, (envelope: Uint8Array) => Uint8Array>> = {
  "with the delta at its beginning": (envelope) => {
    const { delta } = partsOf(envelope);
    return Uint8Array.from([...delta, ...envelope.subarray(0, envelope.length - delta.length)]);
  },
  "with the delta twice": (envelope) => Uint8Array.from([...envelope, ...partsOf(envelope).delta]),
  "with a field that nobody knows at its end": (envelope) =>
    Uint8Array.from([...envelope, 0xf8, 0x07, 1]),
  "with a length that is longer than it must be": (envelope) => {
    const { head, event, delta } = partsOf(envelope);
    const length = [(event.length & 0x7f) | 0x80, (event.length >> 7) | 0x80, 0];
    return Uint8Array.from([...head, ...length, ...event, ...delta]);
  },
  "with other data before the data": (envelope) => {
    const { head, event, delta } = partsOf(envelope);
    const twice = [0x12, 1, 0x78, ...event];
    const length = [(twice.length & 0x7f) | 0x80, twice.length >> 7];
    return Uint8Array.from([...head, ...length, ...twice, ...delta]);
  },
};

function messageOf(given: SentMessage): Plain {
  const { room = "lobby", lost } = given;
  const routed = { room_id: room, sender_id: "bob", offset: versionOf(given) };
  if (lost) return { ...routed, signal: { kind: "GAP", target: room, reason: "delta" } };
  const data = toHex(textOf(versionOf(given)));
  return { ...routed, event: { type: "t", data, content_type: "text/plain" } };
}

function frameOf(given: SentMessage): Uint8Array {
  const { plain, from, room = "lobby", odd, vcdiff, slot = 0 } = given;
  const offset = versionOf(given);
  const data = textOf(offset);
  const event = { type: "t", data, content_type: "text/plain" };
  const frame = writeEnvelope({ room_id: room, sender_id: "bob", offset, event }, Opcode.MSG);
  const span = findData(frame.subarray(1));
  if (span === undefined) throw new TypeError("a message without data");
  const makeDiff = vcdiff === undefined ? diffOf : vcdiffOf;
  const sent = from === undefined ? data : makeDiff(textOf(from), data);
  const checksum = adler32(vcdiff === "wrong" ? sent : data);
  const { number = offset, base = from ?? 0 } = given;
  const delta = { slot, number, base, ...(vcdiff !== undefined && { checksum }) };
  const written = withData(frame, span, sent, plain === undefined ? delta : undefined);
  return odd === undefined ? written : encodeMsg(ODD[odd]!(written.subarray(1)));
}

function stepOf(step: Step): unknown {
  if ("sub" in step || "unsub" in step) return step;
  if (!Array.isArray(step)) {
    const given = step as SentMessage;
    return { hex: toHex(frameOf(given)), expect: { kind: "msg", message: messageOf(given) } };
  }
  const hex = toHex(encodeBatch(step.map((given) => frameOf(given).subarray(1))));
  return { hex, expect: { kind: "batch", messages: step.map(messageOf) } };
}

/** The frames of one connection, in order. */
export function connectionCases({ connections, bounded }: DeltaCases): Plain[] {
  const of = (cases: Connections, more: Plain) =>
    Object.entries(cases).map(([name, steps]) => (
      { name, kind: "connection", ...more, steps: steps.map(stepOf) }
    ));
  return [...of(connections, {}), ...of(bounded, { bytes_max: KEPT_BYTES })];
}
