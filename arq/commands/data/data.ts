/**
 * `arq user`, `arq tenant` and `arq room erase`: lists what is stored where, then writes it into a file or removes
 * it.
 */
import { plural } from "../../../shared/plural.ts";
import { type Admin, askAdmin, findAdmin, streamAdmin } from "../../bus/admin.ts";
import { CommandError, EXIT, printable } from "../../terminal/exit.ts";
import { type Ended, type Io, print } from "../../terminal/io.ts";
import type { Flags } from "../../program/flags.ts";
import { z } from "zod";
import { newFile, sure } from "../../terminal/input.ts";

/** Who, and what of it. */
export interface Whose {
  readonly tenant: string;
  readonly user?: string | undefined;
  readonly room?: string | undefined;
  readonly offset?: number | undefined;
}

/** As the query of the admin API has it. */
export function queryOf(whose: Whose): string {
  const given = Object.entries(whose).filter(([, value]) => value !== undefined);
  return new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
}

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

async function write(io: Io, flags: Flags<"out" | "tenant">, whose: Whose): Promise<Ended> {
  const admin = await findAdmin(io, flags);
  const stream = await streamAdmin(io, admin, `/v1/data/export?${queryOf(whose)}`);
  const is_stdout = flags.out === "-";
  const writer = is_stdout ? undefined : await newFile(io, flags.out);
  let tail = "";
  const decoder = new TextDecoder();
  try {
    for await (const bytes of stream) {
      tail = `${tail}${decoder.decode(bytes, { stream: true })}`.slice(-200);
      if (writer === undefined) await io.stdout.write(bytes);
      else await writer.write(bytes);
    }
    const end = /\{"end":true,"lines":(\d+)\}\n$/.exec(tail);
    if (end === null) throw new CommandError("the export ended before its end: ask again");
    await writer?.finish();
    const lines = Number(end[1]);
    const out = printable(flags.out);
    const text = flags.json === true
      ? JSON.stringify({ lines, out })
      : `${plural(lines, "line")} written to ${out}`;
    await print(flags.json === true && !is_stdout ? io.stdout : io.stderr, `${text}\n`);
    return EXIT.ok;
  } catch (error) {
    writer?.abandon();
    throw error;
  }
}

const Found = z.looseObject({
  stores: z.array(z.looseObject({
    store: z.string(),
    where: z.string(),
    count: z.number(),
    bytes: z.number(),
    stays: z.string().optional(),
  })),
  kept: z.record(z.string(), z.string()),
});
const Done = z.looseObject({
  stores: z.array(
    z.looseObject({ store: z.string(), erased: z.number(), failed: z.string().optional() }),
  ),
});

/** `arq user erase`. */
export function userErase(io: Io, user: string, flags: Flags<"tenant">): Promise<Ended> {
  return erase(io, flags, { tenant: flags.tenant, user, room: flags.room });
}

/** `arq tenant delete`. */
export function tenantDelete(io: Io, tenant: string, flags: Flags<"tenant">): Promise<Ended> {
  return erase(io, flags, { tenant });
}

/** `arq room erase`. */
export function roomErase(io: Io, room: string, flags: Flags<"tenant">): Promise<Ended> {
  return erase(io, flags, { tenant: flags.tenant, room, offset: flags.offset });
}

const nameOf = ({ tenant, user, room, offset }: Whose): string =>
  [
    ...(offset === undefined ? [] : [`message ${offset} of`]),
    ...(user === undefined ? [] : [`user ${user} in`]),
    ...(room === undefined ? [] : [`room ${room} of`]),
    `tenant ${tenant}`,
  ].join(" ");

async function erase(io: Io, flags: Flags<"tenant">, whose: Whose): Promise<Ended> {
  const admin = await findAdmin(io, flags);
  const is_shown = flags.dryRun === true || flags.yes !== true;
  if (is_shown) {
    const answer = await askAdmin(io, admin, { method: "GET", path: `/v1/data?${queryOf(whose)}` });
    const found = flags.json === true ? JSON.stringify(answer) : foundText(whose, answer);
    await print(flags.dryRun === true ? io.stdout : io.stderr, `${found}\n`);
    if (flags.dryRun === true) return EXIT.ok;
    const question = printable(`${nameOf(whose)}: all of it is lost for good. Erase it?`);
    if (!await sure(io, question)) return EXIT.failure;
  }
  return await erased(io, admin, flags, whose);
}

async function erased(io: Io, admin: Admin, flags: Flags<"tenant">, whose: Whose): Promise<Ended> {
  const is_tenant = whose.user === undefined && whose.room === undefined;
  const body = JSON.stringify({
    ...whose,
    ...(is_tenant ? { all: true } : {}),
    ...(flags.through === true ? { through: true } : {}),
  });
  const answer = await askAdmin(io, admin, { method: "POST", path: "/v1/data/erase", body });
  const { stores } = Done.parse(answer);
  const lines = stores.map(({ store, erased, failed }) =>
    failed === undefined ? `${store}: ${erased} erased` : `${store}: NOT erased: ${failed}`
  );
  const text = lines.length === 0 ? "there was nothing to erase" : lines.join("\n");
  return {
    told: answer,
    text: `${printable(text)}\n`,
    code: stores.some(({ failed }) => failed !== undefined) ? EXIT.failure : EXIT.ok,
  };
}

function foundText(whose: Whose, answer: unknown): string {
  const { stores, kept } = Found.parse(answer);
  const rows = stores.map(({ store, where, count, bytes, stays }) =>
    `  ${store}: ${count}, ${bytes} bytes in ${where}${
      stays === undefined ? "" : `; stays: ${stays}`
    }`
  );
  const lines = rows.length === 0
    ? [`the bus keeps nothing of ${nameOf(whose)}`]
    : [`the bus keeps of ${nameOf(whose)}:`, ...rows];
  const apart = Object.entries(kept).map(([what, why]) => `  ${what}: ${why}`);
  return [...lines, "not erased by this:", ...apart].map(printable).join("\n");
}
