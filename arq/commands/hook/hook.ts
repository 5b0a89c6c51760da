/** `arq hook …`: URLs that the bus calls when something has happened. The bus decides what is a hook. */
import { hookAnswerText, hooksTable, hookText } from "../../answers/hook_text.ts";
import { cell } from "../../answers/mirror_text.ts";
import { membersOf } from "../../answers/policy_text.ts";
import { askAdmin, findAdmin } from "../../bus/admin.ts";
import type { AdminRequest } from "../../bus/admin.ts";
import { busAgo } from "../../bus/bus_clock.ts";
import { DEV_TENANT } from "../../bus/dev_bus.ts";
import type { ConnectionFlags } from "../../bus/target.ts";
import { CommandError, EXIT, printable, usageError } from "../../terminal/exit.ts";
import { print } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";

/** The options of all commands. */
export interface HookFlags extends ConnectionFlags {
  readonly tenant?: string;
  readonly json?: boolean;
}

/** The options of `arq hook add`. */
export interface HookAddFlags extends HookFlags {
  readonly id: string;
  readonly events: readonly string[];
  readonly room: string;
}

type Answer = Record<string, unknown>;

function pathOf({ tenant = DEV_TENANT }: HookFlags, ...more: string[]): string {
  return ["/v1/tenants", tenant, "hooks", ...more].map((part, at) =>
    at === 0 ? part : encodeURIComponent(part)
  ).join("/");
}

async function ask(io: Io, flags: HookFlags, request: AdminRequest): Promise<Answer> {
  return await askAdmin(io, await findAdmin(io, flags), request);
}

async function tell(
  io: Io,
  { json }: HookFlags,
  answer: Answer,
  text: (answer: Answer) => string,
): Promise<number> {
  await print(io.stdout, json === true ? `${JSON.stringify(answer)}\n` : text(answer));
  return EXIT.ok;
}

const one = ({ hook }: Answer): string => hookText(membersOf(hook));

/** Sets a hook, and prints it with its new secret. */
export async function hookAdd(io: Io, url: string, flags: HookAddFlags): Promise<number> {
  const { id, events, room } = flags;
  const body = JSON.stringify({ url, events, room });
  return await tell(
    io,
    flags,
    await ask(io, flags, { method: "PUT", path: pathOf(flags, id), body }),
    one,
  );
}

/** Prints all of a tenant. */
export async function hookList(io: Io, flags: HookFlags): Promise<number> {
  const answer = await ask(io, flags, { method: "GET", path: pathOf(flags) });
  return await tell(io, flags, answer, ({ hooks }) => hooksTable(hooks));
}

/** Prints one, with its dead letters. */
export async function hookShow(io: Io, id: string, flags: HookFlags): Promise<number> {
  const answer = await ask(io, flags, { method: "GET", path: pathOf(flags, id) });
  return await tell(io, flags, answer, hookAnswerText);
}

/** The options of `arq hook replay`. */
export interface HookReplayFlags extends HookFlags {
  /** Unix ms. */
  readonly from?: number;
  /** Seconds ago. */
  readonly since?: number;
}

/** Has it called again for its dead letters, or for everything since a time. */
export async function hookReplay(io: Io, id: string, flags: HookReplayFlags): Promise<number> {
  const { from, since } = flags;
  if (from !== undefined && since !== undefined) {
    throw usageError("--from and --since are two words for one thing");
  }
  const admin = await findAdmin(io, flags);
  const from_ms = from ?? await busAgo(io, admin, since);
  const query = from_ms === undefined ? "" : `?from_ms=${Math.max(0, Math.round(from_ms))}`;
  const path = `${pathOf(flags, id, "replay")}${query}`;
  return await tell(io, flags, await askAdmin(io, admin, { method: "POST", path }), one);
}

/** Pauses it, or lets it go on. */
export async function hookOrder(
  io: Io,
  id: string,
  word: "pause" | "resume",
  flags: HookFlags,
): Promise<number> {
  const path = pathOf(flags, id, word);
  return await tell(io, flags, await ask(io, flags, { method: "POST", path }), one);
}

/** Calls it once from the Shield. Throws CommandError when it does not take the call. */
export async function hookTest(io: Io, id: string, flags: HookFlags): Promise<number> {
  const path = pathOf(flags, id, "test");
  const answer = await ask(io, flags, { method: "POST", path });
  const { status, problem, took_ms } = answer;
  const is_taken = typeof status === "number" && status >= 200 && status < 300;
  if (!is_taken) {
    const why = status === 0 ? cell(problem) : `it answered ${cell(status)}`;
    throw new CommandError(`the hook ${id} has not taken the call: ${why}`);
  }
  return await tell(io, flags, answer, () => `answered ${cell(status)} in ${cell(took_ms)} ms\n`);
}

/** Removes it. */
export async function hookRemove(io: Io, id: string, flags: HookFlags): Promise<number> {
  const answer = await ask(io, flags, { method: "DELETE", path: pathOf(flags, id) });
  return await tell(io, flags, answer, () => `${printable(`removed ${id}`)}\n`);
}
