/**
 * How a room is heard, as far as all loops of one connection on it must agree: there is one SUB.
 */
import type { SubscribeOptions } from "./subscription.ts";

/** What all loops on a room must agree on, as SUB says it. */
export interface Wish {
  readonly no_echo: boolean;
  readonly presence: boolean;
  readonly observer: boolean;
}

/** Throws TypeError for options that contradict each other. */
export function wishOf(room: string, options: SubscribeOptions): Wish {
  const { no_echo = false, presence = false, observer = false, member_meta } = options;
  const wish = { no_echo, presence, observer };
  if (member_meta !== undefined) assertMember(room, wish, "member_meta");
  if (observer && !presence) throw new TypeError(`room ${room}: observer needs presence: true`);
  return wish;
}

/** Throws TypeError unless who hears the room so is a member of it; `what` is for members only. */
export function assertMember(room: string, { presence, observer }: Wish, what: string): void {
  if (presence && !observer) return;
  throw new TypeError(`room ${room}: ${what} needs presence: true and no observer`);
}

/**
 * Throws TypeError when another loop on a room, whose metadata is `meta` now, wants something that
 * the first one's SUB does not say. `member_meta` is its metadata as JSON, empty for none; `start` is
 * where it wants to begin, if that is not now.
 */
export function assertAgreed(
  { room, wish, meta }: { readonly room: string; readonly wish: Wish; readonly meta: Uint8Array },
  wanted: Wish,
  member_meta: Uint8Array,
  start: unknown,
): void {
  const refuse = (why: string) => {
    throw new TypeError(`room ${room} is already subscribed${why}`);
  };
  for (const name of ["no_echo", "presence", "observer"] as const) {
    if (wish[name] !== wanted[name]) refuse(` with ${name} = ${wish[name]}`);
  }
  if (member_meta.length > 0 && member_meta.join() !== meta.join()) {
    refuse(" with other member_meta");
  }
  if (start) refuse("; where to begin is for the first loop");
}
