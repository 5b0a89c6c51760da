/** `arq auth revoke` and `arq auth revocations`: revokes tokens, and lists what is revoked. */
import { askAdmin, findAdmin } from "../../bus/admin.ts";
import { CommandError, EXIT, printable, usageError } from "../../terminal/exit.ts";
import { type Io, print } from "../../terminal/io.ts";
import { listOf, membersOf, when } from "../../answers/policy_text.ts";
import { busNow } from "../../bus/bus_clock.ts";
import type { Flags } from "../../program/flags.ts";

const PATH = "/v1/revocations";

function aboutText(revocation: Record<string, unknown>): string {
  const { kind, id, issued_before_ms } = revocation;
  if (kind === "token") return `token ${id}`;
  const whose = kind === "user" ? `tokens of user ${id}` : "all tokens";
  return `${whose} issued before ${when(issued_before_ms)}`;
}

function untilText({ until_ms }: Record<string, unknown>): string {
  return until_ms === 0 ? "for good" : `until ${when(until_ms)}`;
}

function requireOne({ user, tokenId, issuedBefore, undo }: Flags<"tenant">): void {
  if (user !== undefined && tokenId !== undefined) {
    throw usageError("--user and --token-id exclude each other");
  }
  if (tokenId !== undefined && issuedBefore !== undefined) {
    throw usageError("--issued-before is for a user or for the whole tenant, not for --token-id");
  }
  if (user === undefined && tokenId === undefined && issuedBefore === undefined) {
    const hint = undo === true
      ? "--undo with --issued-before now is about the whole tenant"
      : undefined;
    throw usageError("expected --user, --token-id or --issued-before", hint);
  }
}

async function undo(io: Io, tenant: string, flags: Flags<"tenant">): Promise<number> {
  const { user, tokenId } = flags;
  const kind = user !== undefined ? "user" : tokenId !== undefined ? "token" : "issued-before";
  const id = user ?? tokenId ?? "*";
  const path = `${PATH}?${new URLSearchParams({ tenant, kind, id })}`;
  const answer = await askAdmin(io, await findAdmin(io, flags), { method: "DELETE", path });
  if (answer["lifted"] !== true) {
    throw new CommandError(
      `tenant ${tenant} has no such revocation`,
      EXIT.failure,
      "arq auth revocations shows them",
    );
  }
  const told = `lifted: tokens that have not ended are good again in tenant ${tenant}\n`;
  await print(io.stdout, flags.json === true ? `${JSON.stringify(answer)}\n` : told);
  return EXIT.ok;
}

/** Revokes tokens, or lifts a revocation with `--undo`. Prints what is in force now. */
export async function revoke(io: Io, flags: Flags<"tenant">): Promise<number> {
  requireOne(flags);
  const { tenant, user, tokenId, issuedBefore, reason } = flags;
  if (flags.undo === true) return await undo(io, tenant, flags);
  const admin = await findAdmin(io, flags);
  const now_ms = await busNow(io, admin);
  const issued_before_ms = issuedBefore === undefined
    ? undefined
    : issuedBefore > 0
    ? issuedBefore
    : now_ms + issuedBefore;
  const until_ms = flags.for === undefined ? undefined : now_ms + flags.for * 1_000;
  const body = JSON.stringify({
    tenant,
    user,
    token_id: tokenId,
    issued_before_ms,
    until_ms,
    reason,
  });
  const answer = await askAdmin(io, admin, {
    method: "POST",
    path: PATH,
    body,
  });
  const stands = membersOf(answer["revocation"]);
  const told = `revoked in tenant ${tenant}: ${aboutText(stands)}, ${untilText(stands)}`;
  const text = flags.json === true ? JSON.stringify(answer) : printable(told);
  await print(io.stdout, `${text}\n`);
  return EXIT.ok;
}

/** The text of `arq auth revocations`. */
export function revocationsText(answer: Readonly<Record<string, unknown>>): string {
  const lines = listOf(answer["revocations"]).map((one) => {
    const shown = membersOf(one);
    const reason = shown["reason"] === "" ? "" : `: ${shown["reason"]}`;
    const by = `by ${shown["by"]}`;
    return printable(
      `${shown["tenant"]}  ${aboutText(shown)}, ${untilText(shown)}, ${by}${reason}`,
    );
  });
  if (lines.length === 0) lines.push("nothing is revoked");
  if (answer["truncated"] === true) lines.push("… and more");
  return `${lines.join("\n")}\n`;
}
