/** Several nodes on one NATS: what one deploys the others enforce, also over the server's death. */
import assert from "node:assert/strict";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-deno";
import { refusedWith, within } from "../../../shared/spine/testing/conformance.ts";
import { watched } from "../../../shared/spine/nats/testing/nats_harness.ts";
import { until } from "../../../shared/testing/until.ts";
import { startNats } from "../../../tests/harness/nats_server.ts";
import { DEADLINE_MS, deployTiny, testRegistry, tinyName } from "../testing/registry.ts";
import type { TestRegistry } from "../testing/registry.ts";

const running = ({ registry }: TestRegistry, tenant = "acme") =>
  registry.chainFor(tenant, "on_message", "r", "key").map(({ sha256 }) => sha256);

Deno.test("what one node deploys another enforces within a second", async () => {
  await using server = await startNats({ jetstream: true });
  await using here = await watched(server.port);
  await using there = await watched(server.port);
  using one = await testRegistry(here.spine);
  using other = await testRegistry(there.spine);
  const times_ms: number[] = [];
  for (let number = 1; number <= 10; number++) {
    const began_ms = performance.now();
    const revision = await deployTiny(one, "acme", number);
    assert.equal(await other.registry.reached("acme", revision, DEADLINE_MS), true);
    times_ms.push(performance.now() - began_ms);
    assert.deepEqual(running(other), [await tinyName(number)]);
  }
  // The best of ten, so that a busy machine does not decide; each was waited for, not slept for.
  assert.ok(Math.min(...times_ms) < 1_000, `${times_ms.map(Math.round)} ms`);
});

Deno.test("two nodes that deploy at once end with the same chain, and both deployments in it", async () => {
  await using server = await startNats({ jetstream: true });
  await using here = await watched(server.port, { request_timeout_ms: 20_000 });
  await using there = await watched(server.port, { request_timeout_ms: 20_000 });
  using one = await testRegistry(here.spine);
  using other = await testRegistry(there.spine);
  const revisions = await Promise.all(
    [one, other].flatMap((node, side) =>
      [0, 1, 2, 3].map((at) => deployTiny(node, "acme", at, { name: `p${side}${at}` }))
    ),
  );
  const last = Math.max(...revisions);
  for (const node of [one, other]) await node.registry.reached("acme", last, DEADLINE_MS);
  assert.equal(running(one).length, 8);
  assert.deepEqual(running(one), running(other));
  assert.equal(one.registry.tenant("acme")?.enforced_version, 8);
});

Deno.test("while NATS is away the chains stay; afterwards what was missed is taken up", async () => {
  await using server = await startNats({ jetstream: true });
  await using here = await watched(server.port, { request_timeout_ms: 20_000 });
  using one = await testRegistry(here.spine);
  await one.registry.reached("acme", await deployTiny(one, "acme", 1), DEADLINE_MS);
  await server.kill();
  await here.reached("disconnected");
  assert.deepEqual(running(one), [await tinyName(1)]);
  await assert.rejects(deployTiny(one, "acme", 2), refusedWith("spine-unavailable"));
  assert.deepEqual(running(one), [await tinyName(1)]);
  await server.start();
  await here.gaps(1);
  await using there = await watched(server.port, { request_timeout_ms: 20_000 });
  using other = await testRegistry(there.spine);
  assert.deepEqual(running(other), [await tinyName(1)], "it outlives the server");
  const revision = await deployTiny(other, "acme", 2);
  assert.equal(await one.registry.reached("acme", revision, DEADLINE_MS), true);
  assert.deepEqual(running(one), [await tinyName(2)]);
});

Deno.test("a deployment while a node is cut off reaches it with the relisting", async () => {
  await using server = await startNats({ jetstream: true });
  await using here = await watched(server.port, { request_timeout_ms: 20_000 });
  await using there = await watched(server.port, { request_timeout_ms: 20_000 });
  using one = await testRegistry(here.spine);
  using other = await testRegistry(there.spine);
  await one.registry.reached("acme", await deployTiny(one, "acme", 1), DEADLINE_MS);
  for (let round = 1; round <= 3; round++) {
    await server.restart();
    // Whichever node is back first deploys; the other may still be away and has to relist.
    await within(Promise.race([here.gaps(round), there.gaps(round)]), "a node that is back");
    const node = here.spine.status.reconnects === round ? one : other;
    const revision = await deployTiny(node, "acme", round + 1);
    for (const each of [one, other]) {
      assert.equal(await each.registry.reached("acme", revision, DEADLINE_MS), true);
      assert.deepEqual(running(each), [await tinyName(round + 1)]);
    }
  }
  await until("the log", () => one.lines.some((line) => line.includes("in force")));
});

Deno.test("a document that the store has lost changes nothing but the status", async () => {
  await using server = await startNats({ jetstream: true });
  await using here = await watched(server.port, { request_timeout_ms: 20_000 });
  using one = await testRegistry(here.spine);
  await one.registry.reached("acme", await deployTiny(one, "acme", 1), DEADLINE_MS);
  const observer = await connect({ servers: server.url });
  await (await jetstreamManager(observer)).streams.delete("KV_ARQON_POLICIES");
  await observer.close();
  await server.restart();
  await until("the news", () => one.registry.tenant("acme")?.state === "gone");
  assert.deepEqual(running(one), [await tinyName(1)]);
  assert.ok(one.lines.some((line) => /level=error .*is gone/.test(line)));
  // The bucket that is made anew counts from the beginning.
  const again = await deployTiny(one, "acme", 2);
  assert.equal(await one.registry.reached("acme", again, DEADLINE_MS), true);
  assert.deepEqual(running(one), [await tinyName(2)]);
});
