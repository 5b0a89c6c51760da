/**
 * How a room is heard. All loops of one connection on a room must agree on it, as there is one SUB.
 */
import { checkPosition } from "../durable/position.ts";
import { assertWord } from "../options/check.ts";
import type { SubscribeOptions } from "./subscription.ts";

/** The options of a SUB, on which all loops on a room must agree. */
export interface SubTerms {
  readonly no_echo: boolean;
  readonly presence: boolean;
  readonly observer: boolean;
  readonly filter: string;
}

/** The options that a loop asks for. Throws TypeError for options that cannot work together or at all. */
export function subTermsOf(room: string, options: SubscribeOptions): SubTerms {
  const { no_echo = false, presence = false, observer = false, filter = "", member_meta } = options;
  const terms = { no_echo, presence, observer, filter };
  if (member_meta !== undefined) assertMember(room, terms, "member_meta");
  const { begin, position, on_overflow } = options;
  assertWord("on_overflow", on_overflow, ["error", "drop-oldest", "drop-newest"]);
  if (position) checkPosition(position);
  if (begin && position) throw new TypeError(`room ${room}: begin or position, not both`);
  if (observer && !presence) throw new TypeError(`room ${room}: observer needs presence: true`);
  return terms;
}

/** Throws TypeError unless the room is heard as a member; `what` is for members only. */
export function assertMember(room: string, { presence, observer }: SubTerms, what: string): void {
  if (presence && !observer) return;
  throw new TypeError(`room ${room}: ${what} needs presence: true and no observer`);
}

/**
 * Throws TypeError when another loop on a room, whose metadata is `meta` now, wants something that
 * the first loop's SUB does not say. `member_meta` is its metadata as JSON, empty for none; `start`
 * is where it wants to begin, if that is not now.
 */
export function assertAgreed(
  { room, terms, meta }: {
    readonly room: string;
    readonly terms: SubTerms;
    readonly meta: Uint8Array;
  },
  wanted: SubTerms,
  member_meta: Uint8Array,
  start: unknown,
): void {
  const refuse = (why: string) => {
    throw new TypeError(`room ${room} is subscribed${why}`);
  };
  for (const name of Object.keys(terms) as (keyof SubTerms)[]) {
    if (terms[name] !== wanted[name]) refuse(` with ${name} = ${terms[name]}`);
  }
  if (member_meta.length > 0 && member_meta.join() !== meta.join()) {
    refuse(" with other member_meta");
  }
  if (start) refuse("; it has begun");
}
