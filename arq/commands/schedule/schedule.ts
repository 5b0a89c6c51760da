/** `arq schedule …`: messages that are published at a time. The bus decides what is a schedule. */
import { membersOf } from "../../answers/policy_text.ts";
import { schedulesTable, scheduleText } from "../../answers/schedule_text.ts";
import { askAdmin, findAdmin } from "../../bus/admin.ts";
import type { AdminRequest } from "../../bus/admin.ts";
import { busAgo } from "../../bus/bus_clock.ts";
import { DEV_TENANT } from "../../bus/dev_bus.ts";
import type { ConnectionFlags } from "../../bus/target.ts";
import { EXIT, printable, usageError } from "../../terminal/exit.ts";
import { print } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";

/** The options of all commands. */
export interface ScheduleFlags extends ConnectionFlags {
  readonly tenant?: string;
  readonly json?: boolean;
}

/** The options of `arq schedule add`; times in Unix ms, spans in seconds. */
export interface ScheduleAddFlags extends ScheduleFlags {
  readonly id?: string;
  readonly type: string;
  readonly at?: number;
  readonly in?: number;
  readonly every?: number;
  readonly from?: number;
  readonly cron?: string;
  readonly zone?: string;
  readonly to?: number;
  readonly user?: string;
}

const ID_BYTES = 6;

function pathOf({ tenant = DEV_TENANT }: ScheduleFlags, ...more: string[]): string {
  return ["/v1/tenants", tenant, "schedules", ...more].map((part, at) =>
    at === 0 ? part : encodeURIComponent(part)
  ).join("/");
}

async function ask(io: Io, flags: ScheduleFlags, request: AdminRequest) {
  return await askAdmin(io, await findAdmin(io, flags), request);
}

/** JSON as it is, and anything else as a text. */
function dataOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

async function tell(
  io: Io,
  { json }: ScheduleFlags,
  answer: Record<string, unknown>,
): Promise<number> {
  const text = json === true
    ? `${JSON.stringify(answer)}\n`
    : scheduleText(membersOf(answer["schedule"]));
  await print(io.stdout, text);
  return EXIT.ok;
}

/** Sets a schedule, and prints it. */
export async function scheduleAdd(
  io: Io,
  room: string,
  data: string,
  flags: ScheduleAddFlags,
): Promise<number> {
  const { at, every, from, cron, zone, to, type, user } = flags;
  const whens = [at, flags.in, every, cron].filter((one) => one !== undefined);
  if (whens.length !== 1) throw usageError("expected one of --at, --in, --every and --cron");
  if (from !== undefined && every === undefined) throw usageError("--from needs --every");
  if (zone !== undefined && cron === undefined) throw usageError("--zone needs --cron");
  const { id = crypto.getRandomValues(new Uint8Array(ID_BYTES)).toHex() } = flags;
  const admin = await findAdmin(io, flags);
  // The JSON leaves out undefined members.
  const body = JSON.stringify({
    room,
    message: { type, data: dataOf(data) },
    user,
    at_ms: flags.in === undefined ? at : await busAgo(io, admin, -flags.in),
    every_ms: every === undefined ? undefined : 1_000 * every,
    from_ms: from,
    cron,
    zone,
    until_ms: to,
  });
  return await tell(
    io,
    flags,
    await askAdmin(io, admin, { method: "PUT", path: pathOf(flags, id), body }),
  );
}

/** Prints all of a tenant. */
export async function scheduleList(io: Io, flags: ScheduleFlags): Promise<number> {
  const answer = await ask(io, flags, { method: "GET", path: pathOf(flags) });
  const text = flags.json === true
    ? `${JSON.stringify(answer)}\n`
    : schedulesTable(answer["schedules"]);
  await print(io.stdout, text);
  return EXIT.ok;
}

/** Prints one. */
export async function scheduleShow(io: Io, id: string, flags: ScheduleFlags): Promise<number> {
  return await tell(io, flags, await ask(io, flags, { method: "GET", path: pathOf(flags, id) }));
}

/** Pauses it, or lets it go on. */
export async function schedulePause(
  io: Io,
  id: string,
  word: "pause" | "resume",
  flags: ScheduleFlags,
): Promise<number> {
  const path = pathOf(flags, id, word);
  return await tell(io, flags, await ask(io, flags, { method: "POST", path }));
}

/** Removes it. */
export async function scheduleRemove(io: Io, id: string, flags: ScheduleFlags): Promise<number> {
  const answer = await ask(io, flags, { method: "DELETE", path: pathOf(flags, id) });
  const text = flags.json === true ? JSON.stringify(answer) : printable(`removed ${id}`);
  await print(io.stdout, `${text}\n`);
  return EXIT.ok;
}
