/**
 * The scenario `replay`: decisions a second and core that a replay repeats, from the lines of a journal on. A
 * repeater runs in this process, so the CPU time of the process is its own.
 */
import process from "node:process";
import { createRepeater } from "../../arq/replay/repeater.ts";
import { isSelected } from "../../arq/replay/selection.ts";
import { journalChunks } from "../../arq/replay/journal_chunks.ts";
import { readyModule } from "../../arq/replay/replay_modules.ts";
import type { ReplayModule } from "../../arq/replay/repeater.ts";
import { type JournalRecord, RECORD_FORMAT } from "../../shared/journal/record.ts";
import { instantiateGuest } from "../../shield/policy/abi/host_abi.ts";
import { METER_VERSION, UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";
import type { OptionValues, Scenario, ScenarioResult } from "../measure/scenario.ts";
import { positive, ROOT, text } from "../measure/scenario.ts";
import { median } from "../measure/statistics.ts";
import { renderRows } from "../measure/table.ts";

const HELP =
  `replay              decisions a second and core that arq policy replay repeats: bad_words on
                    200 B, by the recorded module alone, and by it and another one
  --decisions N     records of the journal (50000)
  --rounds N        turns of each; medians over them count (5)
`;

/** The aim: decisions a second and core. */
const AIM = 50_000;
const PAYLOAD_BYTES = 200;

/** One turn: decisions a second of CPU time. */
interface Turn {
  readonly kind: "recorded module" | "and a new one";
  readonly per_cpu_second: number;
}

const FUEL = 10_000;
const MEMORY_PAGES = 64;

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

async function built(name: string): Promise<ReplayModule> {
  const bytes = await Deno.readFile(`${ROOT}/policies/build/${name}.wasm`);
  return await readyModule(bytes, MEMORY_PAGES);
}

/** The record of a message of which the module reads nothing but the payload. */
function recordOf(at: number, data: Uint8Array, ran: ReturnType<Guest["call"]>, sha256: string) {
  const { allowed, code, reason, units } = ran;
  const policy: JournalRecord["policies"][number] = {
    ...{ name: "bad_words", module: sha256, abi: 1, mode: "enforce", allowed, code, reason },
    ...{ fault: null, detail: "", units, budget_units: FUEL * UNITS_PER_FUEL, asking_bytes: 300 },
    ...{ has_read_payload: true, reads: [], writes: [], added_headers: [], payload: null },
    logs: [],
  };
  const record: JournalRecord = {
    ...{ format: RECORD_FORMAT, id: `s1.${at}`, time_ms: 1_700_000_000_000 + at, node: "s1" },
    ...{ tenant: "default", hook: "on_message", room: "lobby", trace: null, message_id: null },
    ...{ offset: null, type: "chat", content_type: "application/json", allowed, code },
    sender: { user: "ann", connection: "c1", remote_ip: "127.0.0.1" },
    payload: { form: "kept", data: data.toBase64() },
    ...{ reason: allowed ? "" : "policy-rejected", message: reason, schema: null },
    ...{ chain_version: 1, meter_version: METER_VERSION, policies: [policy] },
  };
  return JSON.stringify(record);
}

type Guest = ReturnType<typeof instantiateGuest>;

/** The lines of a journal, in which every fiftieth message was refused. */
function linesOf(decisions: number, recorded: ReplayModule): Uint8Array {
  const guest = instantiateGuest(recorded);
  const encoder = new TextEncoder();
  const filling = "the quick brown fox jumps over the lazy dog ".repeat(8);
  const lines = Array.from({ length: decisions }, (_, at) => {
    const head = `{"n":${at},"text":"${at % 50 === 0 ? "malware " : ""}`;
    const payload = encoder.encode(`${head}${filling}`.slice(0, PAYLOAD_BYTES - 2) + '"}');
    const request = { header: () => undefined, claim: () => undefined, payload };
    return recordOf(at, payload, guest.call("on_message", request, FUEL), recorded.sha256);
  });
  return encoder.encode(lines.join("\n"));
}

async function measure(decisions: number, rounds: number): Promise<Turn[]> {
  const recorded = await built("bad_words");
  const other = await built("bad_words_wat");
  const lines = linesOf(decisions, recorded);
  const turns: Turn[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const kind of ["recorded module", "and a new one"] as const) {
      const repeater = createRepeater({
        isSelected,
        selection: { policy: "bad_words" },
        candidate: kind === "recorded module" ? recorded : other,
        moduleOf: () => Promise.resolve(recorded),
      });
      const began = cpuSeconds();
      for await (const chunk of journalChunks(new Blob([lines.slice()]).stream(), "the bench")) {
        await repeater.feed(chunk);
      }
      const { tally } = repeater;
      if (tally.recorded.repeated !== decisions) throw new Error("not every decision was repeated");
      turns.push({ kind, per_cpu_second: decisions / (cpuSeconds() - began) });
    }
  }
  return turns;
}

function render(turns: readonly Turn[]): string {
  const rows = (["recorded module", "and a new one"] as const).map((kind) => {
    const mine = turns.filter((turn) => turn.kind === kind).map((turn) => turn.per_cpu_second);
    return [kind, String(mine.length), median(mine).toFixed(0), String(AIM)];
  });
  return renderRows(["replay of bad_words on 200 B", "turns", "decisions/s and core", "aim"], rows);
}

async function run(values: OptionValues): Promise<ScenarioResult> {
  const turns = await measure(positive(values, "decisions"), positive(values, "rounds"));
  return { report: { turns }, table: render(turns) };
}

/** The scenario of `deno task bench replay`. */
export const REPLAY: Scenario = {
  name: "replay",
  help: HELP,
  options: { decisions: text("50000"), rounds: text("5") },
  run,
};
