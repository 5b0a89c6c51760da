/** `arq plan --since` against a real bus: what a new module would have decided of what was sent. */
import assert from "node:assert/strict";
import { startBusWith } from "../../../tests/harness/bus.ts";
import { folderWith } from "../../testing/disk_io.ts";
import { runArq } from "../../testing/run_arq.ts";

const CONFIG = `
[server]
host = "127.0.0.1"
[journal]
journal = "all"
journal_payload = "keep"
flush_ms = 50
`;
const BUILD = new URL("../../../policies/build", import.meta.url).pathname;
const policy = (module: string) =>
  `tenant = "default"\n[[policies]]\nname = "words"\nmodule = "${module}.wasm"\n`;

Deno.test("a plan names how many messages a new module would have refused or let through", async () => {
  await using bus = await startBusWith(CONFIG);
  await using folder = await folderWith({ "a.toml": policy("content_size") });
  for (const name of ["content_size", "bad_words"]) {
    await Deno.copyFile(`${BUILD}/${name}.wasm`, `${folder.path}/${name}.wasm`);
  }
  const arq = async (code: number, args: string[], stdin?: string) => {
    const more = stdin === undefined ? {} : { stdin };
    const result = await runArq([...args, "--url", bus.url], more);
    assert.equal(result.code, code, `${args.join(" ")}: ${result.stderr}${result.stdout}`);
    return result.stdout;
  };
  await arq(0, ["apply", folder.path]);
  const texts = ["tea", "malware one", "milk", "malware two", "cake"];
  await arq(0, ["pub", "lobby", "--ndjson", "-"], texts.map((text) => `"${text}"\n`).join(""));
  await Deno.writeTextFile(`${folder.path}/a.toml`, policy("bad_words"));
  // The journal has them once the Shield has written them.
  let found: { decisions: number; [member: string]: unknown } | undefined;
  for (let tries = 0; found?.decisions !== texts.length; tries++) {
    assert.ok(tries < 50, JSON.stringify(found));
    found = JSON.parse(await arq(2, ["plan", folder.path, "--since", "1h", "--json"])).since[0];
  }
  const { policy: name, repeated, allow_to_refuse, refuse_to_allow, recorded_different } = found;
  assert.deepEqual([name, repeated], ["words", 5]);
  assert.deepEqual([allow_to_refuse, refuse_to_allow, recorded_different], [2, 0, 0]);
  const text = await arq(2, ["plan", folder.path, "--since", "1h"]);
  assert.match(text, /\npolicy words since .*: 5 decisions, 5 repeated\n {2}would be refused: 2, /);
  assert.match(text, /\n {4}\S+ in lobby\n/);
});
