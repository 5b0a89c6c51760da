/**
 * The first version of a created room: by the clock, and above all known versions. So a clock that is set back does not
 * give a recreated room lower versions.
 */
import { firstNumber } from "./life.ts";

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
