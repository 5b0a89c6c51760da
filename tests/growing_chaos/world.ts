/** Two Shields and a Brain on NATS, of which Shields are killed and come back, with a policy that masks phrases. */
import assert from "node:assert/strict";
import { createIssuer, startServer } from "../harness/cluster.ts";
import type { ServerProcess } from "../harness/cluster.ts";
import { documentedAccounts } from "../harness/documented_accounts.ts";
import { freePort } from "../harness/free_ports.ts";
import { startNats } from "../harness/nats_server.ts";
import { policyAdmin } from "../peers/policy_admin.ts";
import { MASKED } from "./sources.ts";

const MASK = new URL("../../policies/build/phrase_mask.wasm", import.meta.url);

/** The bus of a run. */
export interface World extends AsyncDisposable {
  readonly urls: readonly string[];
  tokenFor(user: string): Promise<string>;
  /** Kills a Shield; resolves when it is back. */
  killOne(turn: number): Promise<void>;
}

/** Starts it; the policy is in force at both Shields. */
export async function startWorld(): Promise<World> {
  const issuer = await createIssuer();
  const nats = await startNats({ jetstream: true, config: await documentedAccounts() });
  const config = (user: string) =>
    `[nats]\nurls = ["${nats.url.replace("nats://", `nats://${user}:secret@`)}"]
request_timeout_ms = 60_000
#constant growing.room_messages = 64
[[rooms]]
room = "orders*"
durable = true
history_size = 100_000
${issuer.config}`;
  const ports = [freePort(), freePort()];
  const start = (port: number) => startServer("shield", config("shield"), issuer.dir, "", port);
  const brain = await startServer("brain", config("brain"), issuer.dir);
  const shields = await Promise.all(ports.map(start));
  await deployMask(shields, (role) => issuer.tokenFor({ role, sub: role }));
  return {
    urls: ports.map((port) => `http://127.0.0.1:${port}`),
    tokenFor: (sub) => issuer.tokenFor({ sub }),
    async killOne(turn) {
      const at = turn % ports.length;
      await shields[at]!.stop("SIGKILL");
      shields[at] = await start(ports[at]!);
    },
    async [Symbol.asyncDispose]() {
      for (const server of [...shields, brain]) await server.stop();
      await nats[Symbol.asyncDispose]();
      await issuer[Symbol.asyncDispose]();
    },
  };
}

async function deployMask(
  shields: readonly ServerProcess[],
  tokenFor: (role: string) => Promise<string>,
): Promise<void> {
  const [sha256] = await Promise.all(shields.map(async ({ ready }) => {
    const admin_url = ready["admin_url"] ?? "";
    const admin = await policyAdmin({ admin_url, tokenFor: () => tokenFor("admin") });
    const { status, body } = await admin.upload(await Deno.readFile(MASK));
    assert.equal(status, 200, JSON.stringify(body));
    return body["sha256"];
  }));
  // Where it answers it is in force: each is asked for the same.
  for (const { ready } of shields) {
    const admin_url = ready["admin_url"] ?? "";
    const admin = await policyAdmin({ admin_url, tokenFor: () => tokenFor("admin") });
    const binding = { tenant: "acme", name: "mask", room: `${MASKED}*`, sha256 };
    const { status, body } = await admin.post("deploy", binding);
    assert.equal(status, 200, JSON.stringify(body));
    assert.equal((body["here"] as { state?: string }).state, "active", JSON.stringify(body));
  }
}
