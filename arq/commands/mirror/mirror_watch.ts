/** `arq mirror diff`: shows what candidates would have decided. */
import { plural } from "../../../shared/plural.ts";
import { askAdmin, findAdmin } from "../../bus/admin.ts";
import { printable } from "../../terminal/exit.ts";
import type { Ended, Io } from "../../terminal/io.ts";
import { diffText } from "../../answers/settings_text.ts";
import { listOf, membersOf } from "../../answers/policy_text.ts";
import type { Flags } from "../../program/flags.ts";

/** Prints what candidates of the tenant would have decided, or forgets it with `--reset`. */
export async function mirrorDiff(io: Io, flags: Flags<"tenant">): Promise<Ended> {
  const { tenant, candidate, reset = false } = flags;
  const query = new URLSearchParams({
    tenant,
    ...(reset && candidate !== undefined ? { candidate } : {}),
  });
  const admin = await findAdmin(io, flags);
  const answer = await askAdmin(io, admin, {
    method: reset ? "DELETE" : "GET",
    path: `/v1/mirror/diff?${query}`,
  });
  const line = (text: string) => `${printable(text)}\n`;
  if (reset) {
    const forgotten = plural(Number(answer["forgotten"]), "candidate");
    return { told: answer, text: line(`forgot ${forgotten} of tenant ${tenant}`) };
  }
  const all = listOf(answer["candidates"]).map(membersOf);
  const candidates = all.filter((one) => candidate === undefined || one["candidate"] === candidate);
  const none = line(`tenant ${tenant}: nothing was compared on this node`);
  const text = candidates.length > 0 ? diffText(candidates) : none;
  return { told: { ...answer, candidates }, text };
}
