/**
 * Cases of deltas.json in VCDIFF (RFC 3284): diffs that xdelta3 3.0.11 made (`xdelta3 -e -9 -n -A -S none`), and
 * diffs by hand that are none, or that this protocol does not have. Nothing is encoded here but `vcdiffOf`.
 */
import { type Plain, toHex } from "./plain.ts";

const BYTES_MAX = 16_777_216;
const bytes = (text: string) => new TextEncoder().encode(text);

const LINES = Array.from({ length: 9 }, (_, n) => `line ${n} of what stays\n`).join("");
const NUMBERS = [
  "653159/16",
  "777820/22",
  "833820/33",
  "30414/29",
  "813651/15",
  "680499/3",
  "944662/10",
  "118705/23",
  "491854/15",
  "399253/34",
  "106927/36",
  "261442/0",
  "766701/13",
  "427977/17",
  "190920/24",
  "167357/4",
  "145508/39",
  "647445/28",
  "132853/8",
  "1861/0",
  "219630/13",
  "173913/10",
  "303358/20",
  "208550/34",
  "918677/13",
  "190493/12",
  "937156/24",
  "313302/1",
  "378735/26",
  "174017/9",
  "276626/4",
  "347974/19",
  "857106/38",
  "614613/0",
  "624929/21",
  "69229/19",
  "372612/19",
  "504097/20",
  "193748/30",
  "495492/11",
  "59769/16",
  "984625/1",
  "995329/22",
  "885921/25",
  "18945/35",
  "826003/26",
  "383972/24",
  "606620/0",
  "474818/2",
  "742138/11",
  "654010/12",
  "124802/15",
  "974814/29",
  "361110/32",
  "372027/33",
  "263081/29",
  "113301/37",
  "784752/23",
  "901454/18",
  "38410/27",
];
const ROWS = NUMBERS.map((pair, n) => {
  const [number, stop] = pair.split("/");
  return `${String(n).padStart(3, "0")} ${number} of the feed, stop ${stop}\n`;
});
/** The rows in another order. */
const ORDER = [
  5,
  13,
  21,
  32,
  39,
  23,
  58,
  9,
  21,
  17,
  59,
  44,
  34,
  5,
  19,
  43,
  20,
  19,
  11,
  51,
  5,
  40,
  9,
  46,
  44,
  19,
  30,
  10,
  46,
  3,
  5,
  38,
  34,
  59,
  25,
  2,
  15,
  47,
  38,
  22,
  52,
  16,
  29,
  41,
  26,
  9,
  3,
  58,
  40,
  2,
];
const PICKED = ORDER.map((at) => ROWS[at] ?? "").join("").replaceAll("7", "x");

/** Name, base, data, diff. */
const MADE: readonly (readonly [string, string, string, string])[] = [
  [
    "lines of which two change",
    LINES,
    LINES.replace("line 3 ", "line three ").replace("line 6 ", "zeile 6 "),
    "d6c3c4000001813d001a81420009080374687265657a65696c134406133905433c00453c",
  ],
  ["the same data", LINES, LINES, "d6c3c4000001813d000a813d0000030113813d00"],
  [
    "parts change places",
    LINES,
    LINES.slice(100) + LINES.slice(0, 100),
    "d6c3c4000001813d000c813d00000402135913646400",
  ],
  [
    "a run of one byte",
    LINES,
    LINES.slice(0, 20) + "=".repeat(300) + LINES.slice(20),
    "d6c3c4000001813d00118369000108023d131400822c1381290014",
  ],
  [
    "rows in another order, some twice, some changed",
    ROWS.join(""),
    PICKED,
    "d6c3c40000018e6209822e8c250056755d313320343278397878780a303231203178333220383578317820363478" +
    "78343020353978343620333833397832343330203278333633382031393378313520313678333578353220397832" +
    "392031783432362039337813200a131409331b07531863205320232013205322076317531f02431f4321531e131d" +
    "3320531f231e131f72132f075317232209331403431f931f0643171b3314032320131f53210863166321231f631f" +
    "1323092314f8631b431f13230663191322075443134321076318331f33205320531f4321811601837f825e815639" +
    "817c82147c82061f864d84101f8451821d1d5d8254817d8107871d8354876c7651826282338423811b563f881d87" +
    "14854d847935821d8317853c74852d812183728416816c826f82448313815a86188355813e",
  ],
  [
    "two halves change places",
    ROWS.join(""),
    ROWS.slice(30).join("") + ROWS.slice(0, 30).join(""),
    "d6c3c40000018e6d000f8e6d00000603138737138736873600",
  ],
];

const BASE = "0123456789abcdef";

/** A diff from `BASE` by hand; no number in it is above 127. */
interface ByHand {
  readonly header?: readonly number[];
  readonly indicator?: number;
  /** Length and place of the source. */
  readonly source?: readonly number[];
  readonly made: number;
  readonly compressed?: number;
  readonly added?: string;
  readonly told: readonly number[];
  readonly places?: readonly number[];
  readonly behind?: readonly number[];
}

const HEADER = [0xd6, 0xc3, 0xc4, 0, 0];
const COPY_OF_4 = 20;

function diffByHand(
  { header = HEADER, indicator = 1, source = [16, 0], made, ...rest }: ByHand,
): Uint8Array {
  const { compressed = 0, added = "", told, places = [], behind = [] } = rest;
  const sizes = [added.length, told.length, places.length];
  const window = [made, compressed, ...sizes, ...bytes(added), ...told, ...places];
  return Uint8Array.from([...header, indicator, ...source, window.length, ...window, ...behind]);
}

/** One copy of the first four bytes. */
const COPY: ByHand = { made: 4, told: [COPY_OF_4], places: [0] };

/** Name, diff, and what it makes; null: nothing. */
const BY_HAND: readonly (readonly [string, ByHand, string | null])[] = [
  ["a copy of four", COPY, "0123"],
  ["from the middle of the base", { ...COPY, source: [6, 10] }, "abcd"],
  ["without a source", { indicator: 0, source: [], made: 4, added: "wxyz", told: [5] }, "wxyz"],
  [
    "a copy of what it makes itself",
    { indicator: 0, source: [], made: 8, added: "xy", told: [3, 22], places: [0] },
    "xyxyxyxy",
  ],
  ["a copy over the end of the base", { ...COPY, places: [14] }, "efef"],
  ["a run", { made: 5, added: "=", told: [0, 5] }, "====="],
  ["an ADD and a COPY in one", { made: 5, added: "x", told: [163], places: [0] }, "x0123"],
  ["a COPY and an ADD in one", { made: 5, added: "x", told: [247], places: [0] }, "0123x"],
  [
    "an ADD and a COPY of where one was before",
    { made: 9, added: "x", told: [COPY_OF_4, 235], places: [9, 9] },
    "9abcx9abc",
  ],
  ["back from here", { made: 4, told: [COPY_OF_4 + 16], places: [16] }, "0123"],
  [
    "near the copy before",
    { made: 8, told: [COPY_OF_4, COPY_OF_4 + 32], places: [2, 5] },
    "2345789a",
  ],
  ["a size of its own", { made: 4, told: [19, 4], places: [12] }, "cdef"],
  ["nothing", { made: 0, told: [] }, ""],
  ["another version", { ...COPY, header: [0xd6, 0xc3, 0xc4, 0x53, 0] }, null],
  ["a code table of its own", { ...COPY, header: [0xd6, 0xc3, 0xc4, 0, 2] }, null],
  ["compressed on top", { ...COPY, header: [0xd6, 0xc3, 0xc4, 0, 1] }, null],
  ["sections that are compressed", { ...COPY, compressed: 1 }, null],
  ["a checksum in the window", { ...COPY, indicator: 5 }, null],
  ["a source that is what was made before", { ...COPY, indicator: 2 }, null],
  ["two windows", { ...COPY, behind: [...diffByHand(COPY).subarray(HEADER.length)] }, null],
  ["a source beyond the base", { ...COPY, source: [17, 0] }, null],
  ["a source that begins too late", { ...COPY, source: [16, 1] }, null],
  ["a place that is not there yet", { ...COPY, places: [16] }, null],
  ["back from before everything", { ...COPY, told: [COPY_OF_4 + 16], places: [17] }, null],
  ["more than it says", { ...COPY, made: 3 }, null],
  ["less than it says", { ...COPY, made: 5 }, null],
  ["an ADD without its bytes", { made: 2, added: "x", told: [3] }, null],
  ["bytes that nobody adds", { ...COPY, added: "x" }, null],
  ["a place that nobody copies from", { ...COPY, places: [0, 0] }, null],
  ["a copy without a place", { ...COPY, places: [] }, null],
  ["something behind the end", { ...COPY, behind: [0] }, null],
  ["a number beyond 32 bits", { ...COPY, told: [19, 0x90, 0x80, 0x80, 0x80, 0] }, null],
  ["a number that does not end", { ...COPY, told: [19, 0x80] }, null],
];

/** Diffs, and what they make. */
export function vcdiffCases(): Plain[] {
  const row = (name: string, base: string, diff: string, expect: string | null) => (
    {
      ...{ name: `VCDIFF: ${name}`, kind: "vcdiff", base: toHex(bytes(base)), diff },
      ...{ bytes_max: BYTES_MAX, expect: expect === null ? null : toHex(bytes(expect)) },
    }
  );
  const [name, base, data, diff] = MADE[0] ?? ["", "", "", ""];
  return [
    ...MADE.map(([name, base, data, diff]) => row(name, base, diff, data)),
    ...BY_HAND.map(([name, how, made]) => row(name, BASE, toHex(diffByHand(how)), made)),
    row("cut off in its header", BASE, "d6c3c400", null),
    { ...row(`${name}, more than is allowed`, base, diff, null), bytes_max: data.length - 1 },
  ];
}

/** A diff by which only the bytes before and behind the longest common end are other ones. */
export function vcdiffOf(base: Uint8Array, data: Uint8Array): Uint8Array {
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
  return Uint8Array.from([...HEADER, ...source, ...number(window.length), ...window]);
}
