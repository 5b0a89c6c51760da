/**
 * Chooses recorded calls for cases: no two alike, allowed and refused ones in equal parts as far as there are
 * any, spread over the whole journal, and the same ones whenever the journal is the same. Pure.
 */
import type { Case } from "./case_file.ts";

/** A choice that grows with each call that is offered. */
export interface CaseChoice {
  /** Offers a call; `id` decides where it stands among all. */
  offer(id: string, allowed: boolean, make: () => Case | undefined): void;
  /** The chosen calls by time. */
  chosen(): readonly Case[];
}

interface Placed {
  readonly place: number;
  readonly case: Case;
}

/** FNV-1a with 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) {
    value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  }
  // Its low bits change most with the last character.
  return Math.imul(value ^ (value >>> 15), 0x2c1b3c6d) >>> 0;
}

const alike = ({ hook, room, user, type, payload, reads, verdict }: Case): string =>
  JSON.stringify([hook, room, user, type, payload, reads, verdict.allowed, verdict.reason]);

/** The `count` calls with the lowest places, no two alike. */
class Lowest {
  readonly #count: number;
  readonly #kept: Placed[] = [];
  readonly #alike = new Set<string>();

  constructor(count: number) {
    this.#count = count;
  }

  offer(place: number, make: () => Case | undefined): void {
    const kept = this.#kept;
    if (kept.length === this.#count && place >= kept.at(-1)!.place) return;
    const one = make();
    if (one === undefined || this.#alike.has(alike(one))) return;
    this.#alike.add(alike(one));
    const before = kept.findIndex((other) => other.place > place);
    kept.splice(before < 0 ? kept.length : before, 0, { place, case: one });
    const dropped = kept.length > this.#count ? kept.pop() : undefined;
    if (dropped !== undefined) this.#alike.delete(alike(dropped.case));
  }

  first(count: number): readonly Case[] {
    return this.#kept.slice(0, count).map((one) => one.case);
  }

  get length(): number {
    return this.#kept.length;
  }
}

/** Makes a choice of at most `count` calls. */
export function createChoice(count: number): CaseChoice {
  const allowed = new Lowest(count);
  const refused = new Lowest(count);
  return {
    offer: (id, is_allowed, make) => (is_allowed ? allowed : refused).offer(hash(id), make),
    chosen() {
      const half = Math.ceil(count / 2);
      const of_refused = Math.max(half, count - allowed.length);
      const some = refused.first(of_refused);
      return [...some, ...allowed.first(count - some.length)]
        .sort((one, other) => one.time < other.time ? -1 : Number(one.time > other.time));
    },
  };
}
