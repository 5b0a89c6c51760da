/** `arq serve` for an operator: a folder of `arq init`, a policy, a drain, and starts that fail. */
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

Deno.test("serve reports in a sentence why it cannot start", async () => {
  await using folder = await initFolder();
  const cwd = folder.path;
  const config = await Deno.readTextFile(`${cwd}/config.toml`);
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr;
  // A program that is not a bus: it closes connections.
  (async () => {
    for await (const connection of taken) connection.close();
  })();
  const issuers = config.slice(config.indexOf("[[auth.issuers]]"), config.indexOf("[[rooms]]"));
  const texts: [name: string, text: string, code: number, stderr: RegExp][] = [
    ["wrong", "[server]\nprot = 1\n", 2, /wrong\.toml:2:1 server\.prot: .*did you mean "port"\?/],
    ["nobody", "[server]\nport = 0\n", 2, /nobody\.toml: \[\[auth\.issuers\]\] is missing/],
    [
      "taken",
      config.replace("port = 0", `port = ${port}`),
      1,
      new RegExp(`client port: 127\\.0\\.0\\.1:${port} is in use by .+\\n.*\\[server\\] port`),
    ],
    ["no_key", `${issuers.replace("arqon-jwks", "gone")}`, 2, /keys\/gone\.json/],
  ];
  for (const [name, text] of texts) await Deno.writeTextFile(`${cwd}/${name}.toml`, text);
  for (const [name, , code, expected] of texts) {
    const result = await runArq(["serve", "--config", `${name}.toml`], { cwd });
    assert.equal(result.code, code, `${name}: ${result.stderr}`);
    assert.match(result.stderr, expected);
    assert.doesNotMatch(result.stderr, /^\s+at |PRIVATE|"d"/m);
  }
  const gone = await runArq(["serve", "--config", "gone.toml"], { cwd });
  assert.equal(gone.code, 2);
  assert.match(gone.stderr, /^arq: cannot read .*gone\.toml/);
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
