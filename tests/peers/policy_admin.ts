/** An admin's HTTP requests about policies, for tests and benchmarks: real requests, plain answers. */
import type { TestBus } from "../harness/bus.ts";
import { send } from "./own_connections.ts";

/** Status and JSON body of an answer. */
export interface AdminAnswer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

/** The admin API of a running bus, with an admin's token. */
export interface PolicyAdmin {
  upload(bytes: Uint8Array<ArrayBuffer>): Promise<AdminAnswer>;
  /** `POST /v1/policies/{path}`. */
  post(path: string, body: object): Promise<AdminAnswer>;
  /** Removes a policy of a tenant. */
  remove(tenant: string, name: string): Promise<AdminAnswer>;
  /** `GET /v1/status`. */
  status(): Promise<{ readonly policies: Readonly<Record<string, unknown>> }>;
}

/** A module that denies every SUB. */
export const DOORMAN = `(module
  (memory (export "memory") 1)
  (func (export "arqon_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "arqon_on_subscribe") (result i32) (i32.const 1)))`;

/** An admin of the bus. */
export async function policyAdmin(
  bus: Pick<TestBus, "admin_url" | "tokenFor">,
): Promise<PolicyAdmin> {
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  const call = async (
    method: string,
    path: string,
    body?: unknown,
    type?: string,
  ): Promise<AdminAnswer> => {
    const headers = type === undefined ? {} : { "content-type": type };
    const response = await send(`${bus.admin_url}/v1/${path}`, token, method, body, headers);
    return { status: response.status, body: await response.json() };
  };
  return {
    upload: (bytes) => call("PUT", "policies/modules", bytes, "application/wasm"),
    post: (path, body) => call("POST", `policies/${path}`, body),
    remove: (tenant, name) => call("DELETE", `policies/${name}?tenant=${tenant}`),
    async status() {
      const { body } = await call("GET", "status");
      return { policies: body["policies"] as Record<string, unknown> };
    },
  };
}
