/**
 * The output of a command arrives complete through a pipe that Node has made non-blocking, as `npx` and npm's launcher
 * under an older Node do, however slow its reader is.
 */
import assert from "node:assert/strict";
import { arqCommand, runArq } from "./testing/run_arq.ts";

/** Node runs a command that shares its output, and then inspects its own. */
const SHARED = `
  const [program, ...args] = process.argv.slice(1);
  require("node:child_process").spawn(program, args, { stdio: "inherit" })
    .on("exit", (code) => process.exit(code ?? 99));
  process.stdout.isTTY;
`;

Deno.test("a long output passes completely through a non-blocking pipe with a slow reader", async () => {
  const direct = await runArq(["man"]);
  assert.ok(direct.stdout.length > 80_000, `${direct.stdout.length}`);
  // The reader starts late: until then the pipe is full.
  const script = '{ node -e "$0" -- "$@"; echo "code $?" >&2; } | { sleep 3; cat; }';
  const child = new Deno.Command("sh", {
    args: ["-c", script, SHARED, ...await arqCommand(), "man"],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
  const { stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  assert.equal(text(stderr), "code 0\n");
  assert.equal(text(stdout), direct.stdout);
});
