/** Many small schemas, all different, as an operator registers and maps them over the admin API. Tests only. */
import type { JsonValue } from "@bufbuild/protobuf";
import { adminRequest, askPart } from "../../admin/routing/testing/admin.ts";
import { SCHEMA_ROUTES } from "../capability.ts";
import { field, rules } from "./messages.ts";
import type { TestSchemas } from "./registry.ts";
import { upload } from "./schemas.ts";

/** Schema `s-{at}`: a message `t.Ping` with a unique field `n` below 1,000. */
function bytesOf(at: number): Uint8Array<ArrayBuffer> {
  const below = rules({ int32: { lt: 1_000 } });
  const fields: JsonValue[] = [field("n", 1, "int32", below), field(`f_${at}`, 2, "string")];
  return upload({ syntax: "proto3", messageType: [{ name: "Ping", field: fields }] });
}

async function put({ schemas }: TestSchemas, path: string, type: string, body: BodyInit) {
  const request = adminRequest("PUT", `/v1/${path}`, body, type);
  const response = await askPart(SCHEMA_ROUTES, schemas.admin, request);
  if (response?.status !== 200) throw new Error(`${path}: ${await response?.text()}`);
  await response.body?.cancel();
}

/** Registers the schemas `from` to `to`, and maps each in its own tenant `t-{at}`. */
export async function registerMany(
  running: TestSchemas,
  from: number,
  to: number,
  mode = "enforce",
): Promise<void> {
  for (let at = from; at < to; at++) {
    await put(running, `schemas/s-${at}`, "application/gzip", bytesOf(at));
    const mapping = { subject: `in.t.t-${at}.*`, schema_id: `s-${at}`, message: "t.Ping", mode };
    await put(running, `tenants/t-${at}/mappings`, "application/json", JSON.stringify(mapping));
  }
}
