/**
 * Tokens that expire in 5 to 8 s during drains and a rolling restart of every process: with a source of tokens both
 * SDKs lose nothing, duplicate nothing, and are never refused.
 */
import assert from "node:assert/strict";
import { until } from "../../shared/testing/until.ts";
import { pythonWithSdk } from "./python.ts";
import { HEAD_TREE } from "./release_tree.ts";
import { NODES, openWorld, type World } from "./world.ts";

const TOKENS = 6;

/** Issues tokens for the path's user; counts them. */
function startTokens({ issuer }: World) {
  const given = new Map<string, number>();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const sub = new URL(request.url).pathname.slice(1);
    const count = given.get(sub) ?? 0;
    given.set(sub, count + 1);
    const exp = Math.floor(Date.now() / 1_000) + 5 + count % 4;
    return new Response(await issuer.tokenFor({ sub, exp }));
  });
  return {
    given,
    url: `http://127.0.0.1:${server.addr.port}`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

Deno.test("tokens of a few seconds expire during a rolling restart, and nobody loses or duplicates a message", async () => {
  const python = await pythonWithSdk();
  await using world = await openWorld("[auth]\nclock_skew_seconds = 0\n");
  await using tokens = startTokens(world);
  for (const name of NODES) await world.start(name, HEAD_TREE);
  for (const [name, program] of [["typescript", undefined], ["python", python]] as const) {
    await world.addClient(name, HEAD_TREE, HEAD_TREE, program, `${tokens.url}/${name}`);
  }
  await world.goesOn();
  for (const name of NODES) {
    const before = new Map(tokens.given);
    await world.stop(name);
    await world.start(name, HEAD_TREE);
    await world.goesOn();
    // Each has renewed its token since, so no earlier one is in use.
    await until(
      () => `each has a new token after ${name}: ${JSON.stringify([...tokens.given])}`,
      () => [...before].every(([user, count]) => tokens.given.get(user)! > count + 1),
    );
  }
  for (const [name, { acknowledged, received, refused }] of await world.found()) {
    assert.deepEqual(refused, [], `${name}\n${world.log}`);
    assert.deepEqual(received, [...Array.from({ length: acknowledged }, (_, n) => n), -1], name);
    assert.ok(tokens.given.get(name)! >= TOKENS, `${name} had ${tokens.given.get(name)} tokens`);
  }
});
