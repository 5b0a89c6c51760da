/**
 * The way in of a message as `GET /v1/why` tells it on a real bus: by whichever id it is asked for, for the
 * tenant's own admin only, and of what was refused.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { openText } from "./peers/raw_client.ts";

const CONFIG = `[admin]
operator_tenants = ["default"]
[journal]
journal = "all"
flush_ms = 50
[[platform.mirroring.rules]]
prefix = "in.t.*"
percent = 1.0
`;

interface Step {
  readonly step: string;
  readonly outcome: string;
  readonly text: string;
}

/** Publishes, whatever comes of it. */
async function publish(bus: TestBus, claims: object, message: object): Promise<void> {
  using client = await openText(bus.url, await bus.tokenFor(claims));
  client.send({ op: "pub", id: 7, type: "chat", data: 1, ...message });
  while ((await client.json()).id !== 7);
}

/** The only decision that the bus tells of, once it is stored. */
async function decisionOf(admin: AdminClient, query: string) {
  let found: { steps: Step[]; allowed: boolean; message_place: number | null }[] = [];
  await until("the decision is stored", async () => {
    found = (await admin.read(`/v1/why?${query}`)).way_in.decisions;
    return found.length > 0;
  });
  assert.equal(found.length, 1, query);
  return found[0]!;
}

const textOf = (steps: readonly Step[], name: string) =>
  steps.filter(({ step }) => step === name).map(({ outcome, text }) => `${outcome} ${text}`).join();

Deno.test("why: the way in of a message without any id of its own, and of one that no grant allows", async () => {
  await using bus = await startLocalBus(CONFIG);
  const admin = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  const grants = [{ room: "hall*", actions: ["publish"] }];
  const claims = { user: "ann", tenant: "acme", claims: { grants } };
  {
    using bob = await openText(bus.url, await bus.tokenFor({ user: "bob", tenant: "acme" }));
    bob.send({ op: "sub", room: "hall", id: 1 });
    while ((await bob.json()).id !== 1);
    await publish(bus, claims, { room: "hall" });
    const { twist_id, headers = {} } = await bob.json();
    const twist = twist_id ?? headers["x-twist-id"] ?? headers["X-Twist-ID"];
    const { allowed, steps, message_place } = await decisionOf(
      admin,
      `tenant=acme&twist=${twist}&user=bob`,
    );
    assert.deepEqual([allowed, message_place], [true, 0]);
    assert.equal(textOf(steps, "grant"), "passed hall*");
    assert.match(textOf(steps, "token"), /^passed issuer \S+, .*role user, until 20/);
    assert.ok(textOf(steps, "stamp").endsWith(`X-Twist-ID ${twist}`));
    assert.match(textOf(steps, "mirror"), /^passed copied by rule in\.t\.\* of the configuration/);
  }
  await publish(bus, claims, { room: "den", message_id: "m1" });
  const query = "message_id=m1&tenant=acme";
  const refused = await decisionOf(admin, query);
  assert.deepEqual([refused.allowed, refused.message_place], [false, null]);
  assert.match(refused.steps.at(-1)?.text ?? "", /^403 not-granted/);
  assert.equal(refused.steps.at(-1)?.step, "grant");
  // A tenant's admin is told of its own; another's message is as one that never was.
  const own = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin", tenant: "acme" }));
  assert.equal((await own.read("/v1/why?message_id=m1")).way_in.decisions.length, 1);
  const other = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin", tenant: "b" }));
  const { way_in, messages } = await other.read("/v1/why?message_id=m1");
  assert.deepEqual([way_in.decisions, way_in.is_whole, messages], [[], true, []]);
  assert.equal((await other.get(`/v1/why?${query}`)).status, 403);
  assert.equal((await admin.get("/v1/why?user=ann&after=1")).status, 400);
  assert.equal((await admin.get("/v1/why?message_id=m1&after=x")).status, 400);
  assert.equal((await admin.read("/v1/why?user=ann")).way_in, null);
});
