/**
 * Keyed state on a running bus: one user's messages are counted together, whichever connections they come
 * by, and two tenants with the same users share nothing. The rules are in `shield/policy/state/`.
 */
import assert from "node:assert/strict";
import { binary, declares, guestText } from "../shield/policy/testing/guests.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { PATIENT_POLICIES } from "./harness/patient_policies.ts";
import { policyAdmin } from "./peers/policy_admin.ts";
import { openText, type RawClient } from "./peers/raw_client.ts";

const CONNECTIONS = 10;
const EACH = 12;
const LIMIT = 20;

/** Lets the first 20 messages of each key pass, and refuses the others with 429. */
function limitBy(key: string): Uint8Array<ArrayBuffer> {
  return binary(guestText({
    abi: 2,
    more: declares([{ key, ttl_seconds: 86_400 }]),
    body: `(local.set $i (call $state_get (i32.const 0)))
      (if (local.get $i) (then (local.set $i (i32.load (i32.add (local.get $i) (i32.const 4))))))
      (if (i32.ge_u (local.get $i) (i32.const ${LIMIT})) (then
        (call $reject (i32.const 429) (i32.const 0) (i32.const 0))))
      (i32.store (i32.const 0) (i32.add (local.get $i) (i32.const 1)))
      (call $state_set (i32.const 0) (i32.const 0) (i32.const 4))
      i32.const 0`,
  }));
}

/** Sends messages by all connections side by side; how many were allowed, and the codes of the others. */
async function sendAll(clients: readonly RawClient[], room: (at: number) => string) {
  const codes = await Promise.all(clients.map(async (client, at) => {
    const all = [];
    for (let id = 1; id <= EACH; id++) client.send({ op: "pub", room: room(at), data: id, id });
    for (let id = 1; id <= EACH; id++) all.push((await client.json()).code);
    return all;
  }));
  const refused = codes.flat().filter((code) => code !== 0);
  return { allowed: CONNECTIONS * EACH - refused.length, refused: [...new Set(refused)] };
}

Deno.test("a limit by user counts exactly over ten connections, for each tenant by itself", async () => {
  await using bus = await startLocalBus(`${PATIENT_POLICIES}workers = 3\n`);
  const admin = await policyAdmin(bus);
  const { status, body } = await admin.upload(limitBy("{user}"));
  assert.equal(status, 200, JSON.stringify(body));
  for (const tenant of ["acme", "other"]) {
    const deployed = await admin.post("deploy", { tenant, name: "limit", sha256: body["sha256"] });
    assert.equal(deployed.status, 200, JSON.stringify(deployed.body));
    const token = await bus.tokenFor({ tenant, user: "ann" });
    const clients = await Promise.all(
      Array.from({ length: CONNECTIONS }, () => openText(bus.url, token)),
    );
    const sent = await sendAll(clients, (at) => `room-${at % 4}`);
    assert.deepEqual(sent, { allowed: LIMIT, refused: [429] }, tenant);
    for (const client of clients) client[Symbol.dispose]();
  }
});

Deno.test("a limit by room and user counts each pair", async () => {
  await using bus = await startLocalBus(`${PATIENT_POLICIES}workers = 3\n`);
  const admin = await policyAdmin(bus);
  const { body } = await admin.upload(limitBy("{room}/{user}"));
  const deployed = await admin.post("deploy", {
    tenant: "acme",
    name: "limit",
    sha256: body["sha256"],
  });
  assert.equal(deployed.status, 200, JSON.stringify(deployed.body));
  const token = await bus.tokenFor({ tenant: "acme", user: "ann" });
  const clients = await Promise.all(
    Array.from({ length: CONNECTIONS }, () => openText(bus.url, token)),
  );
  const sent = await sendAll(clients, (at) => `room-${at % 2}`);
  assert.deepEqual(sent, { allowed: 2 * LIMIT, refused: [429] });
  for (const client of clients) client[Symbol.dispose]();
});

Deno.test("a declaration that is not in order is refused at upload, and why", async () => {
  await using bus = await startLocalBus(PATIENT_POLICIES);
  const admin = await policyAdmin(bus);
  const { status, body } = await admin.upload(limitBy("{who}"));
  assert.equal(status, 400, JSON.stringify(body));
  assert.match(JSON.stringify(body), /\{who\}; there are \{tenant\} \{room\}/);
});
