/**
 * What a Shield leaves of itself in the bucket of lives: when it was started, that it still was there, up to when
 * each part of it had written what it knew, and whether it ended in order. So others tell who was killed, and what
 * went with it. Pure; who writes it is `own_life.ts`, who reads it `lives.ts`.
 */
import { isId } from "@arqon/proto";
import { z } from "zod";
import type { KvEntry, KvKey } from "../spine/contract/spine.ts";

/** What writes something of which the last seconds go with the process. */
const LIFE_PARTS = ["journal", "usage", "ledger"] as const;
/** One of `LIFE_PARTS`. */
export type LifePart = typeof LIFE_PARTS[number];

/** How far a part of a Shield had come. */
const PartMark = z.strictObject({
  /** Up to when everything that it knew was written, or reported as lost, Unix ms. */
  until_ms: z.number().min(0),
  /** It ended, and all was. */
  is_over: z.boolean(),
});
/** How far a part of a Shield had come. */
export type PartMark = z.output<typeof PartMark>;

/** The mark that a Shield renews. A younger Shield may have parts that this one does not know. */
const Mark = z.object({
  /** When it was written, by that Shield's clock. */
  mark_ms: z.int().min(0),
  /** The Shield ended in order. */
  is_over: z.boolean(),
  parts: z.partialRecord(z.enum(LIFE_PARTS), PartMark).catch({}),
});
/** The mark that a Shield renews. */
export type Mark = z.output<typeof Mark>;

/** One life of a Shield: from a start of its process to the end of that. */
export interface Life extends Mark {
  readonly node_id: string;
  /** Unix ms, by its own clock. */
  readonly began_ms: number;
  /** How long ago its mark was stored, in ms by the clock of the store; absent where that has none. */
  readonly age_ms?: number | undefined;
}

/** The outcome of a life; `by_ms`: by then it was over, Unix ms by its own clock. */
export type LifeEnd =
  | { readonly how: "lives" }
  | { readonly how: "ended" | "killed"; readonly by_ms: number };

/** Who has left no mark for so long is taken as killed: a mark may come late. */
export const SILENT_MS = 20_000;
/** Where the lives of Shields and of Brains are in their bucket: questions to the cluster wait for Shields alone. */
export type LifeKind = "life" | "brain";

/** The key of a life. */
export const lifeKey = (
  node_id: string,
  began_ms: number,
  kind: LifeKind = "life",
): KvKey => [
  kind,
  node_id,
  String(began_ms),
];

/** A mark as it is stored. */
export const encodeMark = (mark: Mark): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(mark));

/** The life that is there; undefined for what is none. */
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

/** How long it has said nothing, in ms. Where the store has no clock, the wall clocks must do. */
export const silentMs = ({ age_ms, mark_ms }: Life, now_ms: number): number =>
  age_ms ?? now_ms - mark_ms;

/** Whether one of two lives of a Shield is the later one: a clock may have been set back between them. */
export function isLater(one: Life, other: Life): boolean {
  if (one.age_ms === undefined || other.age_ms === undefined) return one.began_ms > other.began_ms;
  return one.age_ms < other.age_ms;
}

/** The outcome of one of all lives. */
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
    // Began before that mark: by another clock, which says nothing of when this one ended.
    return { how: "killed", by_ms: next_ms > mark_ms ? next_ms : mark_ms + SILENT_MS };
  }
  const silent_ms = silentMs(life, now_ms);
  if (silent_ms < SILENT_MS) return { how: "lives" };
  return { how: "killed", by_ms: mark_ms + silent_ms };
}

/** A life with something of that part that nobody has: it ended, and the part had not written all. */
export interface Loss {
  readonly life: Life;
  /** From when on something may be missing, and up to when, Unix ms. */
  readonly from_ms: number;
  readonly to_ms: number;
}

/**
 * What went with Shields of what that part of them knew, in the order of their starts. `own`: whoever asks lives, though
 * its clock was set since it last said so.
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
