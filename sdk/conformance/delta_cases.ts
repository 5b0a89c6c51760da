/**
 * Cases of deltas.json: diffs by the npm package that the Shield uses, diffs by hand that are none, and
 * messages with deltas as one connection receives them. `generate.ts` writes them; nothing is decoded here.
 */
import {
  adler32,
  encodeBatch,
  encodeMsg,
  findData,
  Opcode,
  withData,
  writeEnvelope,
} from "@arqon/proto";
import type { Delta } from "@arqon/proto";
import { createDelta } from "fossil-delta";
import { type Plain, toHex } from "./plain.ts";

const BYTES_MAX = 16_777_216;
const bytes = (text: string) => new TextEncoder().encode(text);
const diffOf = (base: Uint8Array, data: Uint8Array) => createDelta(base, data) as Uint8Array;

/** A diff by which only the bytes before and behind the longest common end are other ones. */
function vcdiffOf(base: Uint8Array, data: Uint8Array): Uint8Array {
  let same = 0;
  const most = Math.min(base.length, data.length);
  while (same < most && base.at(-1 - same) === data.at(-1 - same)) same++;
  const added = data.subarray(0, data.length - same);
  const number = (value: number) => value < 128 ? [value] : [0x80 | value >> 7, value & 0x7f];
  const told = [
    ...(added.length > 0 ? [1, ...number(added.length)] : []),
    ...(same > 0 ? [19, ...number(same)] : []),
  ];
  const places = same > 0 ? number(base.length - same) : [];
  const sizes = [added, told, places].flatMap(({ length }) => number(length));
  const window = [...number(data.length), 0, ...sizes, ...added, ...told, ...places];
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
/** Name and diff from `BASE` that no client may take. The sum of "0123" is lCJ8o. */
const REFUSED: readonly (readonly [string, string])[] = [
  ["no bytes at all", ""],
  ["no size", "\n4@0,lCJ8o;"],
  ["no end", "4\n4@0,"],
  ["no sum", "4\n4@0,;"],
  ["another sum", "4\n4@0,lCJ8p;"],
  ["a byte behind the end", "4\n4@0,lCJ8o;\n"],
  ["less than the size", "5\n4@0,lCJ8o;"],
  ["more than the size", "3\n4@0,lCJ8o;"],
  ["a copy from beyond the base", "4\n4@D,lCJ8o;"],
  ["a copy with nothing behind its place", "4\n4@0"],
  ["a copy with another mark", "4\n4@0:lCJ8o;"],
  ["more to insert than there is", "Z\nW:0123lCJ8o;"],
  ["a mark that is none", "4\n4!0,lCJ8o;"],
  ["a digit that is none", "4\n4@-,lCJ8o;"],
  ["a size beyond 32 bits", "4000004\n4@0,lCJ8o;"],
  ["a place beyond 64 bits", "4\n4@~~~~~~~~~~~~,lCJ8o;"],
  ["more than any message may have", "10001\n4@0,lCJ8o;"],
];

/** Diffs, and what they make. */
export function diffCases(): Plain[] {
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
    ...REFUSED.map(([name, diff]) => (
      { ...row(name, bytes(BASE), bytes(diff), BYTES_MAX), expect: null }
    )),
  ];
}

/** What a message of a step says: the version of `textOf`, whole or as a diff from another. */
interface Said {
  readonly version: number;
  readonly from?: number;
  readonly delta?: Delta;
  readonly room?: string;
  readonly lost?: true;
  /** In VCDIFF; `wrong`: with the checksum of other data. */
  readonly vcdiff?: "right" | "wrong";
  /** Another way to write the same envelope. */
  readonly odd?: (envelope: Uint8Array) => Uint8Array;
}

type Step = { readonly sub: string } | { readonly unsub: string } | Said | readonly Said[];

/** Of versions that are neighbours no place is the same. */
const textOf = (version: number) => bytes(`${"*".repeat(version % 3)}${LINES}version ${version}`);
const whole = (version: number, slot = 0, room = "lobby"): Said => (
  { version, room, delta: { slot, number: version, base: 0 } }
);
const diff = (version: number, from: number, slot = 0, room = "lobby"): Said => (
  { version, from, room, delta: { slot, number: version, base: from } }
);
const lost = (said: Said): Said => ({ ...said, lost: true });
const SUB = { sub: "lobby" };
const oddly = (said: Said, odd: NonNullable<Said["odd"]>): Said => ({ ...said, odd });

const inVcdiff = (said: Said, vcdiff: "right" | "wrong" = "right"): Said => ({ ...said, vcdiff });

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

/** Ways to write a message that Protobuf reads as the same. */
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

const CONNECTIONS: Readonly<Record<string, readonly Step[]>> = {
  "whole, and diffs after it": [SUB, whole(1), diff(2, 1), diff(3, 2)],
  "a diff whose base never came": [SUB, lost(diff(2, 1))],
  "a diff from a base that is not kept any more": [SUB, whole(1), whole(2), lost(diff(3, 1))],
  "a diff that does not fit what has its number": [
    SUB,
    whole(1),
    lost({ ...diff(3, 2), delta: { slot: 0, number: 3, base: 1 } }),
    lost(diff(4, 1)),
  ],
  "after a loss all is lost until something whole comes": [
    SUB,
    lost(diff(2, 1)),
    lost(diff(3, 2)),
    whole(4),
    diff(5, 4),
  ],
  "each slot has its own": [
    SUB,
    whole(1),
    whole(2, 1),
    diff(3, 1),
    diff(4, 2, 1),
    lost(diff(5, 4)),
  ],
  "each room has its own": [
    SUB,
    { sub: "hall" },
    whole(1),
    lost(diff(2, 1, 0, "hall")),
    whole(3, 0, "hall"),
    diff(4, 1),
    diff(5, 3, 0, "hall"),
  ],
  "what has no delta is neither kept nor forgets anything": [
    SUB,
    whole(1),
    { version: 2 },
    diff(3, 1),
  ],
  "in a batch, in its order": [SUB, [whole(1), diff(2, 1), { version: 3 }, diff(4, 2)], diff(5, 4)],
  "a loss in a batch": [SUB, [whole(1), lost(diff(3, 2)), lost(diff(4, 3)), whole(5)], diff(6, 5)],
  "a SUB again, while diffs are on their way": [
    SUB,
    whole(1),
    SUB,
    diff(2, 1),
    whole(3),
    diff(4, 3),
  ],
  "after an UNSUB nothing is kept": [
    SUB,
    whole(1),
    { unsub: "lobby" },
    lost(diff(2, 1)),
    whole(3),
    SUB,
    lost(diff(4, 3)),
  ],
  "numbers beyond 32 bits": [SUB, whole(2 ** 40), diff(2 ** 40 + 1, 2 ** 40)],
  "the last slot that is kept": [SUB, whole(1, 4_095), diff(2, 1, 4_095)],
  ...Object.fromEntries(
    Object.entries(ODD).map(([how, odd]) => [
      `a message ${how}`,
      [SUB, oddly(whole(1), odd), oddly(diff(2, 1), odd), diff(3, 2), [oddly(diff(4, 3), odd)]],
    ]),
  ),
  "a diff without a number": [
    SUB,
    whole(1),
    lost({ version: 2, from: 1, delta: { slot: 0, number: 0, base: 2 } }),
  ],
  "a slot that no Shield has": [SUB, whole(1, 4_096), lost(diff(2, 1, 4_096))],
  "in VCDIFF, and in turns with Fossil": [
    SUB,
    whole(1),
    inVcdiff(diff(2, 1)),
    diff(3, 2),
    [inVcdiff(diff(4, 3)), inVcdiff(diff(5, 4))],
  ],
  "in VCDIFF with the checksum of something else": [
    SUB,
    whole(1),
    lost(inVcdiff(diff(2, 1), "wrong")),
    lost(inVcdiff(diff(3, 1))),
  ],
  "a pattern's rooms, each with its own": [
    { sub: "lo*" },
    whole(1),
    whole(2, 0, "loft"),
    diff(3, 1),
    inVcdiff(diff(4, 2, 0, "loft")),
    lost(diff(5, 4)),
  ],
  "a room that a pattern does not match": [
    { sub: "lo*" },
    whole(1, 0, "hall"),
    lost(diff(2, 1, 0, "hall")),
  ],
  "a pattern goes on when the room's own SUB ends": [
    { sub: "lo*" },
    SUB,
    whole(1),
    { unsub: "lobby" },
    diff(2, 1),
    { unsub: "lo*" },
    lost(diff(3, 2)),
  ],
};

/** What was kept first is let go when this many bytes are not enough; each data takes 256 more than it has. */
const KEPT_BYTES = 2 * (textOf(2).length + 256);
const BOUNDED: Readonly<Record<string, readonly Step[]>> = {
  "of three rooms two are kept": [
    { sub: "*" },
    whole(1),
    whole(2, 0, "loft"),
    whole(3, 0, "hall"),
    lost(diff(4, 1)),
    diff(5, 2, 0, "loft"),
    whole(6),
    lost(diff(7, 3, 0, "hall")),
    diff(8, 5, 0, "loft"),
    diff(10, 6),
  ],
  "slots of one room count, too": [
    SUB,
    whole(1),
    whole(2, 1),
    whole(3, 2),
    lost(diff(4, 1)),
    diff(5, 2, 1),
  ],
};

function messageOf({ version, room = "lobby", lost }: Said): Plain {
  const routed = { room_id: room, sender_id: "bob", offset: version };
  if (lost) return { ...routed, signal: { kind: "GAP", target: room, reason: "delta" } };
  const data = toHex(textOf(version));
  return { ...routed, event: { type: "t", data, content_type: "text/plain" } };
}

function frameOf({ version, from, delta, room = "lobby", odd, vcdiff }: Said): Uint8Array {
  const data = textOf(version);
  const event = { type: "t", data, content_type: "text/plain" };
  const frame = writeEnvelope(
    { room_id: room, sender_id: "bob", offset: version, event },
    Opcode.MSG,
  );
  const span = findData(frame.subarray(1));
  if (span === undefined) throw new TypeError("a message without data");
  const makeDiff = vcdiff === undefined ? diffOf : vcdiffOf;
  const sent = from === undefined ? data : makeDiff(textOf(from), data);
  const checksum = adler32(vcdiff === "wrong" ? sent : data);
  const is = delta && vcdiff !== undefined ? { ...delta, checksum } : delta;
  const written = withData(frame, span, sent, is);
  return odd === undefined ? written : encodeMsg(odd(written.subarray(1)));
}

function stepOf(step: Step): unknown {
  if ("sub" in step || "unsub" in step) return step;
  if (!("version" in step)) {
    const hex = toHex(encodeBatch(step.map((said) => frameOf(said).subarray(1))));
    return { hex, expect: { kind: "batch", messages: step.map(messageOf) } };
  }
  return { hex: toHex(frameOf(step)), expect: { kind: "msg", message: messageOf(step) } };
}

/** What one connection receives, in order. */
export function connectionCases(): Plain[] {
  const of = (name: string, steps: readonly Step[], more: Plain) => (
    { name, kind: "connection", ...more, steps: steps.map(stepOf) }
  );
  return [
    ...Object.entries(CONNECTIONS).map(([name, steps]) => of(name, steps, {})),
    ...Object.entries(BOUNDED).map(([name, steps]) => of(name, steps, { bytes_max: KEPT_BYTES })),
  ];
}
