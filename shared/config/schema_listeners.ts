/** `[ops]` and `[admin]`: the ports of operators. A part of `schema.ts`. */
import { z } from "zod";
import { always, hostName, idOrAny, namedFile, port } from "./values/schema_values.ts";

const listener = (default_port: number, what: string) => ({
  host: z.string().min(1).default("127.0.0.1").describe(`address of the ${what} listener`),
  port: port(default_port),
  tls_cert: namedFile("file with the PEM certificate chain; with tls_key the listener speaks TLS"),
  tls_key: namedFile("file with the PEM private key"),
});

interface Pair {
  readonly tls_cert?: unknown;
  readonly tls_key?: unknown;
}

/** Refuses one of certificate and key without the other. */
function refuseHalfPair({ tls_cert, tls_key }: Pair, context: z.core.$RefinementCtx): void {
  if ((tls_cert === undefined) === (tls_key === undefined)) return;
  const [set, missing] = tls_key === undefined ? ["tls_cert", "tls_key"] : ["tls_key", "tls_cert"];
  const message = `${set} is set without ${missing}; expected both or neither`;
  context.addIssue({ code: "custom", path: [set], message });
}

/** `[ops]`. */
export const Ops = z.strictObject({
  ...listener(4001, "metrics and health"),
  token_file: namedFile(
    "file with a token, then required as Authorization: Bearer for /metrics and the details of /health/ready",
  ),
}).superRefine(refuseHalfPair, always);

/** `[admin]`. */
export const Admin = z.strictObject({
  ...listener(4002, "admin API"),
  allowed_hosts: z.array(hostName).default([]).describe(
    'more names of the admin API, besides localhost, addresses and `host`: those of a proxy, for example "admin.example.com"',
  ),
  operator_tenants: z.array(idOrAny).min(1).optional().describe(
    'tenants whose admins operate the whole bus; "*" is any; other admins act on their own tenant (docs/security.md); required if issuers may vouch for admins of several tenants',
  ),
}).superRefine(refuseHalfPair, always);
