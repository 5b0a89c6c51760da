/**
 * Where the versions of a room begin that is created: by the clock, and above all that are known to have been given.
 * So a clock that was ahead and is set back gives no lower ones to a room that was there before.
 */
import { firstNumber } from "./life.ts";

/** What one Brain knows; it learns of the rooms of the others, and the record of the life keeps it. */
export class FirstVersions {
  #highest = 0;

  /** The highest version that is known. */
  get highest(): number {
    return this.#highest;
  }

  /** Takes note of a version that a room has, or had. */
  note(version: number): void {
    if (version > this.#highest && Number.isSafeInteger(version)) this.#highest = version;
  }

  /** The version at which a room begins that is created then. */
  at(now_ms: number): number {
    return Math.max(firstNumber(now_ms), this.#highest + 1);
  }
}
