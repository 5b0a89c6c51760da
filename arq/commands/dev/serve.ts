/** `arq serve`: runs Shield and Brain in this process, from a configuration. */
import type { Place } from "../../../shared/listeners/port_check.ts";
import { EXIT, usageError } from "../../terminal/exit.ts";
import { INIT_FILES } from "../../init/templates.ts";
import { type Io, print, resolvePath } from "../../terminal/io.ts";
import { requireFiles, startProblem } from "../../serve/start_problem.ts";
import type { Flags } from "../../program/flags.ts";

/** Time in which the system must say which program has a port. */
const ASK_MS = 1_500;

/** The config.toml of this folder, as `arq init` writes it. Says on stderr which file is taken. */
async function configHere(io: Io): Promise<string> {
  const path = resolvePath(io.cwd, INIT_FILES.config);
  // A file that cannot be looked at is none.
  if ((await io.files.state(path).catch(() => undefined)) === undefined) {
    throw usageError(
      `which configuration? There is no ${INIT_FILES.config} in ${io.cwd}`,
      "give --config FILE; arq init writes one",
    );
  }
  await print(io.stderr, `arq: no --config, taking ${path}\n`);
  return INIT_FILES.config;
}

/** Runs the bus until the first signal and drains it. Returns 0 when it has drained. Logs go to stderr. */
export async function serveCommand(io: Io, flags: Flags): Promise<number> {
  await requireFiles(io.signal);
  const file = flags.config ?? await configHere(io);
  const { readConfigBytes, serveFile } = await import("../../serve/serve_main.ts");
  const { cwd, signal } = io;
  const path = resolvePath(cwd, file);
  const bytes = await readConfigBytes(io, path);
  try {
    await serveFile({
      ...{ file: path, bytes },
      folder: cwd,
      signal,
      async onReady(serving) {
        if (flags.json === true) await print(io.stdout, `${JSON.stringify(serving)}\n`);
      },
    });
  } catch (error) {
    const fix = (places: readonly Place[]) =>
      `stop it, or set ${
        places.map(({ table }) => `[${table}] port`).join(", ")
      } in ${file}; 0 picks a free one`;
    throw await startProblem(error, fix, AbortSignal.timeout(ASK_MS));
  }
  return EXIT.ok;
}
