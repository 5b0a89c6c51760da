/**
 * The record of one admin API request for rate limits and the audit log: its action, its beginning, and its outcome. It
 * decides no permissions.
 */
import type { Admin } from "./admin_scope.ts";
import { aboutOf, actionOf } from "./audit_actions.ts";
import type { Audited, Finish } from "./audited.ts";

/** Longest problem body that is parsed for its reason, in bytes; ours are shorter. */
const PROBLEM_BYTES = 65_536;

/** Why an answer is a refusal; null if it is not a refusal. */
async function reasonOf(response: Response): Promise<string | null> {
  const is_problem = response.headers.get("content-type") === "application/problem+json";
  const size_bytes = Number(response.headers.get("content-length") ?? "0");
  if (response.status < 400 || !is_problem || size_bytes > PROBLEM_BYTES) return null;
  const { reason } = await response.clone().json();
  return typeof reason === "string" ? reason : null;
}

/** The record of one request; without `Admin.audit` it records nothing. */
export class RequestRecord {
  readonly #admin: Admin;
  readonly #request: Request;
  #audited: Audited | undefined;
  #is_recorded = false;
  #finish: Finish | undefined;

  constructor(admin: Admin, request: Request) {
    this.#admin = admin;
    this.#request = request;
  }

  /** Stores the route of the request and the tenant that it names, as far as that is known by now. */
  find(template: string, tenant: string | undefined): void {
    const { method, url } = this.#request;
    const { action, is_recorded } = actionOf(method, template);
    const { pathname, search } = new URL(url);
    const { by, tenant_id: by_tenant, only_tenant, client } = this.#admin;
    this.#is_recorded = is_recorded;
    this.#audited = {
      action,
      method,
      path: `${pathname}${search}`,
      tenant: tenant ?? only_tenant ?? null,
      by,
      by_tenant,
      operator: only_tenant === undefined,
      from: client.remote_ip,
      about: is_recorded && this.#admin.audit !== undefined ? aboutOf(this.#request, action) : {},
    };
  }

  /** Stores the tenant that the body names. */
  name(tenant: string): void {
    if (this.#audited !== undefined) this.#audited = { ...this.#audited, tenant };
  }

  /** Throws `rate-limited` if the caller exceeded its rate of changes. */
  takeRate(): void {
    if (this.#is_recorded) this.#admin.rates?.takeChange(this.#admin.client.identity);
  }

  /** To be called before an allowed request runs. Rejects with `audit-unavailable`: the request must then not run. */
  async begin(): Promise<void> {
    if (!this.#is_recorded || this.#audited === undefined) return;
    this.#finish = await this.#admin.audit?.begin(this.#audited);
  }

  /** Records the answer with which the request ended. Never rejects. */
  async end(response: Response): Promise<Response> {
    const { audit } = this.#admin;
    if (audit === undefined) return response;
    const { status } = response;
    const reason = await reasonOf(response);
    if (this.#finish !== undefined) await this.#finish({ status, reason });
    else if (this.#audited !== undefined && isRefusal(status, reason, this.#is_recorded)) {
      await audit.refused(this.#audited, { status, reason });
    }
    return response;
  }
}

/** Whether an outcome is recorded: of reads only forbidden ones, of changes every refusal. */
function isRefusal(status: number, reason: string | null, is_recorded: boolean): boolean {
  // If the log is unavailable, its refusal cannot be recorded either.
  if (status < 400 || reason === "audit-unavailable") return false;
  return is_recorded || status === 403;
}
