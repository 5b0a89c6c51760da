/** Runs `arq` in the test's process as an admin of a bus: its exit code is checked, its output returned. */
import assert from "node:assert/strict";
import type { TestBus } from "../../tests/harness/test_bus.ts";
import { runProgram } from "../program/program.ts";
import { exitCodeOf, explain } from "../terminal/exit.ts";
import type { Io } from "../terminal/io.ts";
import { diskIo } from "./disk_io.ts";

/** Runs one command line, and returns what it printed. */
export type LocalArq = (code: number, ...args: string[]) => Promise<string>;

/**
 * An `arq` that works in a folder, with a token of an admin of tenant `default`. `more` overrides parts of its `Io`.
 */
export async function localArq(
  bus: Pick<TestBus, "admin_url" | "tokenFor">,
  cwd: string,
  more: Partial<Io> = {},
): Promise<LocalArq> {
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  const where = ["--admin-url", bus.admin_url, "--token", token];
  return async (code, ...args) => {
    const io = diskIo(cwd);
    let error_text = "";
    const ended = await runProgram({ ...io, ...more }, [...args, ...where]).catch((error) => {
      error_text = explain(error);
      return exitCodeOf(error);
    });
    const text = io.stdout.text() + io.stderr.text() + error_text;
    assert.equal(ended, code, `${args.join(" ")}: ${text}`);
    return text;
  };
}

/** Makes a command that shows progress exit at once, as with Ctrl-C in a script. */
export const LEAVES: Partial<Io> = {
  takeInterrupt(onNext) {
    onNext();
    return () => {};
  },
};
