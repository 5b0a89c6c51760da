/**
 * `deno task release:wheel FOLDER`: installs the one wheel in the folder into an empty virtual environment, starts a
 * bus and runs `release_wheel.py` against it. The pipeline runs this on Linux, macOS and Windows before the wheel is
 * published; `deno task test:python` has the real tests.
 */
import type { DevBusReady } from "../../arq/serve/dev_bus.ts";
import { makeVenv, must } from "../checkout/programs.ts";
import { StreamedCommand } from "../checkout/streamed_command.ts";
import { readVersion } from "../gen/gen_version.ts";
import { ROOT } from "../checkout/source_files.ts";
import { temporaryFolder } from "../../shared/testing/temporary_folder.ts";

/** The absolute path of a path, which may be relative to the checkout's root. */
const below = (path: string) => /^([A-Za-z]:)?[\\/]/.test(path) ? path : `${ROOT}${path}`;

async function wheelIn(folder: string): Promise<string> {
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  const [wheel, ...more] = names.filter((name) => name.endsWith(".whl"));
  if (wheel === undefined || more.length > 0) {
    throw new Error(`${folder} has ${names.length} files; one wheel must be among them`);
  }
  return `${folder}/${wheel}`;
}

/** Starts a bus, which ends with the scope; its first line is its `DevBusReady`. */
function startBus(state_dir: string): StreamedCommand {
  const options = JSON.stringify({ state_dir, port: 0, ops_port: 0, admin_port: 0 });
  const run = [Deno.execPath(), "run", "-A", "--unstable-worker-options", "--unstable-net"];
  // The bus ends when its stdin ends.
  return StreamedCommand.start([...run, "tasks/dev/dev_bus.ts", options], {
    cwd: ROOT,
    stdin: "piped",
    stderr: "inherit",
  });
}

async function main(folder: string | undefined): Promise<void> {
  if (folder === undefined) throw new Error("Usage: deno task release:wheel FOLDER");
  const wheel = await wheelIn(below(folder));
  const version = readVersion(await Deno.readTextFile(`${ROOT}deno.json`));
  await using temporary = await temporaryFolder();
  const python = `${await makeVenv(`${temporary.path}/venv`, [wheel])}/python`;
  await using bus = startBus(temporary.path);
  const { url, token }: DevBusReady = JSON.parse(await bus.firstLine());
  const args = [`${ROOT}tasks/release/release_wheel.py`, url, token, version];
  console.log(`${wheel}: ${(await must(python, args)).text}`);
}

if (import.meta.main) {
  try {
    await main(Deno.args[0]);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exit(1);
  }
}
