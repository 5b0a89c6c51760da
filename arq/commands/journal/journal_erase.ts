/** `arq journal erase` and `arq journal status`: what is no longer to be read, and how much there is. */
import { plural } from "../../../shared/plural.ts";
import { askAdmin, findAdmin } from "../../bus/admin.ts";
import type { ConnectionFlags } from "../../bus/target.ts";
import { canAsk, confirmed } from "../../terminal/confirm.ts";
import { EXIT, printable, usageError } from "../../terminal/exit.ts";
import { print } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";

/** The options of `arq journal status`. */
export interface JournalStatusFlags extends ConnectionFlags {
  readonly tenant: string;
  readonly json?: boolean;
}

/** The options of `arq journal erase`. */
export interface JournalEraseFlags extends JournalStatusFlags {
  readonly user: string;
  readonly yes?: boolean;
}

/** Deletes the keys of a user. Returns 0 also when there are none. */
export async function journalErase(io: Io, flags: JournalEraseFlags): Promise<number> {
  const { tenant, user } = flags;
  const admin = await findAdmin(io, flags);
  if (flags.yes !== true) {
    const question = printable(
      `What the journal of ${tenant} says of user ${user} is lost for good. Erase it?`,
    );
    if (!canAsk()) throw usageError(`${question} Nobody is here to ask`, "say yes with --yes");
    if (!await confirmed(io, question)) return EXIT.failure;
  }
  const body = JSON.stringify({ tenant, user });
  const answer = await askAdmin(io, admin, { method: "POST", path: "/v1/journal/erase", body });
  const text = answer["erased"] === true
    ? `user ${user} is erased from the journal of ${tenant}`
    : `the journal of ${tenant} says nothing of user ${user}`;
  await print(
    io.stdout,
    flags.json === true ? `${JSON.stringify(answer)}\n` : `${printable(text)}\n`,
  );
  return EXIT.ok;
}

/** Prints how much of a tenant's journal there is, and from when. */
export async function journalStatus(io: Io, flags: JournalStatusFlags): Promise<number> {
  const admin = await findAdmin(io, flags);
  const path = `/v1/journal/status?tenant=${encodeURIComponent(flags.tenant)}`;
  const answer = await askAdmin(io, admin, { method: "GET", path });
  if (flags.json === true) await print(io.stdout, `${JSON.stringify(answer)}\n`);
  else await print(io.stdout, `${printable(statusText(flags.tenant, answer))}\n`);
  return EXIT.ok;
}

function statusText(tenant: string, answer: Readonly<Record<string, unknown>>): string {
  const { blocks, bytes, first_ms, last_ms } = answer;
  const time = (at_ms: unknown) => new Date(Number(at_ms)).toISOString();
  if (blocks === 0) return `the journal of ${tenant} is empty`;
  const size = `${plural(Number(blocks), "block")}, ${bytes} bytes`;
  return `the journal of ${tenant}: ${size}, stored from ${time(first_ms)} to ${time(last_ms)}`;
}
