/** `[quota]`: what a tenant may send on all Shields together. A part of `schema.ts`. */
import { z } from "zod";
import { always, count, id, namedFile, refuseRepeated } from "./values/schema_values.ts";

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

type Given = Readonly<Record<string, unknown>>;

function refuseWrongLogin(given: Given, context: z.core.$RefinementCtx): void {
  const { url, password_file } = given;
  const refuse = (key: string, message: string) =>
    context.addIssue({ code: "custom", path: [key], message });
  const in_url = typeof url === "string" && URL.canParse(url) ? new URL(url) : undefined;
  if (password_file !== undefined && in_url !== undefined && in_url.password !== "") {
    refuse("password_file", "expected one password: url holds one too");
  }
}

function refuseWrongTls(given: Given, context: z.core.$RefinementCtx): void {
  const set = ["tls_ca_file", "tls_cert_file", "tls_key_file"].filter((key) =>
    given[key] !== undefined
  );
  const is_plain = typeof given["url"] === "string" && !given["url"].startsWith("rediss:");
  const refuse = (key: string, message: string) =>
    context.addIssue({ code: "custom", path: [key], message });
  if (is_plain) {
    for (const key of set) refuse(key, "only with rediss:// in url: redis:// is not encrypted");
    return;
  }
  const pair = set.filter((key) => key !== "tls_ca_file");
  if (pair.length !== 1) return;
  const missing = pair[0] === "tls_cert_file" ? "tls_key_file" : "tls_cert_file";
  refuse(pair[0] ?? "", `${pair[0]} is set without ${missing}; expected both or neither`);
}

/** `[quota]`; without this table there are no quotas for the whole cluster. */
export const Quota = z.strictObject({
  url: z.string().refine(isServer, {
    error: 'expected a URL such as "redis://127.0.0.1:6379" (rediss:// for TLS)',
  }).meta({ format: "uri" }).describe(
    "Valkey or Redis server for all Shields' counts; may contain user, password and database",
  ),
  password_file: namedFile("file with the password, instead of one in url"),
  tls_ca_file: namedFile(
    "with rediss://: PEM of the server's certificate authority; absent: the system's",
  ),
  tls_cert_file: namedFile(
    "PEM certificate chain that this process shows the server, with rediss://",
  ),
  tls_key_file: namedFile("PEM private key of tls_cert_file"),
  tenant_messages_per_second: count(
    50_000,
    MESSAGES_MAX,
    "messages and commands per second of one tenant on all Shields; burst: one second's worth",
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
}).superRefine(refuseWrongLogin, always).superRefine(refuseWrongTls, always);
export type Quota = z.output<typeof Quota>;

/** A tenant's own quota of one unit on all Shields together, in place of the configuration's. */
export const OwnQuota = z.strictObject({
  unit: z.enum(["messages", "bytes"]).describe("messages and commands, or bytes of these"),
  per_second: z.int().min(1).max(BYTES_MAX).describe("how much; burst: one second's worth"),
}).superRefine(({ unit, per_second }, context) => {
  if (unit === "bytes" || per_second <= MESSAGES_MAX) return;
  const message = `${per_second}; expected at most ${MESSAGES_MAX} messages`;
  context.addIssue({ code: "custom", path: ["per_second"], message });
}, always);
export type OwnQuota = z.output<typeof OwnQuota>;

/** Messages and bytes a second of a tenant: its own quotas override the default ones. */
export function withOwn<Usual extends { readonly messages: number; readonly bytes: number }>(
  usual: Usual,
  own: readonly OwnQuota[] = [],
): Usual {
  if (own.length === 0) return usual;
  return { ...usual, ...Object.fromEntries(own.map((one) => [one.unit, one.per_second])) };
}
