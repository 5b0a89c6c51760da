/**
 * `deno task model:planted [--only NAME,…]`: plants the faults of `planted/`, one at a time, into a copy of the
 * checkout, and runs the rows of the model there: each must be found. Says for each the first row that was wrong and
 * the first wrong fact, and what is not found; exits 1 then. `plants_test.ts` says whether the patches fit.
 */
import { copyCheckout } from "../checkout_copy.ts";
import { names } from "../harness/task_arguments.ts";
import { runTask } from "../harness/task.ts";
import { type Plant, readPlants } from "./plants.ts";
import { atEnd } from "../../shared/testing/at_end.ts";

/** Applies the patch to the checkout in the folder, or reverts it. Rejects if it does not apply. */
async function applied(
  { name, path }: Plant,
  folder: string,
  ...options: "--reverse"[]
): Promise<void> {
  const command = new Deno.Command("git", {
    args: ["apply", ...options, path],
    cwd: folder,
    stderr: "piped",
  });
  const { success, stderr } = await command.output();
  if (!success) throw new Error(`${name} does not fit: ${new TextDecoder().decode(stderr)}`);
}

async function run(folder: string, ...args: string[]): Promise<{ is_good: boolean; text: string }> {
  const { success: is_good, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: folder,
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1" },
  }).output();
  const [output, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { is_good, text: `${errors}\n${output}` };
}

/** Runs the rows up to the first wrong one; what was wrong about it, "" for nothing. */
async function firstWrong(folder: string, name = "", test?: string): Promise<string> {
  const options = ["--no-check", "--allow-all", "--unstable-worker-options", "--unstable-net"];
  const { is_good, text } = test === undefined
    ? await run(folder, "run", ...options, "tests/model/planted_rows.ts", name)
    : await run(folder, "test", ...options, "--fail-fast", `tests/model/${test}`);
  if (is_good) return "";
  const lines = text.split("\n");
  const row = lines.findIndex((line) => /^row |replay of /.test(line));
  if (row < 0) throw new Error(`the rows did not run: ${text.slice(0, 500)}`);
  return lines.slice(row, row + 2).join("\n").slice(0, 700);
}

/** What the rows say of the fault; "": nothing. */
async function plantedIn(folder: string, plant: Plant): Promise<string> {
  await applied(plant, folder);
  await using _end = atEnd(() => applied(plant, folder, "--reverse"));
  return await firstWrong(folder, plant.name, plant.test);
}

const USAGE = {
  command: "deno task model:planted",
  about:
    `Plants faults, one at a time, into a copy of the checkout. Exits 1 when the rows of tests/model do not
find one.`,
  options: { only: names("these faults alone") },
};

if (import.meta.main) {
  await runTask(USAGE, Deno.args, async ({ only }, say) => {
    const folder = await Deno.makeTempDir({ prefix: "arqon-planted-" });
    const problems: string[] = [];
    try {
      await copyCheckout(folder);
      if (only.length === 0) {
        const wrong = await firstWrong(folder);
        if (wrong !== "") return { problems: [`without a fault the rows do not pass: ${wrong}`] };
      }
      for (const plant of await readPlants()) {
        if (only.length > 0 && !only.includes(plant.name)) continue;
        const wrong = await plantedIn(folder, plant);
        say(wrong === "" ? `NOT FOUND: ${plant.fault}` : `found: ${plant.fault}: ${wrong}`);
        if (wrong === "") problems.push(plant.name);
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
    return { problems };
  });
}
