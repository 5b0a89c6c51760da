/** A Shield without a Brain in the process of the test, with the capabilities that the test names. */
import assert from "node:assert/strict";
import { exportSPKI, generateKeyPair, SignJWT } from "@panva/jose";
import type { ConfigReloading } from "../../shared/config/live/reload.ts";
import { configFrom } from "../../shared/config/load.ts";
import type { Config } from "../../shared/config/schema.ts";
import { randomPool } from "../../shared/ids.ts";
import { keptLog } from "../../shared/testing/logs.ts";
import { createMetrics } from "../../shared/metrics/metrics.ts";
import { openSpine } from "../../shared/spine/open.ts";
import type { Capability } from "../capability.ts";
import { startShield } from "../server.ts";

const { publicKey, privateKey } = await generateKeyPair("RS256");
const PEM = await exportSPKI(publicKey);
/** A token of tenant `acme` for the user `ann`. */
export const tokenOf = (role: string, claims: object = {}) =>
  new SignJWT({
    exp: Math.floor(Date.now() / 1_000) + 3_600,
    tenant_id: "acme",
    role,
    sub: "ann",
    ...claims,
  })
    .setProtectedHeader({ alg: "RS256" }).setIssuer("test").setAudience("arqon").sign(privateKey);
/** Tokens of a user and of an admin. */
export const TOKENS = await Promise.all(["user", "admin"].map((role) => tokenOf(role)));

const INFO = {
  remoteAddr: { transport: "tcp", hostname: "127.0.0.1", port: 1 },
  completed: Promise.resolve(),
} as Deno.ServeHandlerInfo<Deno.NetAddr>;

/**
 * Starts it on the embedded Spine, with `more` in its configuration, which `live` hands on; a line of its log fails the
 * test.
 */
export async function startWith(
  capabilities: readonly Capability[],
  more: Readonly<Record<string, object>> = {},
  live?: { readonly of: (config: Config) => Config; readonly reloading: ConfigReloading },
) {
  const made = configFrom({
    ...more,
    admin: { operator_tenants: ["*"] },
    // Other tests use memory of this process, too, so the limit is out of reach.
    limits: { memory_bytes: 1_099_511_627_776 },
    auth: {
      issuers: [{
        issuer: "test",
        audience: "arqon",
        pem_file: "public.pem",
        tenants: ["*"],
        roles: ["user", "admin"],
      }],
    },
  });
  const config = live?.of(made) ?? made;
  const { log } = keptLog({ level: "error", write: (line) => assert.fail(line) });
  const spine = await openSpine(config, { log, now: Date.now });
  const registry = createMetrics({ node_id: "n", version: "0" });
  const shield = await startShield({
    capabilities,
    config,
    spine,
    log,
    fetch,
    version: "0",
    cores: 1,
    now: Date.now,
    ...live === undefined ? {} : { reloading: live.reloading },
    registry,
    random: randomPool((bytes) => crypto.getRandomValues(bytes)),
    monotonic_ms: () => performance.now(),
    overseer_log: log,
    registry_log: log,
    onFatal: assert.fail,
    onExhausted: assert.fail,
    readTextFile: () => PEM,
  });
  return { spine, shield, registry };
}

/** A running Shield, with its Spine and its metrics. */
export type Started = Awaited<ReturnType<typeof startWith>>;

/** Sends a request to one of its listeners, as a user or as an admin. */
export const asking =
  ({ shield }: Started) =>
  async (handler: "client" | "admin", path: string, init: RequestInit = {}) => {
    const token = TOKENS[handler === "admin" ? 1 : 0];
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const request = new Request(`http://127.0.0.1${path}`, { headers, ...init });
    return await shield[handler](request, INFO);
  };
