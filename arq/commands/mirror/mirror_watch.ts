/** `arq mirror diff`: shows what candidates would have decided. */
import { plural } from "../../../shared/plural.ts";
import { askAdmin, findAdmin } from "../../bus/admin.ts";
import { EXIT, printable } from "../../terminal/exit.ts";
import { type Io, print } from "../../terminal/io.ts";
import { diffText } from "../../answers/settings_text.ts";
import { listOf } from "../../answers/policy_text.ts";
import type { Flags } from "../../program/flags.ts";

/** Prints what candidates of the tenant would have decided, or forgets it with `--reset`. */
export async function mirrorDiff(io: Io, flags: Flags<"tenant">): Promise<number> {
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
  await print(io.stdout, reset ? forgotten(answer, flags) : compared(answer, flags));
  return EXIT.ok;
}

function forgotten(answer: Record<string, unknown>, { tenant, json }: Flags<"tenant">): string {
  if (json === true) return `${JSON.stringify(answer)}\n`;
  return printable(
    `forgot ${plural(Number(answer["forgotten"]), "candidate")} of tenant ${tenant}`,
  ) + "\n";
}

function compared(answer: Record<string, unknown>, flags: Flags<"tenant">): string {
  const { tenant, candidate, json } = flags;
  const all = listOf(answer["candidates"]) as { candidate?: unknown }[];
  const wanted = candidate === undefined ? all : all.filter((one) => one.candidate === candidate);
  if (json === true) return `${JSON.stringify({ ...answer, candidates: wanted })}\n`;
  if (wanted.length > 0) return diffText(wanted);
  return printable(`tenant ${tenant}: nothing was compared on this node`) + "\n";
}
