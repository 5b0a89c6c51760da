/**
 * Brains of a cluster are killed (SIGKILL) while a class of rooms that they own is rolled back: the rollback is done,
 * since the Shield has stored it, and rooms of the Brain that is gone, of the one that is left, and of the one that
 * comes back have one program. At which moment a kill falls decides nothing here.
 */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { reduced } from "@arqon/sdk/reducers";
import { sha256Hex } from "../../shared/sha256.ts";
import { runArq } from "../../arq/testing/run_arq.ts";
import { Fleet } from "../faults/fleet.ts";
import { built, ClassAdmin, requireOneProgram, ROOMS } from "./deployed_class.ts";

const BRAINS = ["brain-0", "brain-1"];
const SHIELD = "shield-0";
const TENANT = "acme";
const CONFIG = `
[limits]
#constant limits.command_timeout_ms = 60_000
admin_requests_per_second = 100_000
[presence]
#constant presence.heartbeat_ms = 250
#constant presence.brain_timeout_ms = 1_000
[[reducers]]
name = "counter"
file = "${built("counter")}"
[[rooms]]
room = "count-*"
durable = true
reducer = "counter"
`;
const ROUNDS = 4;
/** So long a killed Brain stays away: longer than it takes the other one to own its rooms. */
const AWAY_MS = 2_000;

Deno.test("a Brain that is killed while a class is rolled back leaves no room behind", async () => {
  const dir = await Deno.makeTempDir({ prefix: "arqon-rollback-" });
  const surprises: string[] = [];
  await using owned = new AsyncDisposableStack();
  owned.defer(() => Deno.remove(dir, { recursive: true }));
  const fleet = owned.use(
    await Fleet.open({
      ...{ brains: BRAINS, shields: [SHIELD], balancers: [], servers: 1, proxied: false },
      ...{ config: CONFIG, server_lines: "drain_ms = 500\n", dir, say: () => {} },
      groupOf: (target) => target,
      onSurprise: (text) => void surprises.push(text),
    }),
  );
  await fleet.start();
  const tokenFor = (role: string) => fleet.issuer.tokenFor({ tenant_id: TENANT, sub: "ann", role });
  const token = await tokenFor("service");
  const admin_token = await tokenFor("admin");
  const admin = new ClassAdmin(admin_token, TENANT);
  const url = `ws://127.0.0.1:${fleet.clientPort(SHIELD)}`;
  admin.bus = { url, admin_url: fleet.adminUrl(SHIELD)! };
  const poll = await sha256Hex(await Deno.readFile(built("poll")));
  await using client = await connect({ url, token });
  const counters = ROOMS.map((id) => reduced<{ add: [number, number] }>(client.room(id)));
  for (let round = 0; round < ROUNDS; round++) {
    await requireOneProgram(admin, token, poll);
    const { number } = await admin.deploy(built("poll"));
    await requireOneProgram(admin, token, poll);
    const calls = counters.map((room) => room.call("add", 1).catch(() => {}));
    const rolling = admin.rollBack();
    // Brains have not heard of it, are at it, or have done it. It is stored: a Shield does that.
    for (let turn = 0; turn < round * 2; turn++) await admin.see();
    const target = BRAINS[round % BRAINS.length]!;
    const suffering = fleet.suffer([{ at_ms: 0, target, kind: "kill", away_ms: AWAY_MS }]);
    assert.equal((await rolling).number, number + 1);
    await requireOneProgram(admin, token, poll);
    await Promise.all([suffering, ...calls]);
    assert.notEqual((await admin.whole()).current.module, poll);
  }
  await requireOneProgram(admin, token, poll);
  const flags = ["--admin-url", admin.bus.admin_url, "--token", admin_token, "--tenant", TENANT];
  for (const id of ROOMS) {
    const { code, stdout, stderr } = await runArq(["room", "verify", id, ...flags]);
    assert.equal(code, 0, stdout + stderr);
  }
  assert.deepEqual([...surprises, ...fleet.bugs()], []);
});
