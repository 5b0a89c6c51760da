/**
 * The life of the stored rooms, and the conversion of documents of an earlier life. Pure. A new life begins when no
 * running process can confirm that the stored rooms are the known ones. Epochs, versions and fences must then differ
 * from any that a lost copy has assigned. `room_lives.ts` decides when a life begins.
 */
import { samplingHash } from "../../../shared/sampling.ts";
import type { Life, RoomDocument } from "./document.ts";

/**
 * Versions and fences reserved for each millisecond, so that an earlier life cannot have assigned more. The largest
 * number that is exact in JSON is reached in the year 2255.
 */
const NUMBERS_PER_MS = 1_000;

/** The first version of a life that begins at that time: above all versions of earlier lives. */
export function firstNumber(now_ms: number): number {
  return now_ms * NUMBERS_PER_MS;
}

function epochOf(...parts: readonly (string | number)[]): string {
  return samplingHash(parts.join("/")).toString(36);
}

/** The epoch of a room created by the write at that revision. */
export function bornEpoch(life: Life | undefined, revision: number): string {
  return life === undefined ? String(revision) : epochOf(life.id, revision);
}

/** The fence of a lock granted by the write at that revision; `last` is the room's highest fence so far. */
export function nextFence(life: Life | undefined, revision: number, last: number): number {
  const above = life === undefined ? 0 : firstNumber(life.since_ms);
  return Math.max(above + revision, last + 1);
}

/** The most earlier epochs that a document keeps: one for each life within the time of its commands. */
const EARLIER_MAX = 64;

function earlierOf({ earlier = [], applied, pages, epoch, version }: RoomDocument) {
  if (applied.size === 0 && pages.length === 0) return undefined;
  return [...earlier, { epoch, version }].slice(-EARLIER_MAX);
}

/**
 * Converts a document to `life`. A document of an earlier life keeps its state and its lock, but gets another epoch and
 * a higher version, and loses its events. Every Brain of a life gets the same result.
 */
export function inLife(document: RoomDocument, life: Life): RoomDocument {
  if (document.life?.id === life.id) return document;
  const version = Math.max(firstNumber(life.since_ms), document.version + 1);
  return {
    ...document,
    life,
    epoch: epochOf(document.epoch, life.id),
    version,
    start: 0,
    events: [],
    earlier: earlierOf(document),
  };
}

/**
 * The known versions of one Brain; it also receives those of other Brains' rooms, and the record of the life stores the
 * highest.
 */
export class FirstVersions {
  #highest = 0;

  get highest(): number {
    return this.#highest;
  }

  note(version: number): void {
    if (version > this.#highest && Number.isSafeInteger(version)) this.#highest = version;
  }

  /** The first version of a room that is created at that time. */
  at(now_ms: number): number {
    return Math.max(firstNumber(now_ms), this.#highest + 1);
  }
}
