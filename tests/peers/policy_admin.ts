/** An admin's HTTP requests about policies, for tests and benchmarks: real requests, plain answers. */
import type { TestBus } from "../harness/bus.ts";
import { type AdminAnswer, AdminClient } from "./admin_client.ts";

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

type Place = Pick<TestBus, "admin_url" | "tokenFor">;

/** An admin of the bus. */
export async function policyAdmin(bus: Place): Promise<PolicyAdmin> {
  const admin = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin", user: "root" }));
  const wasm = { "content-type": "application/wasm" };
  return {
    upload: (bytes) => admin.ask("PUT", "/v1/policies/modules", bytes, wasm),
    post: (path, body) => admin.ask("POST", `/v1/policies/${path}`, body),
    remove: (tenant, name) => admin.ask("DELETE", `/v1/policies/${name}?tenant=${tenant}`),
    status: async () => (await admin.get("/v1/status")).body,
  };
}

/**
 * Deploys a module, or the example of `policies/build` with that name, as a policy of tenant `default`, unless the
 * binding has another one. Rejects unless it is active at once; returns the module's hash.
 */
export async function enforce(
  bus: Place,
  module: string | Uint8Array<ArrayBuffer>,
  binding: Readonly<Record<string, unknown>>,
): Promise<string> {
  const admin = await policyAdmin(bus);
  const bytes = typeof module === "string"
    ? await Deno.readFile(new URL(`../../policies/build/${module}.wasm`, import.meta.url))
    : module;
  const { body: { sha256, ...uploaded } } = await admin.upload(bytes);
  const { body } = await admin.post("deploy", { tenant: "default", sha256, ...binding });
  if (body.here?.state !== "active") {
    throw new Error(`${JSON.stringify(binding)}: ${JSON.stringify([uploaded, body])}`);
  }
  return String(sha256);
}
