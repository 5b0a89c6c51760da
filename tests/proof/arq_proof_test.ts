/** `arq proof` against a bus and against folders: what it checks, and with what words it fails. */
import assert from "node:assert/strict";
import { runArq } from "../../arq/testing/run_arq.ts";
import { startLocalBus } from "../harness/local_bus.ts";
import { grown, PROOF_CONFIG, publish, served, treeUrl, verifierOf, vkeyOf } from "./served.ts";
import { verifierPy } from "./verifier.ts";

Deno.test("arq proof keeps, proves and verifies a log, and finds what was changed", async () => {
  await using bus = await startLocalBus(PROOF_CONFIG);
  const cwd = await Deno.makeTempDir();
  const to = ["--url", bus.url, "--token", bus.token];
  const arq = (...args: string[]) => runArq(["proof", ...args], { cwd });
  const succeeds = async (...args: string[]) => {
    const { code, stdout, stderr } = await arq(...args);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const fails = async (why: RegExp, ...args: string[]) => {
    const { code, stderr } = await arq(...args);
    assert.equal(code, 1, stderr);
    assert.match(stderr, why);
  };
  try {
    await publish(bus, "own-bets", 200);
    const files = served(bus, "default.own-bets", bus.token);
    const verifier = await verifierOf(files);
    await grown(files, verifier, 200);
    const [tree, vkey] = ["default.own-bets", await vkeyOf(files)];
    assert.equal(await succeeds("key", tree, ...to), `${vkey}\n`);
    const key = ["--key", vkey];
    await Deno.writeTextFile(`${cwd}/old`, await succeeds("checkpoint", tree, ...to, ...key));
    await publish(bus, "own-bets", 100, 200);
    await grown(files, verifier, 300);
    assert.match(
      await succeeds("consistency", tree, "old", ...to, ...key),
      /of 300 entries continues that of 200/,
    );
    const { offset } = await latest(bus.http_url, bus.token);
    await Deno.writeTextFile(
      `${cwd}/one.tlog-proof`,
      await succeeds("inclusion", tree, String(offset), ...to, ...key),
    );
    const { found } = await verifierPy([...key, "--proof", `${cwd}/one.tlog-proof`]);
    assert.equal(found?.["index"], 299);
    await fails(/no entry of offset 999999/, "inclusion", tree, "999999", ...to, ...key);
    await succeeds("save", tree, "bets", ...to, ...key);
    await fails(/there already/, "save", tree, "bets", ...to, ...key);
    const whole = await succeeds("verify", "./bets", ...key, "--older", "old");
    assert.match(whole, /bus.example\/default.own-bets: 300 entries, whole, and 300 messages/);
    const options = ["--older", `${cwd}/old`, "--messages", `${cwd}/bets/messages.ndjson`];
    assert.equal((await verifierPy([...key, ...options, `${cwd}/bets`])).found?.["messages"], 300);
    const changed = async (path: string, change: (text: string) => string, why: RegExp) => {
      const file = `${cwd}/bets/${path}`;
      const text = await Deno.readTextFile(file);
      await Deno.writeTextFile(file, change(text));
      await fails(why, "verify", "./bets", ...key);
      await Deno.writeTextFile(file, text);
    };
    await changed(
      "messages.ndjson",
      (text) => text.replace('"n":7,', '"n":8,'),
      /not the one that was/,
    );
    await changed(
      "tile/entries/000",
      (text) => text.replace("time_ms", "time_mS"),
      /is no whole bundle/,
    );
    await changed(
      "checkpoint",
      (text) => text.replace("\n300\n", "\n299\n"),
      /is not of this text/,
    );
    await fails(/cannot read|No such file|no such file/i, "verify", "./nowhere", ...key);
    const strange = await vkeyOf(served(bus, "default.other"));
    await fails(/no known key/, "verify", "./bets", "--key", strange);
    // The public log of another room, by its address and without a token.
    await publish(bus, "open", 1);
    await grown(served(bus, "default.open"), await verifierOf(served(bus, "default.open")), 1);
    assert.match(await succeeds("verify", treeUrl(bus, "default.open")), /1 entry, whole/);
  } finally {
    await Deno.remove(cwd, { recursive: true });
  }
});

async function latest(http_url: string, token: string): Promise<{ offset: number }> {
  const url = `${http_url}/v1/rooms/own-bets/messages?reverse=true&limit=1`;
  const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
  return (await answer.json()).messages[0];
}
