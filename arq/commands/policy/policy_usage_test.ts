/** `arq policy` where no bus runs, or something else. `policy_test.ts` has the bus. */
import { fails, runArq } from "../../testing/run_arq.ts";

const NOWHERE = ["--admin-url", "http://127.0.0.1:1", "--token", "a.b.c"];

Deno.test("a server that is not a bus has a different error than a refusal", async () => {
  const at = { port: 0, hostname: "127.0.0.1", onListen() {} };
  await using server = Deno.serve(at, () => new Response("<html>", { status: 502 }));
  const admin = ["--admin-url", `http://127.0.0.1:${server.addr.port}/`, "--token", "a.b.c"];
  for (const args of [["list"], ["logs", "-f"]]) {
    const asked = await runArq(["policy", ...args, ...admin]);
    fails(asked, /HTTP 502, but the answer is not ArqonBus's/, 4);
  }
});

Deno.test("a module of more than 1 MiB is not even sent", async () => {
  const file = await Deno.makeTempFile({ suffix: ".wasm" });
  await Deno.writeFile(file, new Uint8Array(1_048_577));
  const deployed = await runArq(["policy", "deploy", file, "--name", "p", ...NOWHERE]);
  fails(deployed, /1048577 bytes; a module has at most 1 MiB/);
  await Deno.remove(file);
});
