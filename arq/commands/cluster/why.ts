/**
 * `arq why`: asks all Shields what became of a message, or of a user's messages, and the journal how the message
 * came in, and shows it.
 */
import { wayInGaps, wayInLines } from "../../answers/way_in_text.ts";
import { soughtIn, tellsAnything, whyLines } from "../../answers/why_text.ts";
import { askAdmin, findAdmin } from "../../bus/admin.ts";
import type { Admin } from "../../bus/admin.ts";
import type { ConnectionFlags } from "../../bus/target.ts";
import { findWayIn, searchesOf } from "../../journal/way_in.ts";
import type { WayIn } from "../../journal/way_in.ts";
import { EXIT, printable, usageError } from "../../terminal/exit.ts";
import { print } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";

/** The options of `arq why`. */
export interface WhyFlags extends ConnectionFlags {
  readonly tenant?: string;
  readonly trace?: string;
  readonly twist?: string;
  readonly messageId?: string;
  readonly room?: string;
  readonly offset?: number;
  readonly user?: string;
  readonly connection?: string;
  readonly address?: string;
  /** Messages of the last so many seconds. */
  readonly since?: number;
  readonly json?: boolean;
}

const given = (...values: readonly unknown[]) =>
  values.filter((value) => value !== undefined).length;

/** Throws for options that make no question, in the words of the command line. */
function requireQuestion(flags: WhyFlags): void {
  const { trace, twist, messageId, offset, user, connection, address, room, since } = flags;
  const ids = given(trace, twist, messageId, offset);
  const whose = given(user, connection, address);
  if (ids > 1) throw usageError("give one of --trace, --twist, --message-id and --offset");
  if (whose > 1) throw usageError("give one of --user, --connection and --address");
  if (ids + whose === 0) {
    throw usageError(
      "which message, or whose? Give --message-id, --trace, --twist or --offset, or --user",
    );
  }
  if (offset !== undefined && room === undefined) throw usageError("--offset needs --room");
  if (since === undefined) return;
  if (ids > 0) throw usageError("--since asks for all messages of a room, not for one");
  if (room === undefined || given(user, connection) === 0) {
    throw usageError("--since needs --room, and --user or --connection");
  }
}

function queryOf(flags: WhyFlags): URLSearchParams {
  const { tenant, trace, twist, messageId, room, offset, user, connection, address, since } = flags;
  const since_ms = since === undefined ? undefined : Math.max(0, Date.now() - 1_000 * since);
  const all = {
    ...{ tenant, trace, twist, message_id: messageId, room, offset, user, connection, address },
    since_ms: since_ms === undefined ? undefined : Math.trunc(since_ms),
  };
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(all)) {
    if (value !== undefined) query.set(name, String(value));
  }
  return query;
}

/** Prints what the ledgers and the journal tell. Returns 1 when they tell of nothing. */
export async function why(io: Io, flags: WhyFlags): Promise<number> {
  requireQuestion(flags);
  const admin = await findAdmin(io, flags);
  const path = `/v1/why?${queryOf(flags)}`;
  const answer = await askAdmin(io, admin, { method: "GET", path });
  const way_in = await wayIn(io, admin, flags, answer);
  const has_way_in = way_in !== undefined && way_in.records.length > 0;
  const is_known = tellsAnything(answer);
  if (flags.json === true) {
    const whole = way_in === undefined ? answer : { ...answer, journal: way_in };
    await print(io.stdout, `${JSON.stringify(whole)}\n`);
  } else {
    const lines = [
      ...(way_in === undefined ? [] : wayInLines(way_in)),
      ...(is_known ? [] : ["no Shield's ledger knows of it"]),
      ...whyLines(answer),
      ...(way_in === undefined ? [] : wayInGaps(way_in)),
    ];
    await print(io.stdout, lines.map((line) => `${printable(line)}\n`).join(""));
  }
  return is_known || has_way_in ? EXIT.ok : EXIT.failure;
}

/** What the journal says of the message that was asked for; undefined where no message was. */
async function wayIn(
  io: Io,
  admin: Admin,
  { trace, twist, messageId: message_id, room, offset }: WhyFlags,
  answer: Readonly<Record<string, unknown>>,
): Promise<WayIn | undefined> {
  if (given(trace, twist, message_id, offset) === 0) return undefined;
  const searches = searchesOf({ message_id, trace, room, offset }, soughtIn(answer));
  if (searches.length === 0) return undefined;
  return await findWayIn(io, admin, String(answer["tenant_id"]), searches);
}
