/** `arq room class list`, `set`, `remove` and `explain`: list and change the options of rooms, by pattern. */
import { ArqonError } from "@arqon/proto";
import { askAdmin, findAdmin } from "../../bus/admin.ts";
import type { AdminRequest } from "../../bus/admin.ts";
import { CommandError, EXIT, printable, usageError } from "../../terminal/exit.ts";
import { print } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";
import { listOf, membersOf } from "../../answers/policy_text.ts";
import { classExplainText, classTable, optionsText } from "../../answers/room_class_text.ts";
import type { ConnectionFlags } from "../../bus/target.ts";
import { requireMeant, roomLosses } from "../../rooms/unreachable.ts";
import { tellSettings } from "../mirror/mirror_rules.ts";

/** The options of all `arq room class` commands. */
export interface ClassFlags extends ConnectionFlags {
  /** Absent: `default`; a listing then has all tenants. */
  readonly tenant?: string;
  readonly json?: boolean;
}

/** The options of `set` and `remove`. */
export interface ClassChangeFlags extends ClassFlags {
  /** What is stored may be unreachable then. */
  readonly allowUnreachable?: boolean;
}

/** The options of a class that `set` can name; an absent one has the bus's default. */
export interface ClassSetFlags extends ClassChangeFlags {
  readonly durable?: boolean;
  readonly historySize?: number;
  /** Age in seconds at which stored messages expire. */
  readonly historyTtl?: number;
  readonly replicas?: number;
  readonly cacheLast?: boolean;
  readonly presence?: boolean;
  readonly slowReader?: string;
  readonly maxMembers?: number;
  readonly echo?: boolean;
  readonly httpCache?: string;
  /** Whether who came and went is kept. */
  readonly membership?: string;
  /** What subscribers may receive, in CEL. */
  readonly filter?: string;
  /** In what form messages go to those who ask for deltas. */
  readonly delta?: string;
}

const DEFAULT_TENANT = "default";
const pathOf = (tenant: string) => `/v1/tenants/${encodeURIComponent(tenant)}/rooms`;

/** Throws `CommandError` when messages are stored that nobody could read any longer with these classes. */
async function requireReachable(
  io: Io,
  flags: ClassChangeFlags,
  pattern: string,
  one: readonly unknown[],
): Promise<void> {
  if (flags.allowUnreachable === true) return;
  const { tenant = DEFAULT_TENANT } = flags;
  const admin = await findAdmin(io, flags);
  const { rooms } = await askAdmin(io, admin, { method: "GET", path: pathOf(tenant) });
  const others = listOf(rooms).filter((other) => membersOf(other)["room"] !== pattern);
  try {
    requireMeant(await roomLosses(io, admin, tenant, [...others, ...one]), false);
  } catch (error) {
    // What is wrong with the class is said where it is set.
    if (!(error instanceof ArqonError) || error.reason !== "invalid-settings") throw error;
  }
}

async function ask(
  io: Io,
  flags: ClassFlags,
  request: AdminRequest,
): Promise<Record<string, unknown>> {
  return await askAdmin(io, await findAdmin(io, flags), request);
}

/** Sets the class of a tenant's rooms. It replaces the whole class that the tenant had for this pattern. */
export async function classSet(io: Io, pattern: string, flags: ClassSetFlags): Promise<number> {
  const { tenant = DEFAULT_TENANT, durable = false, cacheLast = false } = flags;
  if (cacheLast && !durable) {
    throw usageError("--cache-last needs --durable: the last message is the last of the log");
  }
  // The JSON leaves out undefined members, for which the bus has defaults.
  const one = {
    room: pattern,
    durable: flags.durable,
    history_size: flags.historySize,
    history_ttl_seconds: flags.historyTtl,
    replicas: flags.replicas,
    cache_last: flags.cacheLast,
    presence: flags.presence,
    slow_reader: flags.slowReader,
    max_members: flags.maxMembers,
    echo: flags.echo,
    http_cache: flags.httpCache,
    membership: flags.membership,
    filter: flags.filter,
    delta: flags.delta,
  };
  await requireReachable(io, flags, pattern, [one]);
  const body = JSON.stringify(one);
  const answer = await ask(io, flags, { method: "PUT", path: pathOf(tenant), body });
  const stored = listOf(answer["rooms"]).find((one) => membersOf(one)["room"] === pattern);
  const done = `the class of ${pattern} is set (${optionsText(stored)})`;
  return await tellSettings(io, answer, { json: flags.json === true, done });
}

/** Removes a tenant's class. Throws `CommandError` when the tenant has none for this pattern. */
export async function classRemove(
  io: Io,
  pattern: string,
  flags: ClassChangeFlags,
): Promise<number> {
  const { tenant = DEFAULT_TENANT } = flags;
  await requireReachable(io, flags, pattern, []);
  const path = `${pathOf(tenant)}?${new URLSearchParams({ room: pattern })}`;
  const answer = await ask(io, flags, { method: "DELETE", path });
  if (answer["changed"] === false) {
    throw new CommandError(
      `tenant ${tenant} has no room class for ${pattern}`,
      EXIT.failure,
      "arq room class list shows the classes; those of the configuration stay",
    );
  }
  const done = `the class of ${pattern} is removed`;
  return await tellSettings(io, answer, { json: flags.json === true, done });
}

/** Prints the classes in force on a node, or those that a tenant has set. */
export async function classList(io: Io, flags: ClassFlags): Promise<number> {
  const { tenant } = flags;
  const path = tenant === undefined ? "/v1/rooms/classes" : pathOf(tenant);
  const answer = await ask(io, flags, { method: "GET", path });
  if (flags.json === true) {
    await print(io.stdout, `${JSON.stringify(answer)}\n`);
    return EXIT.ok;
  }
  const classes = listOf(tenant === undefined ? answer["classes"] : answer["rooms"]);
  const whose = tenant === undefined ? "" : ` by tenant ${tenant}`;
  const none = classes.length === 0 ? `no room classes are set${whose}\n` : "";
  const more = answer["truncated"] === true ? "… and more\n" : "";
  const problem = membersOf(answer["here"])["problem"];
  const bad = typeof problem === "string" ? `NOT IN FORCE: ${printable(problem)}\n` : "";
  await print(io.stdout, none + classTable(classes, tenant) + more + bad);
  return EXIT.ok;
}

/** Prints the class of a room, all its options, and the classes that it overrules. */
export async function classExplain(io: Io, room: string, flags: ClassFlags): Promise<number> {
  const { tenant = DEFAULT_TENANT } = flags;
  const path = `/v1/rooms/classes/explain?${new URLSearchParams({ tenant, room })}`;
  const answer = await ask(io, flags, { method: "GET", path });
  const text = flags.json === true ? `${JSON.stringify(answer)}\n` : classExplainText(answer);
  await print(io.stdout, text);
  return EXIT.ok;
}
