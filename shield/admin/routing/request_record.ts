/**
 * The record of one admin API request for rate limits and the audit log: its action, its beginning, and its outcome. It
 * decides no permissions.
 */
import type { Admin } from "./admin_scope.ts";
import { actionOf, type RouteAudit } from "./admin_routes.ts";
import type { Audited, Ended, Finish } from "./audit_trail.ts";

/** Members of a body that say what a request is about, and are no content of users. */
const SHOWN = [
  "name",
  "sha256",
  "version",
  "room",
  "mode",
  "percent",
  "order",
  "prefix",
  "subject",
  "schema_id",
  "message",
  "user",
  "user_id",
  "connection_id",
  "token_id",
  "issued_before_ms",
  "until_ms",
  "ttl_ms",
  "scope",
  "reason",
  "node_id",
  "component",
  "level",
  "durable",
  // Of an erasure, which is repeated by them after a restore.
  "offset",
  "all",
  "through",
] as const;
const SHOWN_UNITS = 128;
/** Of a user's id, which is to be whole. */
const USER_UNITS = 256;
/** Longest body that is looked into. */
const BODY_BYTES = 16_384;

/**
 * The parts of a JSON body that the log may show, read from a copy; nothing of a body that is
 * large, has no length, or is no JSON. Never rejects.
 */
async function aboutOf(request: Request): Promise<Record<string, string | number | boolean>> {
  const size_bytes = Number(request.headers.get("content-length") ?? "0");
  const is_json = /^application\/json\b/i.test(request.headers.get("content-type") ?? "");
  if (!is_json || size_bytes <= 0 || size_bytes > BODY_BYTES) return {};
  let body: unknown;
  try {
    body = await request.clone().json();
  } catch {
    return {};
  }
  const about: Record<string, string | number | boolean> = {};
  if (typeof body !== "object" || body === null) return about;
  for (const name of SHOWN) {
    const value: unknown = Object.hasOwn(body, name) ? Reflect.get(body, name) : undefined;
    const units = name === "user" ? USER_UNITS : SHOWN_UNITS;
    if (typeof value === "string") about[name] = value.slice(0, units).toWellFormed();
    else if (typeof value === "number" || typeof value === "boolean") about[name] = value;
  }
  return about;
}

/** Longest problem body that is looked into for its reason, in bytes; ours are shorter. */
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
  #is_read = false;
  #finish: Finish | undefined;

  constructor(admin: Admin, request: Request) {
    this.#admin = admin;
    this.#request = request;
  }

  /** Takes note of what the request is called; `tenant` is the one that it names, as far as that can be read by now. */
  find(audit: RouteAudit | undefined, tenant: string | undefined): void {
    const { method, url } = this.#request;
    const is_named = typeof audit === "string";
    this.#is_read = typeof audit === "object" && "read" in audit;
    const { pathname, search } = new URL(url);
    const { by, tenant_id: by_tenant, only_tenant, client } = this.#admin;
    this.#is_recorded = audit !== undefined && (is_named || !("refused" in audit));
    this.#audited = {
      action: audit === undefined ? "read" : actionOf(audit),
      method,
      path: `${pathname}${search}`,
      tenant: tenant ?? only_tenant ?? null,
      by,
      by_tenant,
      operator: only_tenant === undefined,
      from: client.remote_ip,
      about: is_named && this.#admin.audit !== undefined ? aboutOf(this.#request) : {},
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

  /** Records the answer with which the request ended, or how the reading of the returned one ends. Never rejects. */
  async end(response: Response): Promise<Response> {
    const { audit } = this.#admin;
    if (audit === undefined) return response;
    const { body, status } = response;
    const ended = { status, reason: await reasonOf(response) };
    const finish = this.#finish;
    if (this.#is_read && finish !== undefined && status < 400 && body !== null) {
      const flush = () => finish(ended);
      const cancel = () => finish({ ...ended, is_cut: true });
      return new Response(body.pipeThrough(new TransformStream({ flush, cancel })), response);
    }
    if (finish !== undefined) await finish(ended);
    else if (this.#audited !== undefined && isRefusal(ended, this.#is_recorded)) {
      await audit.refused(this.#audited, ended);
    }
    return response;
  }
}

/** Whether an outcome is recorded: of reads only forbidden ones, of changes every refusal. */
function isRefusal({ status, reason }: Ended, is_recorded: boolean): boolean {
  // If the log is unavailable, its refusal cannot be recorded either.
  if (status < 400 || reason === "audit-unavailable") return false;
  return is_recorded || status === 403;
}
