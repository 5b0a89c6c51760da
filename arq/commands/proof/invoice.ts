/**
 * `arq usage invoice`: sums the minutes in a log of a tenant's usage, and compares them with the user's own counts. It
 * reads the log once.
 */
import { plural } from "../../../shared/plural.ts";
import { decodeLeaf } from "../../../shared/proof/entry.ts";
import { type Checkpoint, decodeProof } from "@arqon/proto";
import { provenBytes, type ReadEntry } from "../../../shared/proof/reader.ts";
import { noCounts } from "../../../shared/records/counts.ts";
import { amountsOf, USAGE_UNITS, type UsageUnit } from "../../../shared/usage/units.ts";
import { CommandError, EXIT, usageError } from "../../terminal/exit.ts";
import { type Ended, type Io, print } from "../../terminal/io.ts";
import { evident, linesOf, noKey, openNote, openSource, openTree, verifiersFor } from "./source.ts";
import type { Flags } from "../../program/flags.ts";
import { time } from "../../answers/figures.ts";
import { linesText } from "../../terminal/columns.ts";

/** Names a file of entries with their proofs. */
const PROOFS = ".proofs";
const MINUTE_MS = 60_000;
/** The most minutes of Shields and breaks in one invoice: a month of 20 Shields. */
const BLOCKS_MAX = 1_000_000;

type Counts = ReturnType<typeof noCounts>;
type Minutes = Map<number, Partial<Record<UsageUnit, number>>>;

/** The entries of a file of proofs: adjacent ones of one checkpoint. Throws an Error. */
async function* provenEntries(
  lines: AsyncIterable<string>,
  open: (note: string) => Promise<Checkpoint>,
): AsyncGenerator<ReadEntry> {
  let known: { readonly note: string; readonly tree: Checkpoint; next: number } | undefined;
  for await (const line of lines) {
    const proof = decodeProof(JSON.parse(line).proof);
    const { index, checkpoint: note } = proof;
    known ??= { note, tree: await open(note), next: index };
    if (note !== known.note) throw new Error("the proofs are of several checkpoints");
    if (index !== known.next++) throw new Error(`entry ${index} is not the next one`);
    const bytes = provenBytes(proof, known.tree);
    const entry = decodeLeaf(bytes);
    if (entry === undefined) throw new Error(`entry ${index} is none of a record`);
    yield { index, bytes, entry };
  }
}

function add(sums: Counts, counts: Readonly<Record<string, number>>): Counts {
  for (const [name, count] of Object.entries(counts)) {
    if (!Number.isSafeInteger(count) || count < 0) throw new Error(`it bills ${count} ${name}`);
    if (name in sums) sums[name as keyof Counts] += count;
  }
  return sums;
}

/** The sum of the entries from the first wanted minute to the last one; each block counts once. */
class Bill {
  readonly minutes = new Map<number, Counts>();
  readonly breaks: string[] = [];
  /** The indexes of the first and the last entry with a wanted minute; undefined: none yet. */
  places: readonly [first: number, last: number] | undefined;
  /** The content of blocks, by name. */
  readonly #known = new Map<string, string>();
  /** Entries after the last index: they count once another wanted minute follows. */
  readonly #behind: ReadEntry[] = [];
  readonly #isWanted: (minute: number) => boolean;

  constructor(isWanted: (minute: number) => boolean) {
    this.#isWanted = isWanted;
  }

  /** Adds the next entry. Throws an Error for an unreadable one. */
  take(one: ReadEntry): void {
    const use = "use" in one.entry ? one.entry.use : undefined;
    const is_wanted = use !== undefined && this.#isWanted(use.minute);
    if (!is_wanted && this.places === undefined) return;
    if (this.#behind.push(one) + this.#known.size > BLOCKS_MAX) {
      throw new CommandError(`the time has more than ${BLOCKS_MAX} entries: give --from and --to`);
    }
    if (!is_wanted) return;
    this.places = [this.places?.[0] ?? one.index, one.index];
    for (const { entry, index } of this.#behind.splice(0)) {
      if ("break" in entry) this.breaks.push(entry.break);
      else this.#bill(entry, index);
    }
  }

  #bill({ epoch, use, sha256 }: Exclude<ReadEntry["entry"], { break: string }>, index: number) {
    if (epoch !== "usage") throw new Error(`entry ${index} is none of a log of use`);
    if (use === undefined) throw new Error(`the minute of entry ${index} could not be read`);
    const { block, minute, counts } = use;
    const before = this.#known.get(block);
    if (before !== undefined && before !== sha256) {
      throw new Error(`entry ${index} says otherwise of block ${block} than one before`);
    }
    this.#known.set(block, sha256);
    if (before !== undefined || !this.#isWanted(minute)) return;
    this.minutes.set(minute, add(this.minutes.get(minute) ?? noCounts(), counts));
  }
}

/** Own counts by minute, of a file with an object a line. */
async function ownCounts(io: Io, file: string, isWanted: (minute: number) => boolean) {
  const own: Minutes = new Map();
  for await (const line of linesOf(io, file)) {
    try {
      const { minute, ...counts } = JSON.parse(line);
      const at = Math.floor(Date.parse(minute) / MINUTE_MS);
      const is_right = Number.isFinite(at) && !own.has(at) &&
        Object.entries(counts).every(([unit, count]) =>
          USAGE_UNITS.some((known) => known === unit) && typeof count === "number"
        );
      if (!is_right) throw new Error("not so");
      if (isWanted(at)) own.set(at, counts);
    } catch {
      const expected =
        '{"minute":"2026-11-27T10:05Z","messages_in":120}, each minute once, in units of arq usage';
      throw usageError(`${file}: expected ${expected}, not ${line.slice(0, 200)}`);
    }
  }
  return own;
}

/** The differences between the user's counts and the log. A missing minute counts as 0. */
function differencesOf(minutes: ReadonlyMap<number, Counts>, own: Minutes) {
  const units = new Set([...own.values()].flatMap((counts) => Object.keys(counts) as UsageUnit[]));
  const all = [...new Set([...minutes.keys(), ...own.keys()])].sort((a, b) => a - b);
  return all.flatMap((minute) => {
    const amounts = amountsOf(minutes.get(minute) ?? noCounts());
    return [...units].map((unit) => ({
      minute: time(minute * MINUTE_MS),
      unit,
      billed: amounts[unit],
      own: own.get(minute)?.[unit] ?? 0,
    })).filter((one) => one.billed !== one.own);
  });
}

/** Prints the sum of the proven minutes, or with `--proof` the minutes with their proofs. */
export async function invoice(io: Io, place: string, flags: Flags): Promise<Ended> {
  const { from = -Infinity, to = Infinity } = flags;
  const isWanted = (minute: number) => minute * MINUTE_MS >= from && minute * MINUTE_MS < to;
  const is_file = place.endsWith(PROOFS);
  if (is_file && flags.proof) throw usageError("--proof: the source has only proofs already");
  const source = is_file ? { files: noKey } : await openSource(io, place, flags);
  const tree = is_file ? undefined : (await openTree(io, source, flags)).tree;
  let checkpoint = tree?.checkpoint;
  const open = async (note: string) =>
    checkpoint = await openNote(note, await verifiersFor(io, source, flags), flags);
  const bill = new Bill(isWanted);
  await evident(async () => {
    for await (const one of tree?.whole() ?? provenEntries(linesOf(io, place), open)) {
      bill.take(one);
    }
  });
  const { places, minutes, breaks } = bill;
  if (places === undefined || checkpoint === undefined) {
    throw new CommandError("the log has no minute of that time");
  }
  if (flags.proof && tree !== undefined) {
    // Includes the entries between them, so that a missing one is detected.
    for await (const one of tree.entries(places[0])) {
      if (one.index > places[1]) break;
      const proof = await evident(() => tree.proofOf(one));
      await print(io.stdout, `${JSON.stringify({ proof })}\n`);
    }
    return EXIT.ok;
  }
  const own = flags.own === undefined ? undefined : await ownCounts(io, flags.own, isWanted);
  const differences = own === undefined ? [] : differencesOf(minutes, own);
  const { origin, size } = checkpoint;
  const total = amountsOf([...minutes.values()].reduce(add, noCounts()));
  const found = { origin, size, minutes: minutes.size, breaks, total, differences };
  const entries = plural(size, "entry", "entries");
  const lines = [
    `${origin}: ${plural(minutes.size, "minute")}, proven by a log of ${entries}`,
    ...breaks.map((one) => `the record has a break: ${one}`),
    ...USAGE_UNITS.map((unit) => `${unit}  ${total[unit]}`),
    ...differences.map(({ minute, unit, billed, own }) =>
      `${minute}: ${unit} ${billed}, and ${own} by own count`
    ),
  ];
  return {
    json: found,
    text: linesText(lines),
    code: differences.length > 0 ? EXIT.failure : EXIT.ok,
  };
}
