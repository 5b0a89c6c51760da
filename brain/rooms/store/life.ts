/**
 * What a life of the stored rooms is, and how a document of an earlier life is read. Pure. A new
 * life begins when no running process can say that the stored rooms are the ones that were known.
 * Epochs, versions and fences must then differ from any that a lost copy has given. When a life
 * begins is decided in `room_lives.ts`.
 */
import { samplingHash } from "../../../shared/sampling.ts";
import type { RoomDocument } from "./document.ts";

/** One life of all rooms of a bus. */
export interface Life {
  /** The life's id; no other life has it. */
  readonly id: string;
  /** When it began, Unix ms by the clock of the Brain that began it. */
  readonly since_ms: number;
}

/**
 * The versions and fences that one millisecond has room for, so that an earlier life cannot have
 * given more. The largest number that JSON carries exactly is reached in the year 2255.
 */
const NUMBERS_PER_MS = 1_000;

/** Where the versions of a life start that begins at that time: above all of earlier lives. */
export function firstNumber(now_ms: number): number {
  return now_ms * NUMBERS_PER_MS;
}

function epochOf(...parts: readonly (string | number)[]): string {
  return samplingHash(parts.join("/")).toString(36);
}

/** The epoch of a room that the write at that revision made. */
export function bornEpoch(life: Life | undefined, revision: number): string {
  return life === undefined ? String(revision) : epochOf(life.id, revision);
}

/**
 * The fence of a lock that the write at that revision grants; `last` is the highest one of the room
 * before.
 */
export function nextFence(life: Life | undefined, revision: number, last: number): number {
  const above = life === undefined ? 0 : firstNumber(life.since_ms);
  return Math.max(above + revision, last + 1);
}

/** The most earlier epochs that a document keeps: of so many lives within the time of its commands. */
const EARLIER_MAX = 64;

function earlierOf({ earlier = [], applied, pages, epoch, version }: RoomDocument) {
  if (applied.size === 0 && pages.length === 0) return undefined;
  return [...earlier, { epoch, version }].slice(-EARLIER_MAX);
}

/**
 * The document as `life` reads it. A document of an earlier life keeps its state and its lock, but
 * gets another epoch and a higher version, and loses its past events. Every Brain of a life makes
 * the same of it.
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
