/** Where a hook may be called, and whose certificates are believed there. Opens the one file that says so. */
import type { Webhooks } from "../config/automation/hooks.ts";
import { CallFailed } from "./call.ts";
import type { HookCall } from "./call.ts";

/** What `[webhooks]` says of a call. */
export type CallTerms = Pick<HookCall, "private_hosts" | "ca_certs">;

/** For a hook of the configuration or of a tenant. Throws CallFailed when `ca_file` cannot be read. */
export function callTerms(
  { private_hosts, tenant_private_hosts, ca_file }: Webhooks,
  is_tenants: boolean,
  readTextFile: (path: string) => string,
): CallTerms {
  const hosts = is_tenants ? tenant_private_hosts : private_hosts;
  if (ca_file === undefined) return { private_hosts: hosts, ca_certs: [] };
  try {
    return { private_hosts: hosts, ca_certs: [readTextFile(ca_file)] };
  } catch {
    throw new CallFailed(`[webhooks] ca_file ${ca_file} cannot be read`);
  }
}
