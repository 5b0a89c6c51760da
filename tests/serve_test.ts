/** `arq serve` for an operator: a folder of `arq init`, a policy, a drain, and a stall. */
import assert from "node:assert/strict";
import { runArq, succeeds } from "../arq/testing/run_arq.ts";
import { ask, openText } from "./peers/raw_client.ts";
import { initFolder, startServe, tokenOf as token } from "./harness/serve_bus.ts";
import { logged } from "./harness/server_state.ts";

Deno.test("serve runs a policy, without deno on the PATH, and drains at SIGTERM", async () => {
  await using folder = await initFolder();
  await using bus = await startServe(folder.path);
  const user = await token(folder.path, "user");
  const admin = await token(folder.path, "admin");
  const run = (...args: string[]) => runArq(args, { cwd: folder.path });
  const to_admin = ["--admin-url", bus.admin_url, "--token", admin];
  const rooms = ["--room", "chat-*"];
  succeeds(await run("policy", "deploy", "policies/content_size.wasm", ...rooms, ...to_admin));
  const as_user = ["--url", bus.url, "--token", user];
  succeeds(await run("pub", "chat-1", "short", ...as_user));
  const refused = await run("pub", "chat-1", "x".repeat(70_000), ...as_user);
  assert.equal(refused.code, 5);
  assert.match(refused.stderr, /bytes; at most \d+ here/);
  const health = await (await fetch(`${bus.ops_url}/health/ready`)).json();
  assert.equal(health.status, "ok");
  assert.ok("presence" in health.checks && "policies" in health.checks, "of Brain and Shield");

  const subscriber = await openText(bus.url, user);
  await ask(subscriber, { op: "sub", room: "lobby" });
  const ending = bus.stop("SIGTERM");
  const { signal } = await subscriber.json();
  assert.equal(signal.kind, "DRAIN");
  // A drain ends as soon as everybody has disconnected.
  subscriber.socket.close();
  assert.equal(await ending, 0, bus.log());
  await logged(bus, /msg="ready"[\s\S]*msg="draining"[\s\S]*msg="stopped"/);
  assert.doesNotMatch(bus.log(), /level=error/);
});

Deno.test("serve ends itself when its event loop stalls for longer than allowed", async () => {
  // Loading the program alone takes longer.
  await using folder = await initFolder("#constant watchdog.stall_ms = 1\n");
  const stalls = /level=error component=shield step=[^\n]+ stood_ms=\d+ msg="the event loop hangs/;
  await assert.rejects(startServe(folder.path), (error: Error) => {
    assert.match(error.message, /^it ended with 137:/);
    assert.match(error.message, stalls);
    return true;
  });
});
