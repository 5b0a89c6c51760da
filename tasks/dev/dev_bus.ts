/**
 * The process of `deno task dev`'s bus: the development bus of `arq/serve/`. Its supervisor `dev.ts` starts and
 * restarts it. It prints one JSON line on stdout when it is ready, and ends with its stdin, so that it never outlives
 * its supervisor.
 */
import { CommandError } from "../../arq/terminal/exit.ts";
import { serveDev } from "../../arq/serve/dev_bus.ts";
import { busProcess } from "../../arq/serve/serve_main.ts";
import { ConfigError } from "../../shared/config/load.ts";
import {
  endWith,
  EXIT_FAILED,
  EXIT_USAGE,
  stopSignal,
  textOf,
} from "../../shared/process/process.ts";

const PROGRAM = "dev";

if (import.meta.main) {
  // The supervisor holds our stdin open. When the supervisor ends for any reason, this process ends too.
  const orphaned = () => Deno.stdin.readable.pipeTo(new WritableStream()).catch(() => {});
  const process = busProcess({
    program: PROGRAM,
    stopping: (log) => Promise.race([stopSignal(PROGRAM, log), orphaned()]),
  });
  try {
    await serveDev(JSON.parse(Deno.args[0] ?? "{}"), process, (ready) => {
      Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(ready) + "\n"));
    });
  } catch (error) {
    // Its log may not be written yet.
    if (error instanceof CommandError) {
      const { message, hint, exit_code } = error;
      await endWith(PROGRAM, exit_code, hint === undefined ? message : `${message}\n${hint}`);
    }
    const code = error instanceof ConfigError ? EXIT_USAGE : EXIT_FAILED;
    await endWith(PROGRAM, code, textOf(error));
  }
  Deno.exit(0);
}
