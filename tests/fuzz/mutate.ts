/**
 * Makes bad input from good: flips bits, moves, cuts or repeats parts, falsifies lengths, inserts words of the format.
 * Deterministic: the same random stream gives the same bytes. Independent of decoders.
 */
import type { Random } from "../../shared/testing/seeded.ts";

/** The material for inputs. */
export interface Corpus {
  /** At least one; each is input that the decoder accepts, or nearly. */
  readonly seeds: readonly Uint8Array[];
  /** Pieces that have a meaning for the decoder. */
  readonly words: readonly Uint8Array[];
  /** Maximum length of an input. */
  readonly bytes_max: number;
}

/** Lengths and numbers at the limits of readers, as varints. */
const VARINTS = [
  [0x00],
  [0x01],
  [0x7f],
  [0x80, 0x00],
  [0x80, 0x01],
  [0xff, 0x7f],
  [0xff, 0xff, 0xff, 0xff, 0x07],
  [0xff, 0xff, 0xff, 0xff, 0x0f],
  [0x80, 0x80, 0x80, 0x80, 0x10],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
  [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80],
].map((bytes) => Uint8Array.from(bytes));
const BYTES = [0x00, 0x01, 0x0a, 0x20, 0x22, 0x30, 0x7f, 0x80, 0xc0, 0xed, 0xf4, 0xff];
const NUMBERS = ["0", "-1", "1e400", "9007199254740993", "-0", "1.5", "1e-9", "00"];
const STEPS_MAX = 6;
const REPEATS_MAX = 200;

type Mutator = (random: Random, bytes: Uint8Array, corpus: Corpus) => Uint8Array;

/** Two positions in order. */
function span(random: Random, { length }: Uint8Array, most = length): [from: number, to: number] {
  const from = random.int(0, length);
  return [from, Math.min(length, from + random.int(0, most))];
}

function replaced(bytes: Uint8Array, from: number, to: number, by: Uint8Array): Uint8Array {
  const out = new Uint8Array(bytes.length - (to - from) + by.length);
  out.set(bytes.subarray(0, from));
  out.set(by, from);
  out.set(bytes.subarray(to), from + by.length);
  return out;
}

function flip(random: Random, bytes: Uint8Array): Uint8Array {
  const out = bytes.slice();
  for (let left = random.int(1, 4); left > 0 && out.length > 0; left--) {
    out[random.int(0, out.length - 1)]! ^= 1 << random.int(0, 7);
  }
  return out;
}

function setByte(random: Random, bytes: Uint8Array): Uint8Array {
  const out = bytes.slice();
  if (out.length === 0) return out;
  out[random.int(0, out.length - 1)] = random.chance(0.5) ? random.pick(BYTES) : random.int(0, 255);
  return out;
}

function cut(random: Random, bytes: Uint8Array): Uint8Array {
  const at = random.int(0, bytes.length);
  return random.chance(0.8) ? bytes.slice(0, at) : bytes.slice(at);
}

function remove(random: Random, bytes: Uint8Array): Uint8Array {
  const [from, to] = span(random, bytes, 32);
  return replaced(bytes, from, to, new Uint8Array(0));
}

function insert(random: Random, bytes: Uint8Array, { words }: Corpus): Uint8Array {
  const [from, to] = span(random, bytes, random.chance(0.5) ? 0 : 8);
  const noise = Uint8Array.from({ length: random.int(1, 9) }, () => random.int(0, 255));
  return replaced(bytes, from, to, words.length === 0 ? noise : random.pick(words));
}

/** Replaces the middle of one input by the middle of another. */
function splice(random: Random, bytes: Uint8Array, { seeds }: Corpus): Uint8Array {
  const other = random.pick(seeds);
  const [from, to] = span(random, bytes);
  const [other_from, other_to] = span(random, other);
  return replaced(bytes, from, to, other.subarray(other_from, other_to));
}

function repeat(random: Random, bytes: Uint8Array, { bytes_max }: Corpus): Uint8Array {
  const [from, to] = span(random, bytes, 64);
  const size = to - from;
  if (size === 0) return bytes;
  const room = Math.floor(Math.max(0, bytes_max - bytes.length) / size);
  const times = Math.min(random.chance(0.2) ? REPEATS_MAX : random.int(1, 4), room);
  const copies = new Uint8Array(size * times);
  for (let at = 0; at < copies.length; at += size) copies.set(bytes.subarray(from, to), at);
  return replaced(bytes, to, to, copies);
}

/** Changes a byte that is probably a length by one, or to an extreme value. */
function falsifyLength(random: Random, bytes: Uint8Array): Uint8Array {
  const fits: number[] = [];
  for (let at = 0; at < bytes.length && fits.length < 64; at++) {
    const value = bytes[at]!;
    if (value > 0 && value < 0x80 && at + 1 + value <= bytes.length) fits.push(at);
  }
  if (fits.length === 0) return setByte(random, bytes);
  const at = random.pick(fits);
  if (random.chance(0.5)) return replaced(bytes, at, at + 1, random.pick(VARINTS));
  const out = bytes.slice();
  out[at] = Math.max(0, out[at]! + random.pick([-1, 1, 2, 64]));
  return out;
}

function number(random: Random, bytes: Uint8Array): Uint8Array {
  const digits: number[] = [];
  for (let at = 0; at < bytes.length && digits.length < 64; at++) {
    if (bytes[at]! >= 0x30 && bytes[at]! <= 0x39) digits.push(at);
  }
  if (digits.length === 0) return setByte(random, bytes);
  const at = random.pick(digits);
  return replaced(bytes, at, at + 1, new TextEncoder().encode(random.pick(NUMBERS)));
}

const MUTATORS: readonly Mutator[] = [
  flip,
  setByte,
  cut,
  remove,
  insert,
  insert,
  splice,
  repeat,
  falsifyLength,
  falsifyLength,
  number,
];

/** One input. Sometimes an unchanged seed, or only noise. */
export function mutated(random: Random, corpus: Corpus): Uint8Array {
  let bytes = random.pick(corpus.seeds);
  if (random.chance(0.01)) return bytes;
  if (random.chance(0.01)) {
    const size = random.int(0, Math.min(256, corpus.bytes_max));
    return Uint8Array.from({ length: size }, () => random.int(0, 255));
  }
  for (let left = random.int(1, STEPS_MAX); left > 0; left--) {
    bytes = random.pick(MUTATORS)(random, bytes, corpus).subarray(0, corpus.bytes_max);
  }
  return bytes;
}
