/**
 * SHA-256 of four inputs at a time, in the lanes of WebAssembly's vectors: a quarter of the time of one after the
 * other. The module is made here, a round after the other without a loop. Without WebAssembly there are no lanes. Pure.
 */
import { K, sha256, START } from "./sha256.ts";

/** Inputs that are hashed together. */
const LANES = 4;
const HASH_BYTES = 32;
const BLOCK_BYTES = 64;
/** Where the memory has the number of blocks of each lane, the hashes, and the inputs; the constants come first. */
const COUNTS = 256;
const HASHES = 512;
const INPUTS = 1_024;
/** The most bytes of an input with its padding, which is the distance of two lanes. */
const STRIDE = 2_048;
const PADDING_BYTES = 9;

// The function's locals. Its parameter is the number of blocks of the longest input.
const BLOCKS = 0;
const BLOCK = 1;
const PLACE = 2;
const STATE = 3;
const VARIABLES = 11;
const WORDS = 19;
const SPARE = 35;
const MASK = 36;
const VECTORS = 34;

const GET = 0x20;
const SET = 0x21;
const TEE = 0x22;
const CONST = 0x41;
const ADD = 0x6a;
const I32 = 0x7f;
const V128 = 0x7b;
/** Instructions of vectors, each behind this byte. */
const VECTOR = 0xfd;
const ADDED = [VECTOR, 0xae, 1];
const SELECT = [VECTOR, 0x52];
const OR = [VECTOR, 0x50];
const XOR = [VECTOR, 0x51];
const LEFT = [VECTOR, 0xab, 1];
const RIGHT = [VECTOR, 0xad, 1];
/** Both operands are the same vector, whose words get the other order of bytes. */
const SWAPPED = [VECTOR, 0x0d, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12];

/** A number as the format has it, seven bits a byte. */
const leb = (value: number): number[] =>
  value < 128 ? [value] : [value & 127 | 128, ...leb(value >> 7)];
const sized = (bytes: readonly number[]) => [...leb(bytes.length), ...bytes];
const section = (id: number, bytes: readonly number[]) => [id, ...sized(bytes)];
const get = (...locals: readonly number[]) => locals.flatMap((local) => [GET, local]);
const shifted = (x: number, bits: number, by: readonly number[]) => [...get(x), CONST, bits, ...by];
const rotated = (x: number, bits: number) => [
  ...shifted(x, bits, RIGHT),
  ...shifted(x, 32 - bits, LEFT),
  ...OR,
];
const splat = (word: number) => Array.from({ length: 16 }, (_, at) => word >>> 8 * (at & 3) & 255);

/** The words of a block, each with the same one of all lanes. */
const loaded = (): number[] =>
  Array.from({ length: 16 }, (_, word) => {
    const from = (lane: number) => [2, ...leb(INPUTS + STRIDE * lane + 4 * word)];
    return [
      ...[...get(PLACE, PLACE, PLACE, PLACE), VECTOR, 0x5c, ...from(0)],
      ...[1, 2, 3].flatMap((lane) => [VECTOR, 0x56, ...from(lane), lane]),
      ...[TEE, SPARE, ...get(SPARE), ...SWAPPED, SET, WORDS + word],
    ];
  }).flat();

/** The next word of the message schedule, in place of the one 16 rounds ago. */
function scheduled(round: number): number[] {
  const [word, early, middle, late] = [0, 1, 9, 14].map((after) => WORDS + (round + after) % 16);
  return [
    ...get(word!, middle!),
    ...ADDED,
    ...[...rotated(early!, 7), ...rotated(early!, 18), ...XOR],
    ...[...shifted(early!, 3, RIGHT), ...XOR, ...ADDED],
    ...[...rotated(late!, 17), ...rotated(late!, 19), ...XOR],
    ...[...shifted(late!, 10, RIGHT), ...XOR, ...ADDED],
    ...[SET, word!],
  ];
}

/** One round. The variables change their names instead of their places. */
function rounded(round: number): number[] {
  const [a, b, c, d, e, f, g, h] = Array.from(
    { length: 8 },
    (_, at) => VARIABLES + (at - round % 8 + 8) % 8,
  ) as [number, number, number, number, number, number, number, number];
  return [
    ...(round < 16 ? [] : scheduled(round)),
    ...[...get(h), ...rotated(e, 6), ...rotated(e, 11), ...XOR, ...rotated(e, 25), ...XOR],
    ...[...ADDED, ...get(f, g, e), ...SELECT, ...ADDED],
    ...[CONST, 0, VECTOR, 0x09, 2, ...leb(4 * round), ...ADDED],
    ...[...get(WORDS + round % 16), ...ADDED, TEE, SPARE],
    ...[...get(d), ...ADDED, SET, d],
    ...[...get(SPARE), ...rotated(a, 2), ...rotated(a, 13), ...XOR, ...rotated(a, 22), ...XOR],
    ...[...ADDED, ...get(c, b, a, b), ...XOR, ...SELECT, ...ADDED, SET, h],
  ];
}

const eight = (make: (at: number) => readonly number[]) =>
  Array.from({ length: 8 }, (_, at) => make(at)).flat();

function made(): Uint8Array<ArrayBuffer> {
  const body = [
    ...[2, 2, I32, VECTORS, V128],
    ...eight((at) => [VECTOR, 0x0c, ...splat(START[at]!), SET, STATE + at]),
    ...[0x03, 0x40],
    ...[...get(BLOCK), CONST, 6, 0x74, SET, PLACE],
    ...loaded(),
    ...eight((at) => [...get(STATE + at), SET, VARIABLES + at]),
    ...Array.from({ length: 64 }, (_, round) => rounded(round)).flat(),
    // A lane whose input has ended keeps its state.
    ...[...get(BLOCK), VECTOR, 0x11, CONST, 0, VECTOR, 0, 4, ...leb(COUNTS)],
    ...[VECTOR, 0x39, SET, MASK],
    ...eight((at) => [
      ...[...get(STATE + at, VARIABLES + at), ...ADDED, ...get(STATE + at, MASK)],
      ...[...SELECT, SET, STATE + at],
    ]),
    ...[...get(BLOCK), CONST, 1, ADD, TEE, BLOCK, ...get(BLOCKS), 0x49, 0x0d, 0, 0x0b],
    ...eight((at) => [
      ...[...get(STATE + at, STATE + at), ...SWAPPED, SET, SPARE],
      ...[0, 1, 2, 3].flatMap((lane) => [
        ...[CONST, 0, ...get(SPARE), VECTOR, 0x5a, 2],
        ...[...leb(HASHES + HASH_BYTES * lane + 4 * at), lane],
      ]),
    ]),
    0x0b,
  ];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 1, I32, 0]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, 1]),
    // The memory as "m", and the function as "f".
    ...section(7, [2, 1, 0x6d, 2, 0, 1, 0x66, 0, 0]),
    ...section(10, [1, ...sized(body)]),
  ]);
}

interface Machine {
  /** Hashes the lanes' inputs; the longest one has this many blocks. */
  readonly run: (blocks: number) => void;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly hashes: Uint8Array;
}

/** undefined: there is none here; null: nobody has asked yet. */
let machine: Machine | undefined | null = null;

function opened(): Machine | undefined {
  try {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(made()));
    const { buffer } = exports["m"] as WebAssembly.Memory;
    new Int32Array(buffer).set(K);
    return {
      run: exports["f"] as Machine["run"],
      bytes: new Uint8Array(buffer),
      view: new DataView(buffer),
      hashes: new Uint8Array(buffer, HASHES, LANES * HASH_BYTES),
    };
  } catch {
    // No WebAssembly, none with vectors, or a page whose policy forbids it.
    return undefined;
  }
}

/** Puts an input into a lane, and returns its number of blocks; 0: it does not fit. */
function filled({ bytes, view }: Machine, lane: number, prefix: number, input: Uint8Array): number {
  const size = 1 + input.length;
  if (size + PADDING_BYTES > STRIDE) return 0;
  const start = INPUTS + STRIDE * lane;
  bytes[start] = prefix;
  bytes.set(input, start + 1);
  const end = start + size;
  const blocks = size + PADDING_BYTES + BLOCK_BYTES - 1 >> 6;
  const last = start + BLOCK_BYTES * blocks;
  bytes.fill(0, end, last);
  bytes[end] = 0x80;
  view.setUint32(last - 4, 8 * size);
  view.setInt32(COUNTS + 4 * lane, blocks, true);
  return blocks;
}

/** Hashes the inputs from an index on, one in each lane; false: they do not fit, or there are no lanes. */
function isHashed(
  prefix: number,
  inputs: readonly Uint8Array[],
  from: number,
  into: Uint8Array,
): boolean {
  if (machine === null) machine = opened();
  if (machine === undefined || from + LANES > inputs.length) return false;
  let most = 0;
  for (let lane = 0; lane < LANES; lane++) {
    const blocks = filled(machine, lane, prefix, inputs[from + lane]!);
    if (blocks === 0) return false;
    most = Math.max(most, blocks);
  }
  machine.run(most);
  into.set(machine.hashes, from * HASH_BYTES);
  return true;
}

/** The hashes of inputs, each behind the byte `prefix`, in one array. */
export function sha256All(prefix: number, inputs: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const hashes = new Uint8Array(inputs.length * HASH_BYTES);
  for (let at = 0; at < inputs.length;) {
    if (isHashed(prefix, inputs, at, hashes)) {
      at += LANES;
      continue;
    }
    const input = inputs[at]!;
    const whole = new Uint8Array(1 + input.length);
    whole[0] = prefix;
    whole.set(input, 1);
    hashes.set(sha256(whole), at * HASH_BYTES);
    at++;
  }
  return hashes;
}
