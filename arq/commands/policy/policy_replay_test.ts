/** `arq policy replay` as its own process: exit codes, the file of flips, and Ctrl-C. */
import assert from "node:assert/strict";
import { readyModule } from "../../replay/replay_modules.ts";
import { refusesFrom } from "../../replay/testing/guest_text.ts";
import { builtModule, linesOf, MEMORY_PAGES, Recorder } from "../../replay/testing/recorded.ts";
import { folderWith } from "../../testing/disk_io.ts";
import { policyIn, startArq } from "../../testing/run_arq.ts";

const OLD = await refusesFrom(20);

async function folderWithJournal(count: number) {
  const recorder = new Recorder("size", await readyModule(OLD, MEMORY_PAGES));
  const record = (at: number) => recorder.record({ payload: "x".repeat(at % 41) });
  const records = Array.from({ length: count }, (_, at) => record(at));
  const modules = { "size.wasm": OLD, "new.wasm": await refusesFrom(30) };
  return { records, ...await folderWith({ "j.ndjson": linesOf(records), ...modules }) };
}

const replay = (cwd: string, code: number, ...args: string[]) =>
  policyIn(cwd, code, "replay", ...args);

Deno.test("replay: over threads every flip is written in order, and --max-flips decides the exit code", async () => {
  await using folder = await folderWithJournal(3_000);
  const { path, records } = folder;
  const same = await replay(path, 0, "size.wasm", "--journal", "j.ndjson");
  assert.match(same.stdout, /recorded module +3,000 repeated, all the same\n/);
  const args = ["new.wasm", "--policy", "size", "--module", "size.wasm", "--journal", "j.ndjson"];
  const flips = records.filter((_, at) => at % 41 >= 20 && at % 41 < 30);
  const found = await replay(path, 0, ...args, "--flips", "flips.ndjson", "--json");
  const { candidate: { refuse_to_allow, allow_to_refuse }, recorded } = JSON.parse(found.stdout);
  assert.deepEqual([refuse_to_allow, allow_to_refuse, recorded.same], [flips.length, 0, 3_000]);
  const written = (await Deno.readTextFile(`${path}/flips.ndjson`)).trimEnd().split("\n");
  assert.deepEqual(written.map((line) => JSON.parse(line).id), flips.map(({ id }) => id));
  const few = await replay(path, 6, ...args, "--max-flips", "10");
  assert.match(few.stdout, /\d+ flips are more than --max-flips 10\n$/);
  await replay(path, 6, ...args, "--max-flips", "10%");
  await replay(path, 0, ...args, "--max-flips", "50%");
});

Deno.test("replay: a record that does not repeat is named, with exit code 1", async () => {
  await using folder = await folderWithJournal(50);
  const { path, records } = folder;
  const [policy] = records[7]!.policies;
  const forged = { ...records[7]!, policies: [{ ...policy!, allowed: false, code: 418 }] };
  await Deno.writeTextFile(`${path}/j.ndjson`, linesOf(records.with(7, forged)));
  const { stdout } = await replay(path, 1, "size.wasm", "--journal", "j.ndjson");
  assert.match(stdout, /DIFFERENT: verdict, code 1\n/);
  assert.match(stdout, /different from what was recorded \(1\)\n.* shield-1\.8 {2}418 -> allowed/);
  assert.match(stdout, /1 of the recorded module's calls do not repeat as recorded\n$/);
});

Deno.test("replay: a different payload is reported even if both verdicts are equal", async () => {
  await using folder = await folderWithJournal(1);
  const { path } = folder;
  const mask = await builtModule("json_masking");
  const recorder = new Recorder("mask", await readyModule(mask, MEMORY_PAGES));
  const masked = recorder.record({ payload: '{"iban":"DE1"}' });
  await Deno.writeTextFile(`${path}/j.ndjson`, linesOf([masked]));
  await Deno.writeFile(`${path}/mask.wasm`, mask);
  const args = ["new.wasm", "--policy", "mask", "--journal", "j.ndjson", "--module", "mask.wasm"];
  const { stdout } = await replay(path, 0, ...args);
  assert.match(stdout, /allowed -> allowed \(other payload\) {2}\{"iban":"DE1"\}\n/);
});

Deno.test("replay: no file, no decision of the policy, none in the window: reported with exit code 1 or 2", async () => {
  await using folder = await folderWithJournal(5);
  const { path } = folder;
  const gone = await replay(path, 1, "size.wasm", "--journal", "gone.ndjson");
  assert.match(gone.stderr, /cannot read .*gone\.ndjson/);
  const folded = await replay(path, 1, "size.wasm", "--journal", ".");
  assert.match(folded.stderr, /cannot read .*: it is a folder\n/);
  const flips = ["--flips", "flips.ndjson"];
  const other = await replay(path, 1, "new.wasm", "--journal", "j.ndjson", ...flips);
  assert.match(other.stderr, /no decision of policy new; it has size\n/);
  // It left no file, which would block the corrected command line.
  await replay(path, 0, "size.wasm", "--journal", "j.ndjson", ...flips);
  const twice = await replay(path, 1, "size.wasm", "--journal", "j.ndjson", ...flips);
  assert.match(twice.stderr, /cannot write .*flips\.ndjson: it is there already\n/);
  const late = await replay(path, 1, "size.wasm", "--journal", "j.ndjson", "--since", "1h");
  assert.match(late.stderr, /no decision of policy size; 5 records are outside/);
  const wrong = await replay(path, 1, "size.wasm", "--journal", "size.wasm");
  assert.match(wrong.stderr, /not a journal: line 1: it is no JSON/);
  await replay(path, 2, "size.wasm", "--journal", "j.ndjson", "--from", "yesterday");
});

Deno.test("replay: a window in which nothing can be repeated is not called all the same", async () => {
  await using folder = await folderWithJournal(2);
  const { path, records } = folder;
  const erased = records.map((record) => ({ ...record, payload: { form: "erased" } as const }));
  await Deno.writeTextFile(`${path}/erased.ndjson`, linesOf(erased));
  const { stdout } = await replay(path, 1, "size.wasm", "--journal", "erased.ndjson");
  const none =
    /NOT JUDGED +2 of 2 decisions; .*\n +recorded module +0 repeated\n +not known +payload 2\n/;
  assert.match(stdout, none);
  assert.match(stdout, /no call could be repeated\n$/);
});

Deno.test("replay: calls that cannot be judged are reported first, and fail a gate unless --max-unknown allows them", async () => {
  await using folder = await folderWithJournal(40);
  const { path, records } = folder;
  const hashed = { form: "hash", sha256: "0".repeat(64), bytes: 1 } as const;
  const lines = records.map((one, at) => at % 4 === 0 ? { ...one, payload: hashed } : one);
  await Deno.writeTextFile(`${path}/j.ndjson`, linesOf(lines));
  const args = ["size.wasm", "--journal", "j.ndjson"];
  const replayed = await replay(path, 0, ...args);
  assert.match(
    replayed.stdout,
    /\n {2}NOT JUDGED +10 of 40 decisions; unknown: payload 10\n {2}rec/,
  );
  const gate = await replay(path, 6, ...args, "--max-flips", "0");
  assert.match(gate.stdout, /10 calls could not be judged: more than --max-unknown 0\n$/);
  await replay(path, 0, ...args, "--max-flips", "0", "--max-unknown", "10");
  await replay(path, 6, ...args, "--max-unknown", "24%");
  const { stdout } = await replay(path, 0, ...args, "--max-unknown", "25%", "--json");
  assert.equal(JSON.parse(stdout).candidate.not_judged, 10);
});

Deno.test("replay: Ctrl-C prints what was done, with exit code 130", async () => {
  await using folder = await folderWithJournal(600);
  const { path, records } = folder;
  const args = ["policy", "replay", "size.wasm", "--journal", "-", "--json"];
  const running = await startArq(args, { cwd: path, keep_stdin: true });
  const writer = running.child.stdin.getWriter();
  // More than a pipe's buffer: once it is written, arq is reading.
  await writer.write(new TextEncoder().encode(linesOf(records)));
  running.child.kill("SIGINT");
  const { code, stdout } = await running.result();
  await writer.close().catch(() => {});
  assert.equal(code, 130);
  const { interrupted, journal, recorded } = JSON.parse(stdout);
  assert.equal(interrupted, true);
  assert.equal(recorded.same, journal.decisions);
});

Deno.test("replay: for a file with several tenants --tenant selects one, and without it all count", async () => {
  await using folder = await folderWithJournal(40);
  const { path, records } = folder;
  const tenants = records.map((one, at) => ({ ...one, tenant: at % 4 === 0 ? "acme" : "globex" }));
  const about = { node: "n", from_ms: 1, to_ms: 2e12, records: 7, why: "queue-full" };
  const holes = ["acme", "globex"].map((tenant) => ({ format: 1, hole: { ...about, tenant } }));
  const lines = [...tenants, ...holes].map((one) => `${JSON.stringify(one)}\n`).join("");
  await Deno.writeTextFile(`${path}/j.ndjson`, lines);
  const found = async (...args: string[]) => {
    const all = ["size.wasm", "--journal", "j.ndjson", "--json", ...args];
    const { journal } = JSON.parse((await replay(path, 0, ...all)).stdout);
    return [journal.decisions, journal.outside, journal.holes];
  };
  assert.deepEqual(await found(), [40, 0, 2]);
  assert.deepEqual(await found("--tenant", "acme"), [10, 30, 1]);
  const none = await replay(path, 1, "size.wasm", "--journal", "j.ndjson", "--tenant", "other");
  assert.match(none.stderr, /the journal has no decision of policy size/);
});
