/** What a replay keeps of a message, and how one that stopped goes on. Pure. */
import type { ReplayFlags } from "../commands/room/room_replay.ts";

/** The publisher's own headers: the Shield stamps the others anew. */
export function clientHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  const own = Object.entries(headers).filter(([name]) => {
    const lower = name.toLowerCase();
    return !lower.startsWith("x-arqon-") && lower !== "x-twist-id" && lower !== "x-timestamp";
  });
  // A header may have any name, also one that an object has by itself.
  return Object.assign(Object.create(null), Object.fromEntries(own));
}

/** The command line that goes on where a replay stopped; a token is not repeated. */
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
