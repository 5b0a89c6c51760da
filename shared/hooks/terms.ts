/** Where a hook may call, and which certificates it trusts. Reads `ca_file`. */
import type { Webhooks } from "../config/automation/hooks.ts";
import { CallFailed, type HookCall } from "./call.ts";

/** The limits in `[webhooks]`. */
export type CallTerms = Pick<HookCall, "private_hosts" | "ca_certs">;

/** For a hook of the configuration or of a tenant. Throws CallFailed if `ca_file` cannot be read. */
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
