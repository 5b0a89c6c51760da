/**
 * `deno task smoke FOLDER | --npm TARBALL`: checks that the compiled `arq` in FOLDER, or the npm package, works on this
 * system. One line per step; exit code 1 with the reason at the first failure.
 */
import { endOnSignal } from "../harness/end_on_signal.ts";
import { smoke } from "./smoke_steps.ts";
import { compiledTool, installedTool } from "./tool.ts";

async function main([what, tarball]: readonly string[]): Promise<number> {
  const is_npm = what === "--npm" && tarball !== undefined;
  if (!is_npm && (what === undefined || what.startsWith("-"))) {
    console.error("deno task smoke FOLDER | --npm TARBALL");
    return 2;
  }
  const config = await Deno.readTextFile(new URL("../../deno.json", import.meta.url));
  const { version } = JSON.parse(config) as { version: string };
  try {
    await using tool = is_npm ? await installedTool(tarball) : await compiledTool(what!);
    await smoke(tool, version, (name, ms) => console.log(`ok  ${name}  ${Math.round(ms)} ms`));
    return 0;
  } catch (error) {
    console.error(`FAILED: ${error instanceof Error ? error.message : error}`);
    return 1;
  }
}

if (import.meta.main) {
  endOnSignal();
  Deno.exit(await main(Deno.args));
}
