/**
 * The token servers of the cookbook in Node, Python and Go: a real bus accepts their tokens, and they issue none
 * without a login. Packages are installed, so it is one of the slow tests.
 */
import assert from "node:assert/strict";
import { ArqonError, connect } from "@arqon/sdk";
import { runArq, succeeds } from "../../arq/testing/run_arq.ts";
import { must, pythonPackages } from "../../tasks/checkout/programs.ts";
import { ROOT } from "../../tasks/checkout/source_files.ts";
import { until } from "../../shared/testing/until.ts";
import { startBusWith } from "../harness/bus.ts";
import { ensureGoProgram } from "../harness/go_program.ts";
import { startProgram } from "./program.ts";

const SERVERS = `${ROOT}examples/cookbook/token_server`;

/** Each as a command line, without the key and the port. */
async function servers(folder: string): Promise<Record<string, string[]>> {
  await Deno.copyFile(`${SERVERS}/node.mjs`, `${folder}/server.mjs`);
  await must("npm", ["install", "--no-audit", "--no-fund", "jose@6.2.17"], { cwd: folder });
  const bin = await pythonPackages("token_server_python", ["pyjwt[crypto]>=2.9"]);
  const go = await ensureGoProgram({
    name: "arqon_token_server",
    version: "1",
    source: { folder: "examples/cookbook/token_server/go" },
  });
  return {
    node: ["node", `${folder}/server.mjs`],
    python: [`${bin}/python`, `${SERVERS}/server.py`],
    go: [go],
  };
}

const ask = (port: string, cookie: string) =>
  fetch(`http://127.0.0.1:${port}/`, { method: "POST", headers: { cookie } });

Deno.test("a bus accepts the tokens of the servers in Node, Python and Go, for the rooms that they grant", async (t) => {
  const folder = await Deno.makeTempDir({ prefix: "token-server-" });
  succeeds(await runArq(["auth", "keys", "--out", folder], { cwd: folder }));
  await using bus = await startBusWith(`
[[auth.issuers]]
issuer = "https://app.example.com"
audience = "arqon"
jwks_file = "${folder}/arqon-jwks.json"
tenants = ["acme"]
roles = ["user"]
`);
  for (const [language, command] of Object.entries(await servers(folder))) {
    await t.step(language, async () => {
      await using server = startProgram([...command, `${folder}/arqon-private.jwk.json`, "0"]);
      await until(`${language} listens`, () => /^\d+$/.test(server.lines[0] ?? ""));
      const port = server.lines[0]!;
      for (const cookie of ["", "session=s-eve", "session=", 'session="s-ann', "other=s-ann"]) {
        const { status, body } = await ask(port, cookie);
        await body?.cancel();
        assert.equal(status, 401, cookie);
      }
      const answer = await ask(port, "other=1; session=s-ann");
      assert.equal(answer.headers.get("cache-control"), "no-store");
      const token = await answer.text();
      await using connection = await connect({ url: bus.url, token });
      assert.equal(connection.welcome.user_id, "ann");
      assert.equal(connection.welcome.tenant_id, "acme");
      const left_ms = Number(connection.welcome.token_expires_ms) - Date.now();
      assert.ok(left_ms > 0 && left_ms <= 900_000 + 60_000, `${left_ms}`);
      await connection.room("chat-1").publish("chat", "hello");
      await connection.room("inbox-ann").subscribe().ready;
      for (const room of ["inbox-bob", "ledger-1"]) {
        const refused = connection.room(room).publish("chat", "?");
        await assert.rejects(
          refused,
          (error) => error instanceof ArqonError && error.code === 403,
        );
      }
    });
  }
  await Deno.remove(folder, { recursive: true });
});
