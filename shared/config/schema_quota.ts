/** `[quota]`: what a tenant may send on all Shields together. A part of `schema.ts`. */
import { z } from "zod";
import { always, count, id, refuseRepeated } from "./schema_values.ts";

const MESSAGES_MAX = 100_000_000;
const BYTES_MAX = 1_099_511_627_776;

const isServer = (text: string) =>
  URL.canParse(text) && /^rediss?:$/.test(new URL(text).protocol) && new URL(text).hostname !== "";

const TenantQuota = z.strictObject({
  tenant: id.describe("the tenant"),
  messages_per_second: z.int().min(1).max(MESSAGES_MAX).optional().describe(
    "instead of tenant_messages_per_second",
  ),
  bytes_per_second: z.int().min(1).max(BYTES_MAX).optional().describe(
    "instead of tenant_bytes_per_second",
  ),
});

/** `[quota]`; without this table there are no quotas for the whole cluster. */
export const Quota = z.strictObject({
  url: z.string().refine(isServer, {
    error: 'expected a URL such as "redis://127.0.0.1:6379" (rediss:// for TLS)',
  }).meta({ format: "uri" }).describe(
    "the Valkey or Redis server in which all Shields count; it may hold user, password and database",
  ),
  tls_ca_file: z.string().min(1).optional().describe(
    "PEM of the authority that signed the server's certificate, with rediss://; absent: the system's",
  ),
  tenant_messages_per_second: count(
    50_000,
    MESSAGES_MAX,
    "messages and commands a second of one tenant on all Shields together; burst: one second's worth",
  ),
  tenant_bytes_per_second: count(
    67_108_864,
    BYTES_MAX,
    "bytes of these a second; burst: one second's worth",
  ),
  tenants: z.array(TenantQuota).max(100_000).superRefine(
    refuseRepeated({
      list: "quota.tenants",
      members: ["tenant"],
      shown: "tenant",
      same: "the same tenant",
      expected: "expected each tenant once",
    }),
    always,
  ).default([]).describe("tenants with quotas of their own"),
  slice_ms: z.int().min(10).max(10_000).default(100).describe(
    "a Shield reserves its next share this often",
  ),
  timeout_ms: z.int().min(10).max(10_000).default(250).describe(
    "an answer later than this: each Shield counts alone until the server is back",
  ),
  retry_ms: z.int().min(100).max(60_000).default(1_000).describe(
    "meanwhile, how often the server is tried",
  ),
  active_tenants: count(
    100_000,
    10_000_000,
    "tenants whose shares a Shield holds; the messages of one more only meet [limits]",
  ),
}).refine(({ url, tls_ca_file }) => tls_ca_file === undefined || url.startsWith("rediss:"), {
  error: "only with rediss:// in url: redis:// is not encrypted",
  path: ["tls_ca_file"],
});
/** A checked `[quota]`. */
export type Quota = z.output<typeof Quota>;
