/**
 * The counts of one Shield for one tenant in one minute, encoded and decoded. It is overwritten while the minute runs,
 * and stored when it has ended: readers count it once.
 */
import { z } from "zod";
import { type BlockLeaf, payloadHash } from "../proof/entry.ts";
import { addCounts, COUNTERS, noCounts, type UsageRow } from "../records/counts.ts";
import { readStored } from "../records/stored.ts";
import { FOLD_WRITERS, type StoredBlock } from "../spine/contract/block_store.ts";

/** Rows of one tenant. */
export interface TenantRows {
  readonly tenant_id: string;
  readonly rows: readonly UsageRow[];
}

/** The minute of a Shield and a tenant. */
export interface UsageMinute {
  /** When that incarnation of the Shield started, Unix ms: a node may restart under its name. */
  readonly life_ms: number;
  /** Its number within that incarnation: 0, 1, 2, … A clock that is set back may show one minute twice. */
  readonly seq: number;
  /** Its start, in minutes since 1970. */
  readonly minute: number;
  /** The end of counting, Unix ms. */
  readonly until_ms: number;
  readonly rows: readonly UsageRow[];
}

const FORMAT = 1;
const whole = z.int().min(0);
const text = z.string().max(256);
/** The stored form of rows. Trailing zeros of a row's counts are omitted. */
export const StoredRows = z.array(z.tuple([text, text, text, z.array(whole).max(COUNTERS.length)]));
const Stored = z.strictObject({
  v: z.literal(FORMAT),
  life: whole,
  seq: whole.optional(),
  minute: whole,
  until: whole,
  rows: StoredRows,
});

/** Encodes rows. */
export function storedRows(rows: readonly UsageRow[]): z.input<typeof StoredRows> {
  return rows.map(({ room, user, policy, counts }) => {
    const numbers = COUNTERS.map((counter) => counts[counter]);
    return [room, user, policy, numbers.slice(0, numbers.findLastIndex((n) => n !== 0) + 1)];
  });
}

/** Decodes rows. */
export function rowsOf(stored: z.output<typeof StoredRows>): UsageRow[] {
  return stored.map(([room, user, policy, numbers]) => {
    const counts = noCounts();
    for (const [at, number] of numbers.entries()) counts[COUNTERS[at]!] = number;
    return { room, user, policy, counts };
  });
}

/** The stored form of a minute. */
export function encodeMinute({ life_ms, seq, minute, until_ms, rows }: UsageMinute): Uint8Array {
  const stored: z.input<typeof Stored> = {
    v: FORMAT,
    life: life_ms,
    seq,
    minute,
    until: until_ms,
    rows: storedRows(rows),
  };
  return new TextEncoder().encode(JSON.stringify(stored));
}

/** The leaves of a stored minute in a transparency log; none for a fold. */
export function minuteLeaves({ node_id, payload }: StoredBlock): readonly BlockLeaf[] {
  if (Object.values<string>(FOLD_WRITERS).includes(node_id)) return [];
  const decoded = decodeMinute(payload);
  const sha256 = payloadHash(payload);
  if (decoded === undefined) return [{ sha256 }];
  const { life_ms, seq, minute, rows } = decoded;
  const sums = noCounts();
  for (const row of rows) addCounts(sums, row.counts);
  const counts = Object.fromEntries(Object.entries(sums).filter(([, count]) => count > 0));
  return [{ sha256, use: { block: `${node_id}/${life_ms}/${seq}`, minute, counts } }];
}

/** Decodes a minute; undefined for any other bytes. Throws `incompatible-version`. */
export function decodeMinute(bytes: Uint8Array): UsageMinute | undefined {
  const data = readStored(bytes, Stored, "minute of usage", FORMAT);
  if (data === undefined) return undefined;
  return {
    life_ms: data.life,
    // An old incarnation without block numbers distinguished blocks by their minutes.
    seq: data.seq ?? data.minute,
    minute: data.minute,
    until_ms: data.until,
    rows: rowsOf(data.rows),
  };
}
