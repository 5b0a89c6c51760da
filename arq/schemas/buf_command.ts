/**
 * How to start buf, the compiler of `.proto` files. From a checkout it is among Deno's packages. The npm
 * package and the compiled program have no room for it and use an installed buf. Starts nothing itself.
 */
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { denoCommand } from "../../shared/process/deno_command.ts";

/** A program, and the arguments that come before its own. */
export interface BufCommand {
  readonly command: string;
  readonly args: readonly string[];
}

/** Advice for when buf cannot be found. */
export const BUF_HINT =
  "npm install @bufbuild/buf, or have buf on the PATH (https://buf.build/docs/cli/installation); " +
  "a set that is built already needs none";

const ON_PATH: BufCommand = { command: "buf", args: [] };

/** The program of the npm package of buf, when the package is installed where `url` finds it. */
function installed(url: string): string | undefined {
  try {
    return createRequire(url).resolve("@bufbuild/buf/bin/buf");
  } catch {
    return undefined;
  }
}

/** The command for the `arq` whose main module is at `url`. */
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
