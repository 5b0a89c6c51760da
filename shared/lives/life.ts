/**
 * A Shield's record in the bucket of lives: its start, its last mark, the time up to which each component had written
 * its data, and whether it ended in order. Other Shields use it to detect killed Shields and lost data. Pure;
 * `own_life.ts` writes it, `lives.ts` reads it.
 */
import { isId } from "@arqon/proto";
import { z } from "zod";
import type { KvEntry, KvKey } from "../spine/contract/spine.ts";

/** The components that lose their last seconds of data when the process is killed. */
const LIFE_PARTS = ["journal", "usage", "ledger"] as const;
/** One of `LIFE_PARTS`. */
export type LifePart = typeof LIFE_PARTS[number];

/** The progress of one component of a Shield. */
const PartMark = z.strictObject({
  /** Up to this time all data were written, or reported as lost, Unix ms. */
  until_ms: z.number().min(0),
  /** The component ended with all data written. */
  is_over: z.boolean(),
});
/** The progress of one component of a Shield. */
export type PartMark = z.output<typeof PartMark>;

/** The mark that a Shield renews. A newer version may have components that this one does not know. */
const Mark = z.object({
  /** When it was written, by that Shield's clock. */
  mark_ms: z.int().min(0),
  /** The Shield ended in order. */
  is_over: z.boolean(),
  parts: z.partialRecord(z.enum(LIFE_PARTS), PartMark).catch({}),
});
/** The mark that a Shield renews. */
export type Mark = z.output<typeof Mark>;

/** One incarnation of a Shield: one run of its process. */
export interface Life extends Mark {
  readonly node_id: string;
  /** Unix ms, by its own clock. */
  readonly began_ms: number;
  /** The age of its mark in ms by the clock of the store; absent if the store has none. */
  readonly age_ms?: number | undefined;
}

/** The outcome of a life; `by_ms`: it had ended by this time, Unix ms by its own clock. */
type LifeEnd =
  | { readonly how: "lives" }
  | { readonly how: "ended" | "killed"; readonly by_ms: number };

/**
 * A Shield without a mark for this long counts as killed. Longer than the interval of marks, because a mark may be
 * late.
 */
export const SILENT_MS = 20_000;
/** The key prefixes of Shields and of Brains: cluster questions wait for Shields only. */
export type LifeKind = "life" | "brain";

/** The key of a life. */
export const lifeKey = (node_id: string, began_ms: number, kind: LifeKind = "life"): KvKey => [
  kind,
  node_id,
  String(began_ms),
];

/** A mark as it is stored. */
export const encodeMark = (mark: Mark): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(mark));

/** The life in an entry; undefined for an invalid one. */
export function decodeLife({ key, value, age_ms }: KvEntry): Life | undefined {
  const [, node_id = "", began = ""] = key;
  if (!isId(node_id) || !/^[0-9]{1,16}$/.test(began)) return undefined;
  try {
    const mark = Mark.safeParse(JSON.parse(new TextDecoder().decode(value))).data;
    return mark && { node_id, began_ms: Number(began), age_ms, ...mark };
  } catch {
    return undefined;
  }
}

/** How long it has been silent, in ms; by the wall clocks if the store has none. */
export const silentMs = ({ age_ms, mark_ms }: Life, now_ms: number): number =>
  age_ms ?? now_ms - mark_ms;

/** Whether one of two incarnations of a Shield is the later one: its clock may have been set back between them. */
export function isLater(one: Life, other: Life): boolean {
  if (one.age_ms === undefined || other.age_ms === undefined) return one.began_ms > other.began_ms;
  return one.age_ms < other.age_ms;
}

/** The outcome of one incarnation, given all of them. */
export function endOf(life: Life, all: readonly Life[], now_ms: number): LifeEnd {
  const { node_id, mark_ms } = life;
  if (life.is_over) return { how: "ended", by_ms: mark_ms };
  const next_ms = all.reduce(
    (first_ms, one) =>
      one.node_id === node_id && one !== life && isLater(one, life)
        ? Math.min(first_ms, one.began_ms)
        : first_ms,
    Infinity,
  );
  if (next_ms !== Infinity) {
    // It began before that mark, so the clock was set, and does not show when this one ended.
    return { how: "killed", by_ms: next_ms > mark_ms ? next_ms : mark_ms + SILENT_MS };
  }
  const silent_ms = silentMs(life, now_ms);
  if (silent_ms < SILENT_MS) return { how: "lives" };
  return { how: "killed", by_ms: mark_ms + silent_ms };
}

/** A life with lost data of a component: it ended before the component had written all. */
export interface Loss {
  readonly life: Life;
  /** The interval with possibly missing data, Unix ms. */
  readonly from_ms: number;
  readonly to_ms: number;
}

/**
 * The data of that component that were lost with Shields, in the order of their starts. `own`: the asking Shield, which
 * is alive even if its clock was set since its last mark.
 */
export function lossesOf(
  all: readonly Life[],
  part: LifePart,
  now_ms: number,
  own?: Pick<Life, "node_id" | "began_ms">,
): readonly Loss[] {
  return all.flatMap((life) => {
    const mark = life.parts[part];
    const is_own = life.node_id === own?.node_id && life.began_ms === own.began_ms;
    if (mark === undefined || mark.is_over || is_own) return [];
    const end = endOf(life, all, now_ms);
    if (end.how === "lives") return [];
    return [{ life, from_ms: mark.until_ms, to_ms: Math.max(mark.until_ms, end.by_ms) }];
  });
}
