/**
 * A module that one Shield of four refuses, which has less memory for policies than the others: the rollout
 * is taken back on all, and says which Shield and why. Real processes and a real NATS.
 */
import assert from "node:assert/strict";
import { found, until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { guest } from "./peers/hostile_bytes.ts";
import { openText } from "./peers/raw_client.ts";
import { asker, OLD_RULE, putPolicy, rolloutBody, upload } from "./rollout_traffic.ts";

/** Refuses everything, and wants two pages. */
const LARGE_RULE = guest({ hook: "(i32.const 1)", memory: "2" });

Deno.test("a module that is refused on one Shield only takes the rollout back on all", async () => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  await using processes = new AsyncDisposableStack();
  const config = `${issuer.config}\n[nats]\nurls = ["${nats.url}"]\n`;
  const small = `${config}[platform.overseer]\nmemory_limit_pages = 1\n`;
  processes.use(await startServer("brain", config, issuer.dir, 'node_id = "b0"'));
  const shields = [];
  for (const name of ["s0", "s1", "s2", "s3"]) {
    const own = name === "s2" ? small : config;
    shields.push(
      processes.use(await startServer("shield", own, issuer.dir, `node_id = "${name}"`)),
    );
  }
  const token = await issuer.tokenFor({ role: "admin", sub: "root" });
  const ask = asker(shields[0]!.ready["admin_url"]!, token);
  await putPolicy(ask, "acme", await upload(ask, OLD_RULE));
  const clients = await Promise.all(shields.map(async ({ ready }) => {
    const url = `${ready["url"]!.replace(/^http/, "ws")}/v1/socket`;
    return await openText(url, await issuer.tokenFor());
  }));
  processes.defer(() => clients.forEach((one) => one[Symbol.dispose]()));
  const codesOf = (data: string) =>
    Promise.all(clients.map(async (client) => {
      client.send({ op: "pub", room: "r", data, id: 1 });
      return (await client.json()).code;
    }));
  await until(
    "the old rule is in force on every Shield",
    async () => (await codesOf("abc9")).every((code) => code === 403),
  );
  const before = (await ask("GET", "tenants/acme/state")).body;
  const sha256 = await upload(ask, LARGE_RULE);
  const body = await rolloutBody(ask, "acme", sha256, { canary: 1, for_ms: 60_000 });
  const begun = await ask("POST", "rollouts/acme", body);
  assert.equal(begun.status, 200, "the Shield that was asked takes it");
  const rollout = await found("it is taken back", async () => {
    const answer = await ask("GET", "rollouts/acme");
    return answer.body.rollout.state === "returned" ? answer.body.rollout : undefined;
  });
  assert.match(rollout.ended.why, /^s2: .*memory/);
  assert.equal(rollout.stage, 0, "it was never in force for anything");
  // On every Shield the old rule alone decides, on the connections of before.
  await until(
    "the old rule decides everywhere",
    async () => (await codesOf("abc1")).every((code) => code === 0),
  );
  const after = (await ask("GET", "tenants/acme/state")).body;
  assert.deepEqual(after.policies, before.policies);
  // Whoever deploys another one is not in the way of what is over.
  assert.equal((await ask("POST", "rollouts/acme/resume")).status, 409);
});
