/**
 * The lives of a log: what makes an offset mean one message only, whatever copy of the log is put
 * back. A life begins when the log is made, and whenever nobody who was running can say that the log
 * still is what it was. Pure; who can say so is each engine's matter.
 */

/** One life: it has the offsets from `first` on, up to the first of the next life. */
export interface Life {
  /** No other life of any log has it. */
  readonly name: string;
  readonly first: number;
}

/** All that a log remembers, the oldest first; never empty, and `first` never falls. */
export type Lives = readonly Life[];

/** So many are remembered: a position in an older one is refused. */
export const LIVES_MAX = 64;

/** Digits of base 36 that a name gets: 72 bits. */
const HALF_DIGITS = 7;

/** What no life was called before. `random` is in [0, 1). */
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
 * With another life that begins at `first`. Lives that were to begin later have never been, as far
 * as this copy of the log knows; one that has no offset stays, for it has positions in those before.
 */
export function withLife(lives: Lives, name: string, first: number): Lives {
  const before = lives.filter((life) => life.first <= first);
  return [...before, { name, first }].slice(-LIVES_MAX);
}

/**
 * The last offset up to which a position of that life means what it meant; Infinity for the newest
 * life, undefined for one that is not remembered.
 */
export function lastOf(lives: Lives, name: string): number | undefined {
  const at = lives.findIndex((life) => life.name === name);
  if (at < 0) return undefined;
  const next = lives[at + 1];
  return next === undefined ? Infinity : next.first - 1;
}

/** The life in which the offset was given. */
export function lifeAt(lives: Lives, offset: number): Life {
  return lives.findLast(({ first }) => first <= offset) ?? lives[0] as Life;
}

/** Short text for a log's own record; `decodeLives` reads it. `ids`: what stands for each name. */
export function encodeLives(lives: Lives, idOf: (name: string) => string): string {
  return lives.map(({ name, first }) => `${idOf(name)}:${first}`).join(",");
}

/** Undefined for what `encodeLives` has not written. */
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
