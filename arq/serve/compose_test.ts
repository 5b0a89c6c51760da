/** The command lines of the compose stack. No Docker runs here: there is no daemon in CI's containers. */
import assert from "node:assert/strict";
import { type ComposeAction, composeArguments, dockerCommand } from "./stack.ts";

const FILE = "/my folder/compose.yaml";

Deno.test("up waits for health in the background; reset removes volumes, down keeps them", () => {
  const of = (action: ComposeAction) => composeArguments(FILE, action).join(" ");
  assert.equal(of("up"), `compose --file ${FILE} up --detach --wait`);
  assert.equal(of("down"), `compose --file ${FILE} down`);
  assert.equal(of("reset"), `compose --file ${FILE} down --volumes --remove-orphans`);
  assert.equal(of("logs"), `compose --file ${FILE} logs`);
  assert.equal(of("follow"), `compose --file ${FILE} logs --follow`);
  assert.equal(of("status"), `compose --file ${FILE} ps --all --format json`);
});

Deno.test("a path with spaces stays one argument, also by way of the shell", async () => {
  const [program, args] = dockerCommand(composeArguments(FILE, "up"), "linux");
  const script = args[1]?.replace("exec docker", 'printf "%s\\n"');
  const command = new Deno.Command(program, { args: ["-c", script ?? "", ...args.slice(2)] });
  const lines = new TextDecoder().decode((await command.output()).stdout).trim().split("\n");
  assert.deepEqual(lines, composeArguments(FILE, "up"));
  assert.deepEqual(dockerCommand(["info"], "windows"), ["docker", ["info"]]);
});
