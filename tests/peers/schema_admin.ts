/** An admin's HTTP requests about schemas and mappings, for tests and benchmarks: real requests, plain answers. */
import { ping } from "../../shield/schema/testing/schemas.ts";
import type { TestBus } from "../harness/bus.ts";
import { type AdminAnswer, AdminClient } from "./admin_client.ts";

/** The admin API of a running bus, with an admin's token. */
export interface SchemaAdmin {
  /** `PUT /v1/schemas/{id}`. */
  push(schema_id: string, bytes: Uint8Array<ArrayBuffer>): Promise<AdminAnswer>;
  /** `PUT /v1/schemas/{id}/staged`. */
  stage(schema_id: string, bytes: Uint8Array<ArrayBuffer>): Promise<AdminAnswer>;
  /** Any GET below `/v1/`. */
  get(path: string): Promise<AdminAnswer>;
  /** `PUT /v1/tenants/{tenant}/mappings`. */
  map(tenant: string, mapping: object): Promise<AdminAnswer>;
}

/** An admin of the bus. */
export async function schemaAdmin(
  bus: Pick<TestBus, "admin_url" | "tokenFor">,
): Promise<SchemaAdmin> {
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  const admin = new AdminClient(bus.admin_url, token);
  const put = (path: string, bytes: Uint8Array) =>
    admin.ask("PUT", `/v1/schemas/${path}`, bytes, { "content-type": "application/gzip" });
  return {
    push: (id, bytes) => put(id, bytes),
    stage: (id, bytes) => put(`${id}/staged`, bytes),
    get: (path) => admin.get(`/v1/${path}`),
    map: (tenant, mapping) => admin.ask("PUT", `/v1/tenants/${tenant}/mappings`, mapping),
  };
}

/** Registers `t.Ping` as the schema `ping`, and requires it of a tenant's room, or of rooms with a prefix. */
export async function requirePing(
  bus: Parameters<typeof schemaAdmin>[0],
  tenant: string,
  room: string,
): Promise<void> {
  const admin = await schemaAdmin(bus);
  const pushed = await admin.push("ping", ping());
  const mapping = { subject: `in.t.${tenant}.r.${room}`, schema_id: "ping", message: "t.Ping" };
  const mapped = await admin.map(tenant, mapping);
  if (pushed.status !== 200 || mapped.status !== 200) {
    throw new Error(JSON.stringify([pushed.body, mapped.body]));
  }
}
