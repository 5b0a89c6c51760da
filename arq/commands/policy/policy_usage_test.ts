/** `arq policy` as its own process without a bus. `policy_test.ts` has the bus. */
import assert from "node:assert/strict";
import { type Refusal, refuses, runArq } from "../../testing/run_arq.ts";

const MODULE = new URL("../../../policies/build/bad_words.wasm", import.meta.url).pathname;
const NOWMODULE = ["--admin-url", "http://127.0.0.1:1", "--token", "a.b.c"];

Deno.test("invalid command lines and an unreachable bus have different errors", async () => {
  const cases: Refusal[] = [
    [["deploy"], 2, /missing required argument/],
    [["deploy", "x.wasm", "--room", "a.*"], 2, /Expected a room, or a prefix of one/],
    [["deploy", "x.wasm", "--hook", "on_fire"], 2, /on_connect, on_subscribe, on_message/],
    [["deploy", "x.wasm", "--order", "first"], 2, /a whole number/],
    [["deploy", "x.wasm", "--percent", "0.1"], 2, /is it 0\.1% or 10%\?/],
    [["deploy", "x.wasm", "--percent", "101"], 2, /0 to 100: 10% or 10/],
    [["deploy", "x.wasm", "--tenant", "a b"], 2, /Not a tenant: character " "/],
    [["deploy", "a b.wasm"], 2, /cannot be a policy's name.*\n.*--name/],
    [["deploy", "/nowhere/p.wasm"], 1, /cannot read \/nowhere\/p\.wasm/],
    [["deploy", MODULE, "--name", "p", ...NOWMODULE], 4, /127\.0\.0\.1:1.*503 unreachable/],
    [["rollback", "--to", "v3"], 2, /Expected a version/],
    [["remove", "a.b"], 2, /Not a policy name/],
    [["logs", ...NOWMODULE], 4, /503 unreachable/],
    [["logs", "-f", ...NOWMODULE], 4, /503 unreachable/],
    [["list", "--admin-url", "http://127.0.0.1:1"], 3, /no token for http:\/\/127\.0\.0\.1:1/],
    [["list", "--url", "ws://127.0.0.1:1"], 4, /not a running development bus.*\n.*--admin-url/],
    [["list", ...NOWMODULE], 4, /503 unreachable/],
    [["nonsense"], 2, /unknown command/],
  ];
  await refuses(cases, "policy");
});

Deno.test("a server that is not a bus has a different error than a refusal", async () => {
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    () => new Response("<html>", { status: 502 }),
  );
  const admin = ["--admin-url", `http://127.0.0.1:${server.addr.port}/`, "--token", "a.b.c"];
  for (const args of [["list"], ["logs", "-f"]]) {
    const { code, stderr } = await runArq(["policy", ...args, ...admin]);
    assert.equal(code, 4);
    assert.match(stderr, /HTTP 502, but the answer is not ArqonBus's/);
  }
});

Deno.test("a module of more than 1 MiB is not even sent", async () => {
  const file = await Deno.makeTempFile({ suffix: ".wasm" });
  await Deno.writeFile(file, new Uint8Array(1_048_577));
  const { code, stderr } = await runArq(["policy", "deploy", file, "--name", "p", ...NOWMODULE]);
  assert.equal(code, 1);
  assert.match(stderr, /1048577 bytes; a module has at most 1 MiB/);
  await Deno.remove(file);
});
