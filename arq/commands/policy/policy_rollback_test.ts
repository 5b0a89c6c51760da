/** `arq policy rollback --to` an old version: who is asked, and who is not. A real bus and terminal. */
import assert from "node:assert/strict";
import { runIn, type Step } from "../../../tests/arq/arq_terminal.ts";
import { startBusWith } from "../../../tests/harness/bus.ts";
import { PATIENT_POLICIES } from "../../../tests/harness/patient_policies.ts";
import { runArq, succeeds } from "../../testing/run_arq.ts";
import { atEnd } from "../../../shared/testing/at_end.ts";

const MODULE = new URL("../../../policies/build/bad_words.wasm", import.meta.url).pathname;

Deno.test("rolling back several changes: a user at a terminal is prompted, --yes and a pipe are not", async () => {
  await using bus = await startBusWith(PATIENT_POLICIES);
  const cwd = await Deno.makeTempDir();
  const at = ["--tenant", "acme", "--url", bus.url];
  const deploy = async (name: string) =>
    succeeds(await runArq(["policy", "deploy", MODULE, "--name", name, ...at]));
  const inForce = async () => {
    const { stdout } = await runArq(["policy", "list", "--json", ...at]);
    return JSON.parse(stdout).policies.map(({ name }: { name: string }) => name);
  };
  const where = { cwd, config_home: cwd };
  const rollBack = async (more: readonly string[], steps: readonly Step[]) => {
    const seen = await runIn("terminal", ["policy", "rollback", ...more, ...at], steps, where);
    assert.equal(seen.waits_for, undefined, seen.stdout);
    return seen;
  };
  await using _end = atEnd(() => Deno.remove(cwd, { recursive: true }));
  await deploy("one");
  await deploy("two");
  const question = "Take 2 changes of tenant acme back? [y/N]";
  const no = await rollBack(["--to", "0"], [{ until: question, send: "n\n" }]);
  assert.equal(no.code, 1, no.stdout);
  assert.match(no.stdout, /version 0 is 2 changes back.*nothing was changed/s);
  assert.deepEqual(await inForce(), ["one", "two"]);
  const near = succeeds(await rollBack(["--to", "1"], []));
  assert.match(near, /version 1 is 1 change back, made .* \(deploy one\)/);
  assert.doesNotMatch(near, /\[y\/N\]/);
  const yes = await rollBack(["--to", "0"], [{ until: "[y/N]", send: "y\n" }]);
  assert.equal(yes.code, 0, yes.stdout);
  assert.deepEqual(await inForce(), []);
  const ended = succeeds(await rollBack(["--to", "1", "--yes"], []));
  assert.doesNotMatch(ended, /\[y\/N\]/);
  const pipe = await runArq(["policy", "rollback", "--to", "0", ...at]);
  assert.equal(pipe.code, 0, pipe.stderr);
  assert.match(pipe.stderr, /^version 0 is 5 changes back/);
  assert.deepEqual(await inForce(), []);
});
