/**
 * The first Ctrl-C ends a command that waits for a pipe: one that nobody has opened for writing, or one into which
 * nobody writes. The system and `main.ts` handle a second one.
 */
import assert from "node:assert/strict";
import { becomes, until } from "../shared/testing/until.ts";
import { folderWith } from "./testing/disk_io.ts";
import { startArq } from "./testing/run_arq.ts";

const ignore = Deno.build.os !== "linux";
/** Much longer than a command needs to end, also on a busy machine. */
const END_MS = 20_000;

async function pipeIn(folder: string, name: string): Promise<string> {
  const path = `${folder}/${name}`;
  const { success } = await new Deno.Command("mkfifo", { args: [path] }).output();
  assert.ok(success, "mkfifo");
  return path;
}

/** Whether a thread of the process waits for the other end of a pipe to be opened. */
async function waitsForPartner(pid: number): Promise<boolean> {
  // Deno can open the files with a thread's wait channel only with all permissions.
  const args = ["-c", `cat /proc/${pid}/task/*/wchan`];
  const { stdout } = await new Deno.Command("sh", { args, stderr: "null" }).output();
  return new TextDecoder().decode(stdout).includes("wait_for_partner");
}

/** Starts the command, presses Ctrl-C once `isWaiting`, and expects the command to end. */
async function endsAtOnce(
  args: string[],
  cwd: string,
  isWaiting: (child: Deno.ChildProcess) => Promise<void>,
): Promise<void> {
  const command = `arq ${args.join(" ")}`;
  const { child, stderr, result } = await startArq(args, { cwd, keep_stdin: true });
  let has_ended = false;
  child.status.then(() => has_ended = true);
  try {
    await isWaiting(child);
    assert.ok(!has_ended, `${command} waits: ${stderr()}`);
    child.kill("SIGINT");
    assert.ok(await becomes(() => has_ended, END_MS), `${command} ends`);
    assert.equal((await result()).code, 130, `${command}: ${stderr()}`);
  } finally {
    if (!has_ended) child.kill("SIGKILL");
    await child.stdin.close().catch(() => {});
    await result();
  }
}

Deno.test({
  name: "the first Ctrl-C ends a command that opens a pipe without a writer",
  ignore,
  async fn() {
    await using folder = await folderWith({});
    await pipeIn(folder.path, "pipe");
    const rows = [
      ["pub", "lobby", "--ndjson", "pipe"],
      ["pub", "lobby", "x", "--token-file", "pipe"],
      ["config", "check", "pipe"],
      ["serve", "--config", "pipe"],
      ["dev", "--config", "pipe"],
      ["policy", "check", "pipe"],
    ];
    for (const args of rows) {
      await endsAtOnce(
        args,
        folder.path,
        ({ pid }) => until(`arq ${args.join(" ")} opens the pipe`, () => waitsForPartner(pid)),
      );
    }
  },
});

Deno.test({
  name: "the first Ctrl-C ends a command that reads from a silent pipe",
  ignore,
  async fn() {
    await using folder = await folderWith({});
    const path = await pipeIn(folder.path, "pipe");
    for (const args of [["pub", "lobby", "--ndjson", "pipe"], ["serve", "--config", "pipe"]]) {
      let writer: Deno.FsFile | undefined;
      // Opening succeeds once the command has opened the pipe for reading.
      await endsAtOnce(args, folder.path, async () => {
        writer = await Deno.open(path, { write: true });
      });
      writer?.close();
    }
  },
});
