/**
 * What a peer may send by RFC 6455 and what a server does with it: cases after those of the Autobahn
 * test suite, by its sections. Pure data; `rfc_cases_test.ts` plays them against every kind of socket,
 * and docs/websocket.md shows the outcomes.
 */
import { concat } from "../../../shared/containers/concat.ts";
import { BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT } from "../frame_head.ts";

/** What comes of a case: every message is taken, or the connection is ended with a close code. */
export type Outcome = "taken" | `closed ${number}`;

/** One frame as a client sends it, always with a mask unless it says otherwise. */
export interface CaseFrame {
  readonly opcode: number;
  readonly body: Uint8Array;
  readonly fin?: boolean;
  /** Reserved bits, 0 to 7. */
  readonly reserved?: number;
  readonly masked?: boolean;
  /** Bytes of the extended length, 2 or 8; absent: as few as the body needs. */
  readonly length_bytes?: 0 | 2 | 8;
}

/** One case. */
export interface RfcCase {
  readonly section: string;
  readonly what: string;
  readonly frames: readonly CaseFrame[];
  /** What the server is to hand out: text, or bytes. */
  readonly messages: readonly (string | Uint8Array)[];
  /** The bodies of the PONGs that it sends. */
  readonly pongs: readonly Uint8Array[];
  /** What the RFC asks for; several where it leaves a choice. */
  readonly outcomes: readonly Outcome[];
}

const utf8 = (text: string) => new TextEncoder().encode(text);
const fill = (length: number) => new Uint8Array(length).fill(0x2a);
const text = (body: string, fin = true): CaseFrame => ({ opcode: TEXT, body: utf8(body), fin });
const more = (body: string | Uint8Array, fin = false): CaseFrame => ({
  opcode: CONTINUATION,
  body: typeof body === "string" ? utf8(body) : body,
  fin,
});
const ping = (body = ""): CaseFrame => ({ opcode: PING, body: utf8(body) });
const close = (body: Uint8Array): CaseFrame => ({ opcode: CLOSE, body });
const closeOf = (code: number, reason = "") =>
  close(new Uint8Array([code >>> 8, code & 0xff, ...utf8(reason)]));

type Parts = Partial<Pick<RfcCase, "messages" | "pongs">>;

function taken(section: string, what: string, frames: readonly CaseFrame[], parts: Parts): RfcCase {
  return { section, what, frames, messages: [], pongs: [], outcomes: ["taken"], ...parts };
}

function refused(
  section: string,
  what: string,
  frames: readonly CaseFrame[],
  outcomes: readonly Outcome[] = ["closed 1002"],
  parts: Parts = {},
): RfcCase {
  return { section, what, frames, messages: [], pongs: [], outcomes, ...parts };
}

const SIZES = [0, 1, 125, 126, 127, 128, 65_535, 65_536, 1_000_000];

const FRAMING = SIZES.flatMap((size) => [
  taken("1 framing", `text of ${size} bytes`, [{ opcode: TEXT, body: fill(size) }], {
    messages: ["*".repeat(size)],
  }),
  taken("1 framing", `binary of ${size} bytes`, [{ opcode: BINARY, body: fill(size) }], {
    messages: [fill(size)],
  }),
]);

const PINGS: readonly RfcCase[] = [
  taken("2 pings", "an empty ping", [ping()], { pongs: [utf8("")] }),
  taken("2 pings", "a ping with text", [ping("Hello")], { pongs: [utf8("Hello")] }),
  taken("2 pings", "a ping of 125 bytes", [{ opcode: PING, body: fill(125) }], {
    pongs: [fill(125)],
  }),
  refused("2 pings", "a ping of 126 bytes", [{ opcode: PING, body: fill(126) }]),
  taken("2 pings", "a pong that nobody asked for", [{ opcode: PONG, body: utf8("?") }], {}),
  taken("2 pings", "ten pings", Array.from({ length: 10 }, (_, at) => ping(`${at}`)), {
    pongs: Array.from({ length: 10 }, (_, at) => utf8(`${at}`)),
  }),
];

const RESERVED = [1, 2, 3, 4, 5, 6, 7].map((reserved) =>
  refused("3 reserved bits", `reserved bits ${reserved}`, [{ ...text("x"), reserved }])
);

const OPCODES = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode) =>
  refused(
    "4 opcodes",
    `opcode ${opcode}`,
    [text("before"), { opcode, body: utf8("x") }],
    undefined,
    { messages: ["before"] },
  )
);

const FRAGMENTS: readonly RfcCase[] = [
  refused("5 fragments", "a ping in two", [{ ...ping("a"), fin: false }, more("b", true)]),
  refused("5 fragments", "a pong in two", [
    { opcode: PONG, body: utf8("a"), fin: false },
    more("b", true),
  ]),
  taken("5 fragments", "text in two", [text("one ", false), more("two", true)], {
    messages: ["one two"],
  }),
  taken("5 fragments", "a ping in between", [text("one ", false), ping("?"), more("two", true)], {
    messages: ["one two"],
    pongs: [utf8("?")],
  }),
  taken("5 fragments", "text in a hundred of one byte", [
    text("a", false),
    ...Array.from({ length: 98 }, () => more("b")),
    more("c", true),
  ], { messages: [`a${"b".repeat(98)}c`] }),
  taken("5 fragments", "empty ones", [text("", false), more(""), more("", true)], {
    messages: [""],
  }),
  refused("5 fragments", "a continuation of nothing, last", [more("x", true)]),
  refused("5 fragments", "a continuation of nothing, not last", [more("x"), text("y")]),
  refused(
    "5 fragments",
    "a continuation after a whole message",
    [text("a"), more("b", true)],
    undefined,
    { messages: ["a"] },
  ),
  refused("5 fragments", "a message within a message", [text("a", false), text("b")]),
];

const bytes = (...values: number[]) => new Uint8Array(values);
/** Unicode's own list of what no decoder may take, in parts. */
const NO_UTF8: readonly (readonly [string, Uint8Array])[] = [
  ["a lone continuation byte", bytes(0x80)],
  ["a first byte without the rest", bytes(0xce)],
  ["a sequence that is cut", bytes(0xf0, 0x9f, 0x98)],
  ["an overlong slash", bytes(0xc0, 0xaf)],
  ["an overlong NUL", bytes(0xe0, 0x80, 0x80)],
  ["a surrogate", bytes(0xed, 0xa0, 0x80)],
  ["beyond Unicode", bytes(0xf4, 0x90, 0x80, 0x80)],
  ["five bytes", bytes(0xf8, 0x88, 0x80, 0x80, 0x80)],
  ["0xFF", bytes(0xff)],
];
const GREEK = "κόσμε";

const LONG = "κ".repeat(100_000);

function inParts(body: string): CaseFrame[] {
  const bytes = utf8(body);
  const frames: CaseFrame[] = [];
  for (let at = 0; at < bytes.length; at += 40_001) {
    const part = bytes.subarray(at, at + 40_001);
    const fin = at + 40_001 >= bytes.length;
    frames.push({ opcode: at === 0 ? TEXT : CONTINUATION, body: part, fin });
  }
  return frames;
}

const UTF8: readonly RfcCase[] = [
  taken("6 UTF-8", "text beyond ASCII", [text(`${GREEK} 😀`)], { messages: [`${GREEK} 😀`] }),
  taken("6 UTF-8", "cut within characters", [
    { opcode: TEXT, body: utf8(GREEK).subarray(0, 3), fin: false },
    more(utf8(GREEK).subarray(3), true),
  ], { messages: [GREEK] }),
  taken("6 UTF-8", "200,000 bytes in fragments of 40,001, cut within characters", inParts(LONG), {
    messages: [LONG],
  }),
  taken("6 UTF-8", "a byte order mark and non-characters", [text("\ufeff\uffff\u{10fffe}")], {
    messages: ["\ufeff\uffff\u{10fffe}"],
  }),
  ...NO_UTF8.map(([what, body]) =>
    refused("6 UTF-8", what, [{ opcode: TEXT, body }], ["closed 1007"])
  ),
  refused("6 UTF-8", "wrong in the second fragment", [
    text("good", false),
    more(bytes(0xc0, 0xaf), true),
  ], ["closed 1007"]),
];

const CLOSES: readonly RfcCase[] = [
  refused("7 closing", "a close without a code", [close(bytes())], ["closed 1005", "closed 1000"]),
  refused("7 closing", "a close code of one byte", [close(bytes(3))]),
  ...[1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999].map((code) =>
    refused("7 closing", `code ${code}`, [closeOf(code)], [`closed ${code}`, "closed 1000"])
  ),
  ...[0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535].map((code) =>
    refused("7 closing", `code ${code}, which nobody may send`, [closeOf(code)])
  ),
  refused("7 closing", "a reason of 123 bytes", [closeOf(1000, "*".repeat(123))], ["closed 1000"]),
  refused("7 closing", "a reason that is too long", [closeOf(1000, "*".repeat(124))]),
  refused("7 closing", "a reason that is no UTF-8", [close(bytes(3, 0xe8, 0xff))], ["closed 1007"]),
  refused("7 closing", "text behind the close", [closeOf(1000), text("late")], ["closed 1000"]),
];

const MASKS: readonly RfcCase[] = [
  refused("5.1 masks", "text without a mask", [{ ...text("x"), masked: false }]),
  refused("5.1 masks", "a ping without a mask", [{ ...ping("x"), masked: false }]),
];

const LENGTHS: readonly RfcCase[] = [
  refused("5.2 lengths", "1 byte with a length of 16 bits", [{ ...text("x"), length_bytes: 2 }]),
  refused("5.2 lengths", "1 byte with a length of 64 bits", [{ ...text("x"), length_bytes: 8 }]),
  refused("5.2 lengths", "126 bytes with a length of 64 bits", [
    { opcode: BINARY, body: fill(126), length_bytes: 8 },
  ]),
  refused("5.2 lengths", "65535 bytes with a length of 64 bits", [
    { opcode: BINARY, body: fill(65_535), length_bytes: 8 },
  ]),
  refused("5.2 lengths", "a ping with a length of 16 bits", [{ ...ping("x"), length_bytes: 2 }]),
];

/** All of them. */
export const RFC_CASES: readonly RfcCase[] = [
  ...FRAMING,
  ...PINGS,
  ...RESERVED,
  ...OPCODES,
  ...FRAGMENTS,
  ...UTF8,
  ...CLOSES,
  ...MASKS,
  ...LENGTHS,
];

/** Frames as they go over the wire, with another mask each. */
export function bytesOfFrames(frames: readonly CaseFrame[]): Uint8Array<ArrayBuffer> {
  return concat(frames.map((frame, at) => bytesOfFrame(frame, 0x01020304 * (at + 1) >>> 0)));
}

function bytesOfFrame(frame: CaseFrame, mask: number): Uint8Array {
  const { opcode, body, fin = true, reserved = 0, masked = true } = frame;
  const least = body.length < 126 ? 0 : body.length < 0x1_0000 ? 2 : 8;
  const extra = frame.length_bytes ?? least;
  const start = 2 + extra + (masked ? 4 : 0);
  const bytes = new Uint8Array(start + body.length);
  const view = new DataView(bytes.buffer);
  bytes[0] = (fin ? 0x80 : 0) | reserved << 4 | opcode;
  bytes[1] = (masked ? 0x80 : 0) | (extra === 0 ? body.length : extra === 2 ? 126 : 127);
  if (extra === 2) view.setUint16(2, body.length);
  if (extra === 8) view.setBigUint64(2, BigInt(body.length));
  bytes.set(body, start);
  if (!masked) return bytes;
  view.setUint32(2 + extra, mask);
  for (let at = 0; at < body.length; at++) {
    bytes[start + at] = (body[at] as number) ^ (mask >>> (24 - 8 * (at % 4)) & 0xff);
  }
  return bytes;
}
