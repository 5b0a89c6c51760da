/**
 * The console's replay worker, as one file of plain JavaScript. Packages, images and binaries contain the file
 * beside this module. In a checkout `deno bundle` builds it at the first request, and it stays in memory.
 */
import { fileURLToPath } from "node:url";
import { denoCommand, startChild } from "../../../shared/process/deno_command.ts";

/** Its path below the root of a package. */
export const REPLAY_WORKER = "shield/admin/console/replay_worker.js";

const ROOT = new URL("../../../", import.meta.url);
/** The arguments of `deno` that build it, at the root of a checkout. */
export const BUNDLE_ARGS: readonly string[] = [
  ...["bundle", "--quiet", "--frozen", "--minify", "--platform=browser"],
  "arq/replay/page_thread.ts",
];
/** The first run downloads the bundler. */
const BUNDLE_MS = 120_000;

/** Builds the file from the sources of a checkout. Rejects with the output of `deno bundle`. */
export async function bundleReplayWorker(): Promise<string> {
  const { success, stdout, stderr } = await startChild(denoCommand(), {
    args: [...BUNDLE_ARGS],
    cwd: fileURLToPath(ROOT),
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(BUNDLE_MS),
  }).output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(`deno ${BUNDLE_ARGS.join(" ")}: ${decoder.decode(stderr)}`);
  return decoder.decode(stdout);
}

async function load(): Promise<string> {
  try {
    return await Deno.readTextFile(new URL(REPLAY_WORKER, ROOT));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return await bundleReplayWorker();
  }
}

let loaded: Promise<string> | undefined;

/** The file's text. Rejects if there is no file and the build fails; the next call tries again. */
export function replayWorker(): Promise<string> {
  loaded ??= load().catch((error) => {
    loaded = undefined;
    throw error;
  });
  return loaded;
}
