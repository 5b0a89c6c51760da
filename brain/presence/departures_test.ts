/** Members of a stopping Shield stay until it is known who has reconnected to another one. In virtual time. */
import assert from "node:assert/strict";
import { type TestBrain, TestCluster } from "./testing/cluster.ts";
import { member } from "./testing/shield.ts";

const GRACE_MS = 5_000;
const TIMES = { move_grace_ms: GRACE_MS, down_ms: 20_000, forget_ms: 60_000 };

function listed({ presence }: TestBrain): string[] {
  return [...presence.members("acme", "lobby")].map(({ connection_id }) => connection_id).sort();
}

/** Two Brains, a Shield that has announced its stop, and one to which its member reconnects. */
function moving() {
  const cluster = new TestCluster(TIMES);
  const brains = cluster.brains("b1", "b2") as [TestBrain, TestBrain];
  const going = cluster.shield("s1");
  const next = cluster.shield("s2");
  going.join(member("moves"), member("stays away")).announce();
  cluster.run(100);
  going.announce(true);
  cluster.kill(going);
  return { cluster, brains, next };
}

Deno.test("while a member's new Shield is silent, the member has not left", () => {
  const { cluster, brains, next } = moving();
  const gone: string[] = [];
  for (const { presence } of brains) {
    presence.onMembers(({ leaves }) =>
      gone.push(
        ...leaves.filter(({ connection_id }) => !listed(brains[0]).includes(connection_id))
          .map(({ connection_id }) => connection_id),
      )
    );
  }
  // Its messages wait in a stalled NATS server.
  cluster.freeze(next);
  cluster.run(3 * GRACE_MS);
  for (const brain of brains) assert.deepEqual(listed(brain), ["moves", "stays away"]);
  cluster.thaw(next);
  next.join(member("moves")).announce();
  cluster.run(3 * cluster.config.heartbeat_ms);
  for (const brain of brains) assert.deepEqual(listed(brain), ["moves"]);
  assert.ok(!gone.includes("moves"), gone.join());
});

Deno.test("a Shield's lost messages are pulled before any member leaves", () => {
  const { cluster, brains: [brain], next } = moving();
  next.answers = false;
  cluster.loses = ({ kind }) => kind === "announcement";
  next.join(member("moves")).announce();
  cluster.run(100);
  cluster.loses = () => false;
  cluster.run(GRACE_MS + 3 * cluster.config.heartbeat_ms);
  assert.deepEqual(listed(brain), ["moves", "stays away"], "it is known that there is more");
  next.answers = true;
  cluster.until(() => listed(brain).length === 1, "the answer");
  assert.deepEqual(listed(brain), ["moves"]);
});

Deno.test("a Shield that stays silent is waited for until it is down", () => {
  const { cluster, brains, next } = moving();
  cluster.kill(next);
  cluster.run(TIMES.down_ms - 2 * cluster.config.heartbeat_ms);
  for (const brain of brains) assert.deepEqual(listed(brain), ["moves", "stays away"]);
  cluster.run(4 * cluster.config.heartbeat_ms);
  for (const brain of brains) assert.deepEqual(listed(brain), []);
});

Deno.test("a Brain that was down when the time ended counts it from its return", () => {
  const { cluster, brains: [away], next } = moving();
  cluster.run(100);
  cluster.freeze(away);
  cluster.run(2 * GRACE_MS);
  next.join(member("moves")).announce();
  const gone: string[] = [];
  away.presence.onMembers(({ joins, leaves }) => {
    for (const { connection_id } of joins) gone.push(`+${connection_id}`);
    for (const { connection_id } of leaves) gone.push(`-${connection_id}`);
  });
  cluster.thaw(away);
  cluster.run(GRACE_MS + 4 * cluster.config.heartbeat_ms);
  assert.deepEqual(listed(away), ["moves"]);
  assert.equal(gone[0], "+moves", gone.join());
});
