/**
 * The lives of a log: with its life, an offset means one message only, whatever copy of the log is restored. A life
 * begins when the log is created, and whenever no running process can confirm that the log is unchanged. Pure; each
 * engine decides how to confirm it.
 */

/** One life: it has the offsets from `first` up to the first of the next life. */
export interface Life {
  /** Unique among the lives of all logs. */
  readonly name: string;
  readonly first: number;
}

/** The remembered lives of a log, the oldest first; never empty, and `first` never falls. */
export type Lives = readonly Life[];

/** How many lives are remembered: a position in an older one is refused. */
export const LIVES_MAX = 64;

/** Base 36 digits in each half of a name: 72 bits together. */
const HALF_DIGITS = 7;

/** A unique name for a life. `random` is in [0, 1). */
export function newLifeId(random: () => number): string {
  const half = () =>
    Math.floor(random() * 36 ** HALF_DIGITS).toString(36).padStart(HALF_DIGITS, "0");
  return half() + half();
}

/** The newest life. */
export function newestLife(lives: Lives): Life {
  return lives.at(-1) as Life;
}

/**
 * Adds a life that begins at `first`. Lives that begin later are dropped: this copy of the log never had them. A life
 * without offsets stays, because its positions may be in earlier lives.
 */
export function withLife(lives: Lives, name: string, first: number): Lives {
  const before = lives.filter((life) => life.first <= first);
  return [...before, { name, first }].slice(-LIVES_MAX);
}

/**
 * The last offset at which a position of that life is still valid; Infinity for the newest life, undefined for one that
 * is not remembered.
 */
export function lastOf(lives: Lives, name: string): number | undefined {
  const at = lives.findIndex((life) => life.name === name);
  if (at < 0) return undefined;
  const next = lives[at + 1];
  return next === undefined ? Infinity : next.first - 1;
}

/** The life in which the offset was assigned. */
export function lifeAt(lives: Lives, offset: number): Life {
  return lives.findLast(({ first }) => first <= offset) ?? lives[0] as Life;
}

/** Short text for a log's own record; `decodeLives` reads it. `idOf` returns the id that is written for a name. */
export function encodeLives(lives: Lives, idOf: (name: string) => string): string {
  return lives.map(({ name, first }) => `${idOf(name)}:${first}`).join(",");
}

/** Undefined for a text that `encodeLives` cannot have written. */
export function decodeLives(text: string, nameOf: (id: string) => string): Lives | undefined {
  const lives = text.split(",").map((part) => {
    const [, id = "", first = ""] = /^([0-9a-z]*):(\d{1,16})$/.exec(part) ?? [];
    return { name: nameOf(id), first: first === "" ? NaN : Number(first) };
  });
  const in_order = lives.every(({ first }, at) =>
    Number.isSafeInteger(first) && first >= (lives[at - 1]?.first ?? 0)
  );
  return in_order && lives.length <= LIVES_MAX ? lives : undefined;
}
