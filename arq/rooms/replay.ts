/**
 * The headers that a replay copies from a message, and the command that goes on where a replay stopped. Pure.
 */
import type { ReplayFlags } from "../commands/room/room_replay.ts";

/** The headers that the publisher has set. The Shield stamps all others anew. */
export function clientHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  const own = Object.entries(headers).filter(([name]) => {
    const lower = name.toLowerCase();
    return !lower.startsWith("x-arqon-") && lower !== "x-twist-id" && lower !== "x-timestamp";
  });
  // A header may have the name of a property that every object has.
  return Object.assign(Object.create(null), Object.fromEntries(own));
}

/** The command line that goes on where a replay stopped; it has no token in it. */
export function resumeCommand(
  room_id: string,
  flags: Pick<ReplayFlags, "to" | "from" | "epoch" | "until" | "rate" | "url">,
): string {
  const { to, from, epoch, until, rate, url } = flags;
  const options = { to, from, epoch, until, rate, url };
  const parts = Object.entries(options).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name} ${value}`]
  );
  return `arq room replay ${room_id} ${parts.join(" ")}`;
}
