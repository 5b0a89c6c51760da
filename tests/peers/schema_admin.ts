/** An admin's HTTP requests about schemas and mappings, for tests and benchmarks: real requests, plain answers. */
import { ping } from "../../shield/schema/testing/schemas.ts";
import type { TestBus } from "../harness/bus.ts";
import { type AdminAnswer, AdminClient } from "./admin_client.ts";
import { send } from "./own_connections.ts";

/** The admin API of a running bus, with an admin's token. */
export interface SchemaAdmin {
  /** `PUT /v1/schemas/{id}`; `query` begins with `?`. */
  push(schema_id: string, bytes: Uint8Array<ArrayBuffer>, query?: string): Promise<AdminAnswer>;
  /** `PUT /v1/schemas/{id}/staged`. */
  stage(schema_id: string, bytes: Uint8Array<ArrayBuffer>): Promise<AdminAnswer>;
  /** `POST /v1/schemas/{id}/check`. */
  check(schema_id: string, bytes: Uint8Array<ArrayBuffer>, query?: string): Promise<AdminAnswer>;
  /** Any GET below `/v1/`. */
  get(path: string): Promise<AdminAnswer>;
  /** The bytes of a version, or the status of the refusal. */
  download(schema_id: string, version: string): Promise<Uint8Array | number>;
  /** `PUT /v1/tenants/{tenant}/mappings`. */
  map(tenant: string, mapping: object): Promise<AdminAnswer>;
  /** `DELETE /v1/tenants/{tenant}/mappings`. */
  unmap(tenant: string, subject?: string): Promise<AdminAnswer>;
}

/** An admin of the bus. */
export async function schemaAdmin(
  bus: Pick<TestBus, "admin_url" | "tokenFor">,
): Promise<SchemaAdmin> {
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  const admin = new AdminClient(bus.admin_url, token);
  const gzip = { "content-type": "application/gzip" };
  const call = (method: string, path: string, body?: unknown) =>
    admin.ask(method, `/v1/${path}`, body, body instanceof Uint8Array ? gzip : {});
  return {
    push: (id, bytes, query = "") => call("PUT", `schemas/${id}${query}`, bytes),
    stage: (id, bytes) => call("PUT", `schemas/${id}/staged`, bytes),
    check: (id, bytes, query = "") => call("POST", `schemas/${id}/check${query}`, bytes),
    get: (path) => call("GET", path),
    async download(id, version) {
      const place = `${bus.admin_url}/v1/schemas/${id}/versions/${version}`;
      const response = await send(place, token, "GET");
      if (response.ok) return new Uint8Array(await response.arrayBuffer());
      await response.body?.cancel();
      return response.status;
    },
    map: (tenant, mapping) => call("PUT", `tenants/${tenant}/mappings`, mapping),
    unmap: (tenant, subject) => {
      const query = subject === undefined ? "" : `?subject=${encodeURIComponent(subject)}`;
      return call("DELETE", `tenants/${tenant}/mappings${query}`);
    },
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
