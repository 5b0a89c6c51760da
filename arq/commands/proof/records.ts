/**
 * What is checked of the logs of a tenant's records: `arq usage invoice` adds up the minutes of use and compares them
 * with own counts, `arq proof decide` makes journalled decisions again with the module that decided.
 */
import { canonicalJson } from "../../../shared/canonical_json.ts";
import { configFrom } from "../../../shared/config/load.ts";
import type { JournalRecord, PolicyRecord } from "../../../shared/journal/record.ts";
import { plural } from "../../../shared/plural.ts";
import { blockTree, decodeLeaf, payloadHash } from "../../../shared/proof/entry.ts";
import type { MinuteUse } from "../../../shared/proof/entry.ts";
import { decodeProof } from "../../../shared/proof/note.ts";
import type { Checkpoint } from "../../../shared/proof/note.ts";
import { provenBytes } from "../../../shared/proof/reader.ts";
import type { ReadEntry } from "../../../shared/proof/reader.ts";
import { noCounts } from "../../../shared/records/counts.ts";
import { amountsOf, USAGE_UNITS, type UsageUnit } from "../../../shared/usage/units.ts";
import { findAdmin } from "../../bus/admin.ts";
import { busModules } from "../../replay/bus_replay.ts";
import { journalRecords } from "../../replay/journal_records.ts";
import { fileChunks } from "../../replay/journal_source.ts";
import { createRepeater, type ReplayModule } from "../../replay/repeater.ts";
import { createModuleBook } from "../../replay/replay_modules.ts";
import { CommandError, EXIT, printable, usageError } from "../../terminal/exit.ts";
import { type Io, print, resolvePath } from "../../terminal/io.ts";
import { filesBySha } from "../policy/policy_replay.ts";
import { evident, noKey, openNote, openSource, openTree, verifiersFor } from "./source.ts";
import type { ProofFlags } from "./source.ts";

/** The options of `arq usage invoice`. */
export interface InvoiceFlags extends ProofFlags {
  /** Unix ms. */
  readonly from?: number;
  readonly to?: number;
  /** Print the entries with their proofs. */
  readonly proof?: boolean;
  /** A file with own counts. */
  readonly own?: string;
}

/** Names a file of entries with their proofs. */
const PROOFS = ".proofs";
const MINUTE_MS = 60_000;
/** Decisions of one file. */
const DECISIONS_MAX = 10_000;

type Minutes = Map<number, Partial<Record<UsageUnit, number>>>;

const minuteText = (minute: number) => new Date(minute * MINUTE_MS).toISOString();

/** The entries of a file of proofs: all of one checkpoint, and none is left out between them. Throws an Error. */
async function provenEntries(
  text: string,
  open: (note: string) => Promise<Checkpoint>,
): Promise<{ readonly entries: ReadEntry[]; readonly checkpoint: Checkpoint }> {
  const proofs = text.trim().split("\n").map((line) => decodeProof(JSON.parse(line).proof));
  const note = proofs[0]!.checkpoint;
  const checkpoint = await open(note);
  const entries = proofs.map((proof, at) => {
    if (proof.checkpoint !== note) throw new Error("the proofs are of several checkpoints");
    const { index } = proof;
    if (index !== proofs[0]!.index + at) throw new Error(`entry ${index} is not the next one`);
    const bytes = provenBytes(proof, checkpoint);
    const entry = decodeLeaf(bytes);
    if (entry === undefined) throw new Error(`entry ${index} is none of a record`);
    return { index, bytes, entry };
  });
  return { entries, checkpoint };
}

/** What entries bill in each minute; each block counts once. Throws an Error. */
function billed(entries: readonly ReadEntry[]): Map<number, MinuteUse[]> {
  const known = new Map<string, string>();
  const minutes = new Map<number, MinuteUse[]>();
  for (const { entry, index } of entries) {
    if ("break" in entry) continue;
    if (entry.epoch !== "usage") throw new Error(`entry ${index} is none of a log of use`);
    const { use, sha256 } = entry;
    if (use === undefined) throw new Error(`the minute of entry ${index} could not be read`);
    const before = known.get(use.block);
    if (before === undefined) {
      minutes.set(use.minute, [...minutes.get(use.minute) ?? [], use]);
    } else if (before !== sha256) {
      throw new Error(`entry ${index} says otherwise of block ${use.block} than one before`);
    }
    known.set(use.block, sha256);
  }
  return minutes;
}

function amountsIn(uses: readonly MinuteUse[]) {
  const sums: Record<string, number> = noCounts();
  for (const { counts } of uses) {
    for (const [name, count] of Object.entries(counts)) sums[name] = (sums[name] ?? 0) + count;
  }
  return amountsOf({ ...noCounts(), ...sums });
}

/** Own counts by minute, of a file with an object a line. */
async function ownCounts(io: Io, file: string): Promise<Minutes> {
  const own: Minutes = new Map();
  const text = new TextDecoder().decode(await io.files.read(resolvePath(io.cwd, file)));
  for (const [at, line] of text.trim().split("\n").entries()) {
    try {
      const { minute, ...counts } = JSON.parse(line);
      const time_ms = Date.parse(minute);
      const is_right = Number.isFinite(time_ms) &&
        Object.entries(counts).every(([unit, count]) =>
          USAGE_UNITS.some((known) => known === unit) && typeof count === "number"
        );
      if (!is_right) throw new Error("not so");
      own.set(Math.floor(time_ms / MINUTE_MS), counts);
    } catch {
      throw usageError(
        `${file}, line ${
          at + 1
        }: expected {"minute":"2026-11-27T10:05Z","messages_in":120}, with units of arq usage`,
      );
    }
  }
  return own;
}

/** Where own counts are not what is billed. A minute that one side lacks has 0 there. */
function differencesOf(minutes: ReadonlyMap<number, MinuteUse[]>, own: Minutes) {
  const units = new Set([...own.values()].flatMap((counts) => Object.keys(counts) as UsageUnit[]));
  const all = [...new Set([...minutes.keys(), ...own.keys()])].sort((a, b) => a - b);
  return all.flatMap((minute) => {
    const amounts = amountsIn(minutes.get(minute) ?? []);
    return [...units].map((unit) => ({
      ...{ minute: minuteText(minute), unit, billed: amounts[unit] },
      own: own.get(minute)?.[unit] ?? 0,
    })).filter((one) => one.billed !== one.own);
  });
}

/** Prints what the minutes of a log of use add up to, once they are proven, or them with their proofs. */
export async function invoice(io: Io, place: string, flags: InvoiceFlags): Promise<number> {
  const { from = -Infinity, to = Infinity } = flags;
  const isWanted = (minute: number) => minute * MINUTE_MS >= from && minute * MINUTE_MS < to;
  const is_file = place.endsWith(PROOFS);
  const source = is_file ? undefined : await openSource(io, place, flags);
  const opened = source && await openTree(io, source, flags);
  const { entries, checkpoint } = await evident(async () => {
    if (opened !== undefined) {
      const { tree } = opened;
      return { entries: await Array.fromAsync(tree.whole()), checkpoint: tree.checkpoint };
    }
    const bytes = await io.files.read(resolvePath(io.cwd, place));
    const verifiers = await verifiersFor(io, { files: noKey }, flags);
    const open = (note: string) => openNote(note, verifiers, flags);
    return await provenEntries(new TextDecoder().decode(bytes), open);
  });
  const isMeant = ({ entry }: ReadEntry) =>
    "use" in entry && entry.use !== undefined && isWanted(entry.use.minute);
  const [first, last] = [entries.findIndex(isMeant), entries.findLastIndex(isMeant)];
  if (first < 0) throw new CommandError("the log has no minute of that time");
  // Also those between them, so that none can be left out.
  const meant = entries.slice(first, last + 1);
  if (flags.proof === true) {
    if (opened === undefined) throw usageError("--proof: the source has only proofs already");
    for (const one of meant) {
      const proof = await evident(() => opened.tree.proofOf(one));
      await print(io.stdout, `${JSON.stringify({ proof })}\n`);
    }
    return EXIT.ok;
  }
  const minutes = await evident(() => Promise.resolve(billed(meant)));
  for (const minute of minutes.keys()) if (!isWanted(minute)) minutes.delete(minute);
  const own = flags.own === undefined ? undefined : await ownCounts(io, flags.own);
  for (const minute of own?.keys() ?? []) if (!isWanted(minute)) own!.delete(minute);
  const differences = own === undefined ? [] : differencesOf(minutes, own);
  const breaks = meant.flatMap(({ entry }) => "break" in entry ? [entry.break] : []);
  const found = {
    ...{ origin: checkpoint.origin, size: checkpoint.size, minutes: minutes.size, breaks },
    total: amountsIn([...minutes.values()].flat()),
    differences,
  };
  await print(io.stdout, flags.json === true ? `${JSON.stringify(found)}\n` : invoiceText(found));
  return differences.length > 0 ? EXIT.failure : EXIT.ok;
}

function invoiceText(
  { origin, size, minutes, breaks, total, differences }: {
    readonly origin: string;
    readonly size: number;
    readonly minutes: number;
    readonly breaks: readonly string[];
    readonly total: Readonly<Record<UsageUnit, number>>;
    readonly differences: ReturnType<typeof differencesOf>;
  },
): string {
  const lines = [
    `${origin}: ${plural(minutes, "minute")}, proven by a log of ${
      plural(size, "entry", "entries")
    }`,
    ...breaks.map((one) => `the record does not go on: ${one}`),
    ...USAGE_UNITS.map((unit) => `${unit}  ${total[unit]}`),
    ...differences.map(({ minute, unit, billed, own }) =>
      `${minute}: ${unit} ${billed}, and ${own} by own count`
    ),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

/** The options of `arq proof decide`. */
export interface DecideFlags extends ProofFlags {
  readonly log?: string;
  readonly module?: readonly string[];
}

/** The hashes that the log may have of a record: the log has a payload of a room's log as a reference. */
function hashesOf(record: JournalRecord): string[] {
  const { payload, offset } = record;
  const hash = (one: JournalRecord) => payloadHash(canonicalJson(one));
  if (payload.form === "reference") {
    return [hash({ ...record, payload: { form: "reference", bytes: payload.bytes } })];
  }
  if (payload.form !== "kept" || offset === null) return [hash(record)];
  const { length: bytes } = Uint8Array.fromBase64(payload.data);
  return [hash(record), hash({ ...record, payload: { form: "reference", bytes } })];
}

/** Repeats the call of one policy; what came of it, and whether it is what was recorded. */
async function repeated(
  record: JournalRecord,
  policy: PolicyRecord,
  moduleOf: (sha256: string) => Promise<ReplayModule | undefined>,
): Promise<readonly [said: string, is_same: boolean]> {
  const candidate = await moduleOf(policy.module);
  if (candidate === undefined) return ["nobody has its module", false];
  const repeater = createRepeater({
    ...{ selection: { policy: policy.name }, isSelected: () => true, candidate, moduleOf },
  });
  const bytes = new TextEncoder().encode(JSON.stringify(record));
  await repeater.feed({ first_line: 1, bytes });
  const { same, stateful_fuel, different, not_run, unknown } = repeater.tally.recorded;
  if (same > 0) return ["made again", true];
  if (stateful_fuel > 0) return ["made again, with other fuel, as it keeps memory", true];
  const [why] = Object.keys(not_run);
  if (why !== undefined) return [`the Shield decided, not the module: ${why}`, true];
  const missing = Object.keys(unknown).join(", ");
  if (missing !== "") return [`not made again, as the record lacks ${missing}`, false];
  return [`decided otherwise: ${Object.keys(different).join(", ")}`, false];
}

/** Makes journalled decisions again, and shows each one's place in the log. */
export async function decide(io: Io, file: string, flags: DecideFlags): Promise<number> {
  const counts = { lines: 0, bad_lines: 0, holes: 0 };
  const records = await Array.fromAsync(journalRecords(await fileChunks(io, file), counts));
  const [tenant, ...others] = new Set(records.map((record) => record.tenant));
  if (tenant === undefined || others.length > 0 || records.length > DECISIONS_MAX) {
    throw new CommandError(
      `${printable(file)}: expected up to ${DECISIONS_MAX} decisions of one tenant`,
    );
  }
  const source = await openSource(io, flags.log ?? blockTree("journal", tenant), flags);
  const { tree } = await openTree(io, source, flags);
  const wanted = new Map(records.flatMap((one) => hashesOf(one).map((hash) => [hash, one])));
  const places = new Map<JournalRecord, ReadEntry>();
  await evident(async () => {
    for await (const one of tree.entries()) {
      const record = "sha256" in one.entry ? wanted.get(one.entry.sha256) : undefined;
      if (record !== undefined) places.set(record, one);
    }
  });
  const known = await filesBySha(io, flags.module ?? []);
  let onBus: ReturnType<typeof busModules> | undefined;
  const fetched = async (sha256: string) => {
    if (flags.module !== undefined) return undefined;
    onBus ??= busModules(io, await findAdmin(io, flags), tenant);
    return await onBus(sha256);
  };
  const moduleOf = createModuleBook(
    async (sha256) => known.get(sha256) ?? await fetched(sha256),
    configFrom({}).platform.overseer.memory_limit_pages,
  );
  let is_whole = true;
  for (const record of records) {
    const place = places.get(record);
    const proof = place && await evident(() => tree.proofOf(place));
    const policies = [];
    for (const policy of record.policies) {
      const { name, module, allowed, code, reason, units, budget_units } = policy;
      const [said, is_same] = await repeated(record, policy, moduleOf);
      is_whole &&= is_same;
      policies.push({ name, module, allowed, code, reason, units, budget_units, said, is_same });
    }
    is_whole &&= place !== undefined;
    const { id, allowed, code, reason } = record;
    const found = { id, allowed, code, reason, index: place?.index ?? null, policies, proof };
    const text = decisionText(found, tree.checkpoint.size);
    await print(io.stdout, flags.json === true ? `${JSON.stringify(found)}\n` : text);
  }
  return is_whole ? EXIT.ok : EXIT.failure;
}

function decisionText(
  { id, allowed, code, reason, index, policies }: {
    readonly id: string;
    readonly allowed: boolean;
    readonly code: number;
    readonly reason: string;
    readonly index: number | null;
    readonly policies: readonly (
      & Pick<PolicyRecord, "name" | "module" | "allowed" | "code" | "reason">
      & Pick<PolicyRecord, "units" | "budget_units">
      & { readonly said: string }
    )[];
  },
  size: number,
): string {
  const verdict = (one: { allowed: boolean; code: number; reason: string }) =>
    one.allowed ? "allowed" : `refused (${one.code} ${one.reason})`;
  const place = index === null
    ? `is not among the ${size} of the log`
    : `is entry ${index} of ${size}`;
  const asked = policies.map((one) =>
    `  ${one.name}, module ${one.module}: ${
      verdict(one)
    }, ${one.units} of ${one.budget_units} units: ${one.said}\n`
  );
  return printable(`${id} ${verdict({ allowed, code, reason })} ${place}`) + "\n" +
    asked.join("");
}
