/**
 * Follows a page's instructions, as `deno task readme` does, in parallel with other tests: in an empty folder, with the
 * checkout's `arq` unless another is given, without the commands that make `arq` from a clone. The page's bus uses free
 * ports, which replace the usual ones in the commands. At a step that packs the checkout, which is not in that folder,
 * it ends: `deno task readme` covers that.
 */
import { dirname } from "node:path";
import { ROOT } from "../../tasks/checkout/source_files.ts";
import { doSteps } from "../../tasks/readme/reader.ts";
import { readSteps } from "../../tasks/readme/readme_steps.ts";
import { freePorts } from "../harness/free_ports.ts";
import { atEnd } from "../../shared/testing/at_end.ts";

/** A reader's `arq`: program and first arguments. */
export type ReadersArq = readonly string[];

/** Installs `arq` into a reader's empty folder, or only returns its path. */
export type Install = (folder: string) => Promise<ReadersArq>;

/** Deno's arguments for the checkout's `arq`, as `deno task arq` has them. */
async function checkoutArq(): Promise<string[]> {
  const { tasks } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  const words = String(tasks.arq).split(" ");
  if (words[0] !== "deno" || words[1] !== "run" || words.at(-1) !== "arq/main.ts") {
    throw new Error(`deno.json: the task arq is not "deno run … arq/main.ts", but ${tasks.arq}`);
  }
  const flags = words.slice(2, -1);
  return ["run", "--quiet", "--config", `${ROOT}deno.json`, ...flags, `${ROOT}arq/main.ts`];
}

/** `arq` finds `deno` next to it, as with `npx -y deno task`. */
const checkout: Install = async () => {
  const withDeno = ["sh", "-c", 'PATH="$PATH:$0" exec "$@"', dirname(Deno.execPath())];
  return [...withDeno, Deno.execPath(), ...await checkoutArq()];
};

/**
 * Follows a page; rejects with the line of the page that does not hold. `look` runs at the end of the page, while its
 * processes still run.
 */
export async function follow(
  page: string,
  install: Install = checkout,
  look?: () => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "arqon_tutorial_" });
  const [port, ops_port, admin_port] = freePorts(3);
  const local = page.replaceAll("127.0.0.1:4000", `127.0.0.1:${port}`).replace(
    /^arq dev --embedded.*$/m,
    `$& --port ${port} --ops-port ${ops_port} --admin-port ${admin_port}`,
  );
  const steps = readSteps(local).filter(({ text }) => !text.startsWith("arq() {"));
  const pack = steps.findIndex(({ kind, text }) => kind === "run" && text.includes("task pack"));
  const followed = pack < 0 ? steps : steps.slice(0, pack);
  await using _end = atEnd(() => Deno.remove(folder, { recursive: true }));
  const words = (await install(folder)).map((word) => `'${word}'`).join(" ");
  const setting = { folder, prelude: `arq() { ${words} "$@"; }` };
  for await (const { step, problem } of doSteps(followed, setting)) {
    if (problem !== undefined) throw new Error(`line ${step.line}: ${problem}`);
    if (step === followed.at(-1)) await look?.();
  }
}
