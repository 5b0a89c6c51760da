/**
 * Events with planted violations of a schema, and what `arq schema check --traffic` names of them: each one
 * of them, and no other. The events stand in a journal in a file; no bus runs.
 */
import { readyModule } from "../../arq/replay/replay_modules.ts";
import { refusesFrom } from "../../arq/replay/testing/guest_text.ts";
import { MEMORY_PAGES, Recorder } from "../../arq/replay/testing/recorded.ts";
import { runArq } from "../../arq/testing/run_arq.ts";
import type { JournalRecord } from "../../shared/journal/record.ts";
import type { Say } from "../harness/task.ts";
import type { Verdict } from "../harness/verdict.ts";
import { createRandom } from "../presence_simulation/random.ts";

/** What is to be done. */
export interface PlantedPlan {
  readonly events: number;
  /** Of these, so many violate the schema. */
  readonly planted: number;
  readonly seed: number;
}

const PROTO = `syntax = "proto3";
package fleet.v1;
import "buf/validate/validate.proto";
message Vehicle {
  string id = 1 [(buf.validate.field).string.min_len = 1];
  uint32 speed = 2 [(buf.validate.field).uint32.lte = 300];
  repeated Stop stops = 3;
}
message Stop { double lat = 1 [(buf.validate.field).double.lte = 90]; }
`;

/** What is planted: an event that is wrong in one place, and what has to be said of it. */
const WRONG = [
  { change: { id: "" }, path: "id", rule: "string.min_len" },
  { change: { speed: 301 }, path: "speed", rule: "uint32.lte" },
  { change: { stops: [{ lat: 1 }, { lat: 91 }] }, path: "stops[1].lat", rule: "double.lte" },
] as const;
/** Lines that are written at once. */
const WRITTEN = 5_000;
const encoder = new TextEncoder();

/** A record like any other, to be changed. */
async function template(): Promise<JournalRecord> {
  const module = await readyModule(await refusesFrom(1_000_000), MEMORY_PAGES);
  return { ...new Recorder("p", module).record({ payload: "{}" }), policies: [] };
}

/** Different places, as many as are wanted. */
function placesOf({ events, planted, seed }: PlantedPlan): ReadonlySet<number> {
  const random = createRandom(seed);
  const places = new Set<number>();
  while (places.size < Math.min(planted, events)) places.add(random.int(0, events - 1));
  return places;
}

/** Writes the journal; gives what has to be named, by the ids of records. */
async function writeJournal(path: string, plan: PlantedPlan): Promise<Map<string, string>> {
  const places = placesOf(plan);
  const record = await template();
  const expected = new Map<string, string>();
  using file = await Deno.open(path, { write: true, create: true });
  const writer = file.writable.getWriter();
  let lines: string[] = [];
  for (let at = 0; at < plan.events; at++) {
    const vehicle = { id: `v${at}`, speed: at % 300, stops: [{ lat: 1 }, { lat: at % 90 }] };
    const wrong = places.has(at) ? WRONG[expected.size % WRONG.length] : undefined;
    const id = `shield-1.${at + 1}`;
    if (wrong !== undefined) expected.set(id, `${wrong.path} ${wrong.rule}`);
    const data = encoder.encode(JSON.stringify({ ...vehicle, ...wrong?.change })).toBase64();
    const sender = { ...record.sender!, user: `u${at % 1_000}` };
    const about = { id, time_ms: record.time_ms + at, room: `vehicles-${at % 50}`, sender };
    lines.push(JSON.stringify({ ...record, ...about, payload: { form: "kept", data } }));
    if (lines.length < WRITTEN && at + 1 < plan.events) continue;
    await writer.write(encoder.encode(`${lines.join("\n")}\n`));
    lines = [];
  }
  await writer.close();
  return expected;
}

/** What of `arq schema check --traffic --json` counts here. */
interface Checked {
  readonly checked: number;
  readonly refused: number;
  readonly events: readonly {
    readonly id: string;
    readonly path: string;
    readonly rule: string;
  }[];
}

/** Plants violations and says what was not named, and what was named without reason. */
export async function plantEvents(plan: PlantedPlan, say: Say): Promise<Verdict> {
  const dir = await Deno.makeTempDir({ prefix: "planted-" });
  try {
    const expected = await writeJournal(`${dir}/events.ndjson`, plan);
    await Deno.writeTextFile(`${dir}/fleet.proto`, PROTO);
    say(`${plan.events} events are written, ${expected.size} of them with a violation`);
    const source = ["fleet.proto", "--against", "fleet", "--message", "fleet.v1.Vehicle"];
    const traffic = ["--traffic", "vehicles-*", "--journal", "events.ndjson", "--json"];
    const began_ms = performance.now();
    const ran = await runArq(["schema", "check", ...source, ...traffic], { cwd: dir });
    const seconds = ((performance.now() - began_ms) / 1_000).toFixed(1);
    if (ran.stdout === "") throw new Error(`arq ended with ${ran.code}: ${ran.stderr}`);
    const answer: Checked = JSON.parse(ran.stdout);
    say(`${answer.checked} events were checked in ${seconds} s: ${answer.refused} are named`);
    return { problems: problemsOf(plan, expected, answer), seed: plan.seed };
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function problemsOf(
  { events }: PlantedPlan,
  expected: ReadonlyMap<string, string>,
  answer: Checked,
): string[] {
  const problems: string[] = [];
  if (answer.checked !== events) problems.push(`${answer.checked} of ${events} were checked`);
  const named = new Map(answer.events.map(({ id, path, rule }) => [id, `${path} ${rule}`]));
  for (const [id, what] of expected) {
    const said = named.get(id);
    if (said !== what) problems.push(`${id}: ${what} was planted, ${said ?? "nothing"} was named`);
  }
  for (const [id, said] of named) {
    if (!expected.has(id)) problems.push(`${id}: ${said} was named, nothing was planted`);
  }
  return problems;
}
