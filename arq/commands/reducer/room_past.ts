/**
 * `arq room fork`, `trim` and `repair`: a room with a reducer that begins with the past of another one, one whose past
 * is removed, and one that goes on without entries that are lost. The Brain that owns the room does it.
 */
import { z } from "zod";
import { askAdmin, findAdmin } from "../../bus/admin.ts";
import type { Admin } from "../../bus/admin.ts";
import type { ReducedFlags } from "../../rooms/reduced_source.ts";
import { canAsk, confirmed } from "../../terminal/confirm.ts";
import { CommandError, EXIT, printable, usageError } from "../../terminal/exit.ts";
import { print } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";

/** An entry of a log, or a time. */
export type EntryOrTime = { readonly offset: number } | { readonly time_ms: number };

/** The options of `arq room fork`. */
export interface RoomForkFlags extends ReducedFlags {
  readonly to: string;
  /** Absent: the last entry. */
  readonly at?: EntryOrTime;
  /** False: nothing that the other room has scheduled. */
  readonly timers: boolean;
  readonly json?: boolean;
}

/** The options of `arq room trim`. */
export interface RoomTrimFlags extends ReducedFlags {
  readonly before?: number;
  readonly yes?: boolean;
  readonly json?: boolean;
}

/** The options of `arq room repair`. */
export interface RoomRepairFlags extends ReducedFlags {
  readonly acceptLoss?: boolean;
  readonly json?: boolean;
}

const Forked = z.looseObject({ offset: z.int() });
const Trimmed = z.looseObject({ offset: z.int(), messages: z.int(), snapshots: z.int() });
const Repaired = z.looseObject({
  lost: z.looseObject({ from: z.int(), to: z.int() }).nullable(),
  offset: z.int().optional(),
  from_snapshot: z.int().optional(),
});

async function post<T extends z.ZodType>(
  io: Io,
  admin: Admin,
  path: string,
  body: object,
  schema: T,
): Promise<z.output<T>> {
  const request = { method: "POST", path, body: JSON.stringify(body) } as const;
  const parsed = schema.safeParse(await askAdmin(io, admin, request));
  if (parsed.success) return parsed.data;
  throw new CommandError(`${admin.admin_url} answers, but not as an ArqonBus does`);
}

const pathOf = (room_id: string, { tenant }: ReducedFlags, what: string) =>
  `/v1/rooms/${tenant}/${encodeURIComponent(room_id)}/${what}`;

const line = (answer: unknown, text: string, json = false) =>
  json ? `${JSON.stringify(answer)}\n` : `${printable(text)}\n`;

/** Begins a room with the past of another one. */
export async function roomFork(io: Io, room_id: string, flags: RoomForkFlags): Promise<number> {
  const { to, at = {}, timers: with_timers, json } = flags;
  const admin = await findAdmin(io, flags);
  const body = { to, ...at, with_timers };
  const answer = await post(io, admin, pathOf(room_id, flags, "fork"), body, Forked);
  const text = `${to} begins behind entry ${answer.offset} of ${room_id}` +
    (with_timers ? "" : ", without its timers");
  await print(io.stdout, line(answer, text, json));
  return EXIT.ok;
}

/** Removes the past of a room. */
export async function roomTrim(io: Io, room_id: string, flags: RoomTrimFlags): Promise<number> {
  const { before, yes, json } = flags;
  const admin = await findAdmin(io, flags);
  if (yes !== true) {
    const which = before === undefined ? "All of" : `Up to entry ${before}`;
    const question = printable(`${which} the past of ${room_id} is lost for good. Remove it?`);
    if (!canAsk()) throw usageError(`${question} Nobody is here to ask`, "say yes with --yes");
    if (!await confirmed(io, question)) return EXIT.failure;
  }
  const body = before === undefined ? {} : { before };
  const answer = await post(io, admin, pathOf(room_id, flags, "trim"), body, Trimmed);
  const { offset, messages, snapshots } = answer;
  const text = offset === 0
    ? `${room_id}: there is no snapshot from before entry ${before}, so nothing was removed`
    : `${room_id}: its past begins behind entry ${offset} now; ${messages} messages of its log and ` +
      `${snapshots} snapshots were removed`;
  await print(io.stdout, line(answer, text, json));
  return EXIT.ok;
}

/** Lets a room go on that has lost entries. */
export async function roomRepair(
  io: Io,
  room_id: string,
  flags: RoomRepairFlags,
): Promise<number> {
  if (flags.acceptLoss !== true) {
    throw usageError(
      `${room_id} goes on from its newest snapshot, and what is lost stays lost`,
      "say that this is wanted with --accept-loss",
    );
  }
  const admin = await findAdmin(io, flags);
  const body = { accept_loss: true };
  const answer = await post(io, admin, pathOf(room_id, flags, "repair"), body, Repaired);
  const { lost, offset, from_snapshot } = answer;
  const whole = offset === undefined
    ? `${room_id} has lost nothing, and was left as it is`
    : `${room_id} goes on behind entry ${offset}; no entry is lost`;
  const text = lost === null
    ? whole
    : `${room_id} goes on as it was after entry ${from_snapshot}; entries ${lost.from} to ${lost.to} are lost`;
  await print(io.stdout, line(answer, text, flags.json));
  return EXIT.ok;
}
