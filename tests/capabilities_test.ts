/**
 * A Shield starts, serves and ends with each of its capabilities left out of the list in turn, and with all of them
 * left out: then a client publishes, an operator asks, and what is left out has no paths.
 */
import assert from "node:assert/strict";
import { exportSPKI, generateKeyPair, SignJWT } from "@panva/jose";
import { configFrom } from "../shared/config/load.ts";
import { randomPool } from "../shared/ids.ts";
import { createLogger } from "../shared/logs/log.ts";
import { createMetrics } from "../shared/metrics/metrics.ts";
import { openSpine } from "../shared/spine/open.ts";
import { SHIELD_CAPABILITIES } from "../shield/capabilities.ts";
import type { Capability } from "../shield/capability.ts";
import { startShield } from "../shield/server.ts";

const { publicKey, privateKey } = await generateKeyPair("RS256");
const PEM = await exportSPKI(publicKey);
const TOKENS = await Promise.all(
  ["user", "admin"].map((role) =>
    new SignJWT({
      exp: Math.floor(Date.now() / 1_000) + 3_600,
      tenant_id: "acme",
      role,
      sub: "ann",
    })
      .setProtectedHeader({ alg: "RS256" }).setIssuer("test").setAudience("arqon").sign(privateKey)
  ),
);

const INFO = {
  remoteAddr: { transport: "tcp", hostname: "127.0.0.1", port: 1 },
  completed: Promise.resolve(),
} as Deno.ServeHandlerInfo<Deno.NetAddr>;

function routesOf({ admin, client }: Capability): [admin: string[], client: string[]] {
  const nameOf = ({ method, template }: { readonly method: string; readonly template: string }) =>
    `${method} ${template}`;
  return [
    (admin?.tables ?? []).flatMap((table) => [...table.list()].map(nameOf)),
    (client?.described ?? []).map(nameOf),
  ];
}

async function startWith(capabilities: readonly Capability[]) {
  const config = configFrom({
    admin: { operator_tenants: ["*"] },
    auth: {
      issuers: [{
        ...{ issuer: "test", audience: "arqon", pem_file: "public.pem" },
        ...{ tenants: ["*"], roles: ["user", "admin"] },
      }],
    },
  });
  const log = createLogger({
    ...{ level: "error", format: "logfmt", component: "shield", now: Date.now },
    write: (line) => assert.fail(line),
  });
  const spine = await openSpine(config, { log, now: Date.now });
  const shield = await startShield({
    ...{ capabilities, config, spine, log, fetch, version: "0", cores: 1, now: Date.now },
    registry: createMetrics({ node_id: "n", version: "0" }),
    random: randomPool((bytes) => crypto.getRandomValues(bytes)),
    monotonic_ms: () => performance.now(),
    ...{ overseer_log: log, registry_log: log },
    onFatal: assert.fail,
    onExhausted: assert.fail,
    readTextFile: () => PEM,
  });
  return { spine, shield };
}

async function serves(capabilities: readonly Capability[]): Promise<void> {
  const { spine, shield } = await startWith(capabilities);
  const ask = async (handler: "client" | "admin", path: string, init: RequestInit = {}) => {
    const token = TOKENS[handler === "admin" ? 1 : 0];
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const request = new Request(`http://127.0.0.1${path}`, { headers, ...init });
    return await shield[handler](request, INFO);
  };
  const bad = Object.entries(shield.checks()).filter(([, { ok }]) => !ok);
  assert.deepEqual(bad, []);
  const body = JSON.stringify({ type: "t", data: 1 });
  const sent = await ask("client", "/v1/rooms/lobby/messages", { method: "POST", body });
  assert.equal(sent.status, 200, await sent.text());
  const status = await ask("admin", "/v1/status");
  assert.equal(status.status, 200, await status.text());
  const page = await ask("admin", "/console/");
  await page.body?.cancel();
  const has_console = capabilities.some(({ name }) => name === "console");
  assert.equal(page.status, has_console ? 200 : 404);
  const described = await Promise.all((["admin", "client"] as const).map(async (handler) => {
    const { paths } = await (await ask(handler, "/v1/openapi.json")).json();
    return Object.entries<object>(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`)
    );
  }));
  for (const capability of SHIELD_CAPABILITIES) {
    const is_there = capabilities.includes(capability);
    for (const [at, routes] of routesOf(capability).entries()) {
      for (const route of routes) {
        assert.equal(described[at]?.includes(route), is_there, `${capability.name}: ${route}`);
      }
    }
  }
  await shield.drain();
  await spine.drain();
}

Deno.test("a Shield serves with all capabilities, with none, and with each left out in turn", async (test) => {
  await test.step("all", () => serves(SHIELD_CAPABILITIES));
  await test.step("none", () => serves([]));
  for (const left_out of SHIELD_CAPABILITIES) {
    const others = SHIELD_CAPABILITIES.filter((one) => one !== left_out);
    await test.step(`without ${left_out.name}`, () => serves(others));
  }
});
