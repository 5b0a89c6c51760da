/** `arq serve`: Shield and Brain in this process, from a configuration. */
import { EXIT } from "../exit.ts";
import { print, resolvePath } from "../io.ts";
import type { Io } from "../io.ts";
import { requireFiles, startProblem } from "../serve/start_problem.ts";

/** The command's options. */
export interface ServeFlags {
  readonly config: string;
  readonly json?: boolean;
}

/** Asking the system who has a port. */
const ASK_MS = 1_500;

/** Serves until the first signal, then drains; 0 when it has. Logs go to stderr. */
export async function serveCommand(io: Io, flags: ServeFlags): Promise<number> {
  await requireFiles(io.signal);
  const { serveFile } = await import("../serve_main.ts");
  const { cwd, signal } = io;
  try {
    await serveFile({
      file: resolvePath(cwd, flags.config),
      folder: cwd,
      signal,
      async onReady(serving) {
        if (flags.json === true) await print(io.stdout, `${JSON.stringify(serving)}\n`);
      },
    });
  } catch (error) {
    const fix = ({ table }: { table: string }) =>
      `stop it, or set [${table}] port in ${flags.config}; 0 picks a free one`;
    throw await startProblem(error, fix, AbortSignal.timeout(ASK_MS));
  }
  return EXIT.ok;
}
