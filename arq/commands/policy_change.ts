/** `arq policy rollback`, `remove` and `reset`: changes of a tenant's policies that need no module. */
import { askAdmin, findAdmin } from "../admin.ts";
import type { AdminRequest } from "../admin.ts";
import type { Io } from "../io.ts";
import type { ConnectionFlags } from "../target.ts";
import { tellChange } from "./policy_deploy.ts";

/** The options of all three. */
export interface ChangeFlags extends ConnectionFlags {
  readonly tenant: string;
  readonly json?: boolean;
}

/** `--to` names a version; absent: the one before what is in force. */
export interface RollbackFlags extends ChangeFlags {
  readonly to?: number;
}

async function change(
  io: Io,
  flags: ChangeFlags,
  request: AdminRequest,
  done: (answer: Record<string, unknown>) => string,
): Promise<number> {
  const admin = await findAdmin(io, flags);
  const began_ms = io.now();
  const answer = await askAdmin(io, admin, request);
  const duration_ms = io.now() - began_ms;
  return await tellChange(io, answer, {
    json: flags.json === true,
    done: done(answer),
    duration_ms,
  });
}

/** Puts an earlier version in force again. */
export function policyRollback(io: Io, flags: RollbackFlags): Promise<number> {
  const { tenant, to } = flags;
  const body = JSON.stringify({ tenant, ...(to === undefined ? {} : { version: to }) });
  const request = { method: "POST", path: "/v1/policies/rollback", body } as const;
  return change(
    io,
    flags,
    request,
    ({ restores }) => `the policies of version ${restores} are back`,
  );
}

/** Takes one policy out of the chain. */
export function policyRemove(io: Io, name: string, flags: ChangeFlags): Promise<number> {
  const query = new URLSearchParams({ tenant: flags.tenant });
  const path = `/v1/policies/${encodeURIComponent(name)}?${query}`;
  return change(io, flags, { method: "DELETE", path }, () => `${name} is removed`);
}

/** Starts the document of a tenant anew that the bus cannot read. */
export function policyReset(io: Io, flags: ChangeFlags): Promise<number> {
  const body = JSON.stringify({ tenant: flags.tenant });
  const request = { method: "POST", path: "/v1/policies/reset", body } as const;
  return change(io, flags, request, () => "the policies are reset to none");
}
