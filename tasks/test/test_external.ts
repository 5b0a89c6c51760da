/**
 * `deno task test:external DIR [paths and options of deno test]`: runs the tests in `tests/external`, which need data
 * outside of the checkout. They receive the absolute path of DIR as `Deno.args[0]`. A missing folder is a failure with
 * the remedy; no test is skipped silently.
 */
import { isAbsolute, resolve } from "node:path";
import { finish, runTests } from "./run_tests.ts";

const USAGE = `usage: deno task test:external DIR
DIR is the folder with the shared test data; it must hold events/events.ndjson.
In the layout of this project it is ../shared/data beside the checkout.`;

/** The absolute path of the given folder; a relative path is relative to the caller's working directory. */
export function dataFolder(argument: string, called_in: string): string {
  return isAbsolute(argument) ? argument : resolve(called_in, argument);
}

function fail(problem: string): never {
  console.error(`${problem}\n${USAGE}`);
  console.log("0 passed, 1 failed");
  Deno.exit(2);
}

if (import.meta.main) {
  const [argument, ...rest] = Deno.args;
  if (argument === undefined) fail("no data folder given");
  const folder = dataFolder(argument, Deno.env.get("INIT_CWD") ?? Deno.cwd());
  const found = await Deno.stat(`${folder}/events/events.ndjson`).catch(() => undefined);
  if (found?.isFile !== true) fail(`${folder} has no events/events.ndjson`);
  const paths = rest.length > 0 ? rest : ["tests/external"];
  finish(await runTests([...paths, "--", folder]));
}
