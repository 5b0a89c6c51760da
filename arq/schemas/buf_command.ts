/**
 * How buf, the compiler of `.proto` files, is started: from a checkout out of Deno's packages; from the
 * npm package or as a compiled program, which are too small for it, as it is installed there. It
 * starts nothing.
 */
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { denoCommand } from "../../shared/process/deno_command.ts";

/** A program and what stands before its own arguments. */
export interface BufCommand {
  readonly command: string;
  readonly args: readonly string[];
}

/** What helps when it cannot be found. */
export const BUF_HINT =
  "npm install @bufbuild/buf, or have buf on the PATH (https://buf.build/docs/cli/installation); " +
  "a set that is built already needs none";

const ON_PATH: BufCommand = { command: "buf", args: [] };

/** The program of npm's package, when that is installed where `url` finds it. */
function installed(url: string): string | undefined {
  try {
    return createRequire(url).resolve("@bufbuild/buf/bin/buf");
  } catch {
    return undefined;
  }
}

/** The command for the `arq` whose module is at `url`. */
export function bufCommand(
  url: string = import.meta.url,
  standalone: boolean = Deno.build.standalone,
  find: (url: string) => string | undefined = installed,
): BufCommand {
  if (standalone) return ON_PATH;
  const run = ["run", "--quiet", "-A"];
  if (!url.includes("/node_modules/")) {
    const config = fileURLToPath(new URL("../../deno.json", url));
    return { command: denoCommand(), args: [...run, "--config", config, "@bufbuild/buf"] };
  }
  const program = find(url);
  if (program === undefined) return ON_PATH;
  const alone = ["--no-config", "--no-lock", "--node-modules-dir=manual"];
  return { command: denoCommand(), args: [...run, ...alone, program] };
}
