/** `arq user erase`, `arq tenant delete` and `arq room erase`: lists what is stored where, then removes it. */
import { z } from "zod";
import { type Admin, askAdmin, findAdmin } from "../../bus/admin.ts";
import { sure } from "../../terminal/confirm.ts";
import { EXIT, printable } from "../../terminal/exit.ts";
import { type Io, print } from "../../terminal/io.ts";
import { queryOf, type Whose } from "./data_export.ts";
import type { Flags } from "../../program/flags.ts";

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
export function userErase(io: Io, user: string, flags: Flags<"tenant">): Promise<number> {
  return erase(io, flags, { tenant: flags.tenant, user, room: flags.room });
}

/** `arq tenant delete`. */
export function tenantDelete(io: Io, tenant: string, flags: Flags<"tenant">): Promise<number> {
  return erase(io, flags, { tenant });
}

/** `arq room erase`. */
export function roomErase(io: Io, room: string, flags: Flags<"tenant">): Promise<number> {
  return erase(io, flags, { tenant: flags.tenant, room, offset: flags.offset });
}

const nameOf = ({ tenant, user, room, offset }: Whose): string =>
  [
    ...(offset === undefined ? [] : [`message ${offset} of`]),
    ...(user === undefined ? [] : [`user ${user} in`]),
    ...(room === undefined ? [] : [`room ${room} of`]),
    `tenant ${tenant}`,
  ].join(" ");

async function erase(io: Io, flags: Flags<"tenant">, whose: Whose): Promise<number> {
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

async function erased(io: Io, admin: Admin, flags: Flags<"tenant">, whose: Whose): Promise<number> {
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
  await print(
    io.stdout,
    flags.json === true ? `${JSON.stringify(answer)}\n` : `${printable(text)}\n`,
  );
  return stores.some(({ failed }) => failed !== undefined) ? EXIT.failure : EXIT.ok;
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
