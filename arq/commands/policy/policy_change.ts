/** `arq policy rollback`, `remove` and `reset`: change a tenant's policies without a module. */
import { askAdmin, findAdmin } from "../../bus/admin.ts";
import type { Admin, AdminRequest } from "../../bus/admin.ts";
import { canAsk, confirmed } from "../../terminal/confirm.ts";
import { EXIT } from "../../terminal/exit.ts";
import { print } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";
import { wayBack, wayBackText } from "../../policies/policy_history.ts";
import type { ConnectionFlags } from "../../bus/target.ts";
import { tellChange } from "./policy_deploy.ts";

/** The options of all three commands. */
export interface ChangeFlags extends ConnectionFlags {
  readonly tenant: string;
  readonly json?: boolean;
}

/** The options of `arq policy rollback`; without `--to` it takes the version before the one in force. */
export interface RollbackFlags extends ChangeFlags {
  readonly to?: number;
  readonly yes?: boolean;
}

async function change(
  io: Io,
  flags: ChangeFlags,
  request: AdminRequest,
  done: (answer: Record<string, unknown>) => string,
  found?: Admin,
): Promise<number> {
  const admin = found ?? await findAdmin(io, flags);
  const began_ms = io.monotonic_ms();
  const answer = await askAdmin(io, admin, request);
  const duration_ms = io.monotonic_ms() - began_ms;
  return await tellChange(io, answer, {
    json: flags.json === true,
    done: done(answer),
    duration_ms,
  });
}

/**
 * Puts an earlier version in force again. When `--to` names it, the command first shows all changes that are
 * undone. If they are more than one, a person at a terminal is asked.
 */
export async function policyRollback(io: Io, flags: RollbackFlags): Promise<number> {
  const { tenant, to } = flags;
  const admin = await findAdmin(io, flags);
  if (to !== undefined && flags.json !== true) {
    const path = `/v1/policies?${new URLSearchParams({ tenant })}`;
    const way = wayBack(await askAdmin(io, admin, { method: "GET", path }), to);
    if (way !== undefined) await print(io.stderr, wayBackText(way));
    const is_far = way !== undefined && way.taken_back.length > 1;
    const question = `Take ${way?.taken_back.length} changes of tenant ${tenant} back?`;
    if (is_far && flags.yes !== true && canAsk() && !await confirmed(io, question)) {
      await print(io.stderr, "arq: nothing was changed\n");
      return EXIT.failure;
    }
  }
  const body = JSON.stringify({ tenant, ...(to === undefined ? {} : { version: to }) });
  const request = { method: "POST", path: "/v1/policies/rollback", body } as const;
  const done = ({ restores }: Record<string, unknown>) =>
    `the policies of version ${restores} are back`;
  return await change(io, flags, request, done, admin);
}

/** Removes one policy from the chain. */
export function policyRemove(io: Io, name: string, flags: ChangeFlags): Promise<number> {
  const query = new URLSearchParams({ tenant: flags.tenant });
  const path = `/v1/policies/${encodeURIComponent(name)}?${query}`;
  return change(io, flags, { method: "DELETE", path }, () => `${name} is removed`);
}

/** Replaces a tenant's document that the bus cannot read by an empty one. */
export function policyReset(io: Io, flags: ChangeFlags): Promise<number> {
  const body = JSON.stringify({ tenant: flags.tenant });
  const request = { method: "POST", path: "/v1/policies/reset", body } as const;
  return change(io, flags, request, () => "the policies are reset to none");
}
