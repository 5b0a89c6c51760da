/**
 * One request to the admin API, as rates and audit log see it: its action, once the route is known; its
 * beginning, once it is allowed; and its outcome. Nothing here decides what a request may do.
 */
import type { Admin } from "./admin_scope.ts";
import { aboutOf, actionOf } from "./audit_actions.ts";
import type { Audited, Finish } from "./audited.ts";

/** Longest problem body that is looked into for its reason, in bytes; ours are shorter. */
const PROBLEM_BYTES = 65_536;

/** Why an answer is a refusal; null for one that is none. */
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

  /**
   * Takes note of the route of the request; `tenant` is the one that it names, as far as that can
   * be read by now.
   */
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

  /** Takes note of the tenant that the body names. */
  name(tenant: string): void {
    if (this.#audited !== undefined) this.#audited = { ...this.#audited, tenant };
  }

  /** Throws `rate-limited` when the caller changes too much. */
  takeRate(): void {
    if (this.#is_recorded) this.#admin.rates?.takeChange(this.#admin.client.identity);
  }

  /**
   * To be called when the request may go ahead. Rejects with `audit-unavailable`: then it must not.
   */
  async begin(): Promise<void> {
    if (!this.#is_recorded || this.#audited === undefined) return;
    this.#finish = await this.#admin.audit?.begin(this.#audited);
  }

  /** Takes the answer with which the request ended. Never rejects. */
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

/**
 * Whether an outcome is recorded: of readings only what was forbidden, of changes every refusal.
 */
function isRefusal(status: number, reason: string | null, is_recorded: boolean): boolean {
  // That no entry can be written cannot be written either.
  if (status < 400 || reason === "audit-unavailable") return false;
  return is_recorded || status === 403;
}
