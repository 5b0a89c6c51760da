/** `arq config show` and `arq config reload` against a bus whose file is rewritten. */
import assert from "node:assert/strict";
import { startBus } from "../../../tests/harness/bus.ts";
import { configText, isTaken } from "../../answers/config_text.ts";
import { runArq } from "../../testing/run_arq.ts";

Deno.test("arq config reload: says what changed, what needs a restart and what is refused; show says what is in force", async () => {
  const file = await Deno.makeTempFile({ suffix: ".toml" });
  try {
    await Deno.writeTextFile(file, "[limits]\nheaders = 9\n");
    await using bus = await startBus(["--config", file]);
    const arq = async (code: number, ...args: string[]) => {
      const result = await runArq(["config", ...args, "--url", bus.url]);
      const said = result.stdout + result.stderr;
      assert.equal(result.code, code, `${args.join(" ")}: ${said}`);
      return said;
    };
    assert.match(
      await arq(0, "show"),
      /^shield \S+: \/\S+, read \d{4}-.*\n(.*\n)* {2}limits\.headers = 9\n/,
    );
    assert.match(await arq(0, "reload"), /\n {2}changed: nothing\n$/);
    await Deno.writeTextFile(file, "[limits]\nheaders = 7\nmax_frame_bytes = 2_048\n");
    assert.match(
      await arq(0, "reload"),
      /\n {2}changed: limits\.headers\n {2}needs a restart: limits\.max_frame_bytes\n$/,
    );
    await Deno.writeTextFile(file, "[limits]\nheader = 3\n");
    assert.match(
      await arq(1, "reload"),
      /refused, nothing has changed: .*:2:1 limits\.header: unknown key; did you mean "headers"\?/,
    );
    const { configs } = JSON.parse(await arq(0, "show", "--json"));
    assert.equal(configs[0].values["limits.headers"], 7);
    assert.match(await arq(0, "show"), / {2}limits\.headers = 7\n(.*\n)* {2}refused, nothing has/);
    const { node_id } = configs[0];
    assert.match(await arq(1, "reload", "--node", node_id), /refused/);
    for (const command of ["show", "reload"]) {
      assert.match(await arq(1, command, "--node", "nobody"), /no node nobody answers/);
    }
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("configuration as text: a process without an answer is named, and an escape code is none", () => {
  const answer = {
    configs: [{ node_id: "a\u001b[2J", kind: "brain", file: null, changed: [], values: {} }, 7],
    nodes: { answered: ["a"], silent: ["edge-2"] },
  };
  const text = configText(answer, false);
  assert.match(text, /no file\n/);
  assert.match(text, /\nedge-2 does not answer\n$/);
  assert.ok(!text.includes("\u001b"));
  assert.equal(isTaken(answer), false);
  assert.equal(isTaken({ ...answer, nodes: { silent: [] } }), true);
  assert.equal(configText({}, true), "");
});
