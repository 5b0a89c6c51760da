/**
 * `arq user`, `arq tenant` and `arq room erase`: lists what is stored where, then exports it into a file or erases it.
 */
import { plural } from "../../../shared/plural.ts";
import { type Admin, findAdmin } from "../../bus/admin.ts";
import { CommandError, EXIT, printable } from "../../terminal/exit.ts";
import { type Ended, type Io, print } from "../../terminal/io.ts";
import type { Flags } from "../../program/flags.ts";
import { filled, listOf, type Members, membersOf } from "../../answers/policy_text.ts";
import { openOutput } from "../../terminal/input.ts";

/** `arq user export`. */
export function userExport(io: Io, user: string, flags: Flags<"out" | "tenant">): Promise<Ended> {
  return write(io, flags, { tenant: flags.tenant, user, room: flags.room });
}

/** `arq tenant export`. */
export function tenantExport(
  io: Io,
  tenant: string,
  flags: Flags<"out" | "tenant">,
): Promise<Ended> {
  return write(io, flags, { tenant });
}

async function write(io: Io, flags: Flags<"out" | "tenant">, whose: Members): Promise<Ended> {
  const stream = await (await findAdmin(io, flags)).stream("/v1/data/export", whose);
  const sink = await openOutput(io, flags.out);
  let tail = "";
  let lines = 0;
  const decoder = new TextDecoder();
  try {
    for await (const bytes of stream) {
      tail = `${tail}${decoder.decode(bytes, { stream: true })}`.slice(-200);
      await sink.write(bytes);
    }
    const end = /\{"end":true,"lines":(\d+)\}\n$/.exec(tail);
    if (end === null) throw new CommandError("the export was cut off: retry");
    await sink.finish();
    lines = Number(end[1]);
  } catch (error) {
    // Part of an export is of no use. The original failure is reported.
    await sink.abandon(false).catch(() => {});
    throw error;
  }
  const out = printable(flags.out);
  const text = flags.json === true
    ? JSON.stringify({ lines, out })
    : `${plural(lines, "line")} written to ${out}`;
  await print(flags.json === true && flags.out !== "-" ? io.stdout : io.stderr, `${text}\n`);
  return EXIT.ok;
}

/** The user, room or message, and the tenant. */
const nameOf = (whose: Members): string =>
  filled("[message {offset} of ][user {user} in ][room {room} of ]tenant {tenant}", whose);

/** The question before an erasure. */
export const lossQuestion = (whose: Members): string =>
  `${nameOf(whose)}: all of it will be lost permanently. Erase it?`;

/** The stored data, before it is erased. */
export const foundText = (found: Members, whose: Members): string =>
  stockText(found, whose, "erased");

/** The stored data, before it is exported. */
export const exportText = (found: Members, whose: Members): string =>
  stockText(found, whose, "exported");

function stockText({ stores, kept }: Members, whose: Members, done: string): string {
  const rows = listOf(stores).map(membersOf).map((one) =>
    filled("  {store}: {count}, {bytes} bytes in {where}[; stays: {stays}]", one)
  );
  const lines = rows.length === 0
    ? [`the bus stores nothing of ${nameOf(whose)}`]
    : [`the bus stores of ${nameOf(whose)}:`, ...rows];
  const apart = Object.entries(membersOf(kept)).map(([what, why]) => `  ${what}: ${why}`);
  return `${[...lines, `not ${done} by this:`, ...apart].map(printable).join("\n")}\n`;
}

/** Reports on stderr what the bus stores, before somebody confirms the erasure. */
export async function showFound(admin: Admin, whose: Members): Promise<void> {
  if (whose["yes"] === true) return;
  const { tenant, user, room, offset } = whose;
  const answer = await admin.get("/v1/data", { tenant, user, room, offset });
  const text = whose["json"] === true ? `${JSON.stringify(answer)}\n` : foundText(answer, whose);
  await print(admin.io.stderr, text);
}

/** The erased data. */
export const erasedText = ({ stores }: Members): string =>
  listOf(stores).map(membersOf).map((one) =>
    filled(
      `{store}: ${one["failed"] === undefined ? "{erased} erased" : "NOT erased: {failed}"}\n`,
      one,
    )
  ).join("") || "there was nothing to erase\n";

/** 1 when something could not be erased. */
export const erasedExit = ({ stores }: Members): number =>
  listOf(stores).some((one) => membersOf(one)["failed"] !== undefined) ? EXIT.failure : EXIT.ok;
