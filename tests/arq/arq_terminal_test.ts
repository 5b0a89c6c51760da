/**
 * Every command of `arq`, in a terminal and in a pipe, as its own process against a real bus. Its output is tested
 * beside its source; here it must exit well, and leave the terminal in order.
 */
import assert from "node:assert/strict";
import { describeCommand, everyCommand } from "../../arq/completion/command_tree.ts";
import type { CommandInfo } from "../../arq/completion/command_tree.ts";
import { buildProgram } from "../../arq/program/program.ts";
import { inTerminal, runIn, type Seen, stopAfter, type Way, type Where } from "./arq_terminal.ts";
import { FIRST, type Row, stories, type Story } from "./arq_terminal_rows.ts";
import { arqCommand, succeeds } from "../../arq/testing/run_arq.ts";
import { startBusWith, type TestBus } from "../harness/bus.ts";

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const PROGRAM = describeCommand(buildProgram(() => () => Promise.resolve()));
const RUNNABLE = everyCommand(PROGRAM).filter(({ is_runnable }) => is_runnable);
const ESCAPE = "\u001b";
/** Sequences that move the cursor or clear. */
const CODE = new RegExp(`${ESCAPE}\\[[?\\d]*[A-Za-z]`, "g");
const COLOR = new RegExp(`${ESCAPE}\\[3\\dm`);
const AT_ONCE = 2;

/** A folder and a context of its own, whose tenant is named after the way. */
async function placeFor(way: Way, bus: TestBus, folder: string): Promise<Where> {
  const where = { cwd: `${folder}/${way}`, config_home: `${folder}/config-${way}` };
  await Deno.mkdir(where.cwd);
  const { url, admin_url, ops_url } = bus;
  const key = `${ROOT}/.arqon/dev-key.json`;
  const args = ["context", "add", way, "--url", url, "--admin-url", admin_url, "--ops-url"];
  const signed = ["--key", key, "--issuer", "arqon-dev", "--audience", "arqon", "--tenant", way];
  succeeds(await runIn("pipe", [...args, ops_url, ...signed, "--use"], [], where));
  return where;
}

async function addFiles({ cwd }: Where): Promise<void> {
  const config = await Deno.readTextFile(`${cwd}/config.toml`);
  const served = config.replaceAll(/^port = \d+/gm, "port = 0");
  await Deno.writeTextFile(`${cwd}/served.toml`, served);
  await Deno.writeTextFile(`${cwd}/events.ndjson`, "1\n2\n3\n");
  // A folder that manages nothing: other stories change everything it could manage.
  await Deno.mkdir(`${cwd}/desired`);
  await Deno.writeTextFile(`${cwd}/desired/tenant.toml`, 'tenant = "default"\n');
  await Deno.writeTextFile(`${cwd}/event.json`, '{"never":"a field"}');
}

/** The terminal is restored: cursor shown, alternate screen left, colors reset. */
function checkTerminal({ stdout }: Seen, what: string): void {
  const codes = stdout.split(ESCAPE).slice(1);
  const last = (pattern: RegExp) =>
    codes.findLast((code) => pattern.test(code))?.match(pattern)?.[0];
  assert.notEqual(last(/^\[\?25[hl]/), "[?25l", `${what} hides the cursor`);
  assert.notEqual(last(/^\[\?1049[hl]/), "[?1049h", `${what} keeps its screen`);
  const color = last(/^\[[\d;]*m/);
  assert.ok(color === undefined || /\[0?m$/.test(color), `${what} leaves a color on`);
}

function check(seen: Seen, { code = 0, shows }: Row, way: Way, what: string): void {
  assert.deepEqual([seen.code, seen.waits_for], [code, undefined], what);
  if (shows !== undefined) assert.match(seen.stdout + seen.stderr, shows, what);
  if (way === "terminal") checkTerminal(seen, what);
  else assert.ok(!(seen.stdout + seen.stderr).includes(ESCAPE), `an escape code: ${what}`);
}

/** Runs the rows in order, also after a failure; returns the words of their commands. */
async function tell(story: Story, way: Way, where: Where, problems: string[]): Promise<string[]> {
  const run: string[] = [];
  let last = "";
  for (const row of story) {
    const args = typeof row.args === "function" ? row.args(last) : row.args;
    const seen = await runIn(way, args, row.steps ?? [], where);
    const what = `arq ${args.join(" ")} in a ${way}:\n${seen.stdout}${seen.stderr}`;
    try {
      check(seen, row, way, what);
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error));
    }
    last = seen.stdout;
    run.push(commandOf(args));
  }
  return run;
}

function commandOf(args: readonly string[]): string {
  let command: CommandInfo = PROGRAM;
  for (const word of args) {
    const next = command.commands.find(({ path }) => path.at(-1) === word);
    if (next === undefined) break;
    command = next;
  }
  return command.path.join(" ");
}

/** The work of both ways, a limited number of stories at a time. */
async function tellAll(work: readonly (() => Promise<string[]>)[]): Promise<string[]> {
  const left = [...work];
  const run: string[] = [];
  const teller = async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      run.push(...await next());
    }
  };
  const tellers = await Promise.allSettled(Array.from({ length: AT_ONCE }, teller));
  for (const one of tellers) if (one.status === "rejected") throw one.reason;
  return run;
}

/** The window becomes smaller: the next view fits, and Ctrl-C restores the terminal. */
async function resized(where: Where): Promise<void> {
  const HOME = `${ESCAPE}[H`;
  const args = ["top", "--interval", "0.2"];
  const steps = [
    { until: "shield", resize: [6, 40] as const },
    { until: `${HOME}20` },
    { until: `${HOME}20` },
    ...stopAfter(HOME),
  ];
  const seen = await runIn("terminal", args, steps, { ...where, window: [30, 120] });
  assert.deepEqual([seen.code, seen.waits_for], [130, undefined], seen.stdout);
  checkTerminal(seen, "top");
  const views = seen.stdout.split(HOME);
  assert.ok(views[1]?.includes("rejects/s"), `it did not fill the large window: ${views[1]}`);
  const lines = (views[4] ?? "").replaceAll(CODE, "").split("\r\n");
  assert.ok(lines.length <= 6 && lines.every((line) => line.length <= 40), lines.join("\n"));
}

/** A progress bar on stderr hides the cursor while it grows. */
async function barStops(where: Where): Promise<void> {
  const lines = Array.from({ length: 100 }, (_, index) => `${index}\n`).join("");
  await Deno.writeTextFile(`${where.cwd}/slow.ndjson`, lines);
  const args = ["pub", "lobby", "--ndjson", "slow.ndjson", "--rate", "10"];
  const seen = await runIn("terminal", args, stopAfter("% |"), where);
  assert.deepEqual([seen.code, seen.waits_for], [130, undefined], seen.stdout);
  checkTerminal(seen, "pub");
}

/** Colors are for terminals, unless NO_COLOR is set; help is as wide as the window. */
async function manners(where: Where): Promise<void> {
  const doctor = ["doctor", "--config", "served.toml"];
  const colored = await runIn("terminal", doctor, [], where);
  assert.ok(COLOR.test(colored.stdout), colored.stdout);
  const plain = await runIn("terminal", doctor, [], { ...where, env: { NO_COLOR: "1" } });
  assert.ok(!COLOR.test(plain.stdout), plain.stdout);
  const help = await runIn("terminal", ["sub", "--help"], [], { ...where, window: [24, 60] });
  const long = help.stdout.split("\r\n").filter((line) => line.length > 60);
  // An example is not wrapped, so that it can be copied.
  assert.ok(long.every((line) => line.startsWith("  arq ")), long.join("\n"));
  // A terminal may not tell its size.
  const sizeless = await runIn("terminal", ["sub", "--help"], [], { ...where, window: [0, 0] });
  assert.match(sizeless.stdout, /^Usage: arq sub \[options\] <room/);
}

/** Refusals of a bus, as a script reads them, and a reader that goes away. */
async function refused(bus: TestBus, where: Where): Promise<void> {
  const token = await bus.tokenFor({ role: "admin", ttl_seconds: -3_600 });
  const cases: [string[], string][] = [
    [["policy", "list", "--json", "--token", token], "token-expired"],
    [["pub", "lobby", "1", "--json", "--token", token], "token-expired"],
    [["top", "--json", "--token", bus.token], "role-forbidden"],
  ];
  for (const [args, reason] of cases) {
    const { code, stdout, stderr } = await runIn("pipe", args, [], where);
    assert.deepEqual([code, stdout], [3, ""], stderr);
    const { error } = JSON.parse(stderr);
    assert.deepEqual([error.reason, error.exit], [reason, 3], stderr);
    assert.ok(error.hint !== undefined && !stderr.includes("eyJ"), stderr);
  }
  const command = [...await arqCommand(), "room", "history", "kept-1"];
  const quoted = command.map((word) => `'${word}'`).join(" ");
  const seen = await inTerminal(
    ["bash", "-c", `set -o pipefail; ${quoted} | head -n 1`],
    [],
    where,
  );
  assert.deepEqual([seen.code, /hello/.test(seen.stdout)], [0, true], seen.stdout);
}

Deno.test("every command runs in a terminal and in a pipe", async (t) => {
  await using bus = await startBusWith(
    '[[rooms]]\nroom = "kept-*"\ndurable = true\nproof = true\n[usage]\nenabled = true\n',
  );
  const folder = await Deno.makeTempDir({ prefix: "arq-terminal-" });
  const ways: Way[] = ["terminal", "pipe"];
  const places = await Promise.all(ways.map((way) => placeFor(way, bus, folder)));
  const both = (work: (way: Way, where: Where) => (() => Promise<string[]>)[]) =>
    tellAll(ways.flatMap((way, index) => work(way, places[index] as Where)));
  const problems: string[] = [];
  const first = await both((way, where) => [() => tell(FIRST, way, where, problems)]);
  await Promise.all(places.map(addFiles));
  const run = await both((way, where) =>
    stories(way).map((story) => () => tell(story, way, where, problems))
  );
  assert.equal(problems.length, 0, problems.join("\n\n"));
  await t.step("no command is left out", () => {
    const done = [...first, ...run];
    for (const { path } of RUNNABLE) {
      const times = done.filter((words) => words === path.join(" ")).length;
      assert.ok(times >= 2, `${path.join(" ")} is in no row of arq_terminal_rows.ts`);
    }
  });
  const [terminal] = places as [Where, Where];
  await t.step(
    "a refusal is an object for a script, and head may go",
    () => refused(bus, terminal),
  );
  await t.step("a view fits a window that becomes smaller", () => resized(terminal));
  await t.step("Ctrl-C removes the progress bar", () => barStops(terminal));
  await t.step("colors and width follow the terminal", () => manners(terminal));
  await Deno.remove(folder, { recursive: true });
});
