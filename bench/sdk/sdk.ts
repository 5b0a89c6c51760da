/**
 * The scenario `sdk`: what the SDKs cost compared with the WebSocket libraries on which they are built, in
 * CPU time of the client's process. `run.ts` runs the clients `client.ts` and `client.py`.
 */
import { positive, ROOT, text, UsageError } from "../measure/scenario.ts";
import type { OptionValues, Scenario, ScenarioResult } from "../measure/scenario.ts";
import { median } from "../measure/statistics.ts";
import { renderRows } from "../measure/table.ts";
import { LOADS, PARTS } from "./plan.ts";
import type { Load, Part } from "./plan.ts";
import { LANGUAGES, measure } from "./run.ts";
import type { ClientRun, Language, SdkPlan } from "./run.ts";

const HELP =
  `sdk: messages for each CPU second of a client, with each SDK beside its WebSocket library
alone and that library with the decoder of frames. Same bus, same frames, in turns. The Python SDK
is measured with the environment that \`deno task test:python\` makes.

  --only NAMES      of typescript,python (both)
  --rounds N        medians count (3)
  --messages N      of each client on Deno; a Python one gets a fourth (200000)
  --bytes N         data of a message (100)
  --quick           a fourth of the messages
`;

/** Python takes about so many times as long. */
const PYTHON_SLOWER = 4;
const QUICK = 4;

/** The figures of one client: medians of the rounds. */
export interface SdkRow {
  readonly language: Language;
  readonly load: Load;
  readonly part: Part;
  /** Messages per second of CPU time. */
  readonly per_cpu_second: number;
  /** Ratio to the library alone, in the same round. */
  readonly of_raw: number;
  /** Ratio to the library with the decoder, in the same round. */
  readonly of_decoded: number;
  /** Messages in a frame; 0 when it is not counted, as in the SDK. */
  readonly messages_per_frame: number;
}

/** The rows of the table: one for each language, load and part that ran. */
export function rowsOf(runs: readonly ClientRun[]): SdkRow[] {
  const rate = ({ messages, cpu_us }: ClientRun) => messages * 1e6 / cpu_us;
  const kinds = LANGUAGES.flatMap((language) =>
    LOADS.flatMap((load) => PARTS.map((part) => ({ language, load, part })))
  );
  return kinds.flatMap((kind) => {
    const of = (part: Part) =>
      runs.filter((one) =>
        one.language === kind.language && one.load === kind.load && one.part === part
      ).sort((a, b) => a.round - b.round);
    const own = of(kind.part);
    if (own.length === 0) return [];
    const against = (part: Part) => {
      const others = of(part);
      return median(own.map((one, at) => rate(one) / rate(others[at]!)));
    };
    return [{
      ...kind,
      per_cpu_second: median(own.map(rate)),
      of_raw: against("raw"),
      of_decoded: against("decoded"),
      messages_per_frame: median(
        own.map(({ messages, frames }) => frames === 0 ? 0 : messages / frames),
      ),
    }];
  });
}

function render(rows: readonly SdkRow[]): string {
  const library = { typescript: "WebSocket of Deno", python: "websockets" };
  const named = (row: SdkRow) =>
    ({
      raw: library[row.language],
      decoded: `${library[row.language]} + decoder`,
      sdk: row.language === "python" ? "arqon-sdk" : "@arqon/sdk",
    })[row.part];
  return renderRows(
    ["client", "load", "messages / CPU s", "of library", "of decoder", "per frame"],
    rows.map((row) => [
      named(row),
      row.load,
      row.per_cpu_second.toFixed(0),
      row.of_raw.toFixed(2),
      row.of_decoded.toFixed(2),
      row.messages_per_frame === 0 ? "" : row.messages_per_frame.toFixed(1),
    ]),
  );
}

function languagesOf(values: OptionValues): Language[] {
  const names = String(values.only).split(",");
  const known = LANGUAGES.filter((language) => names.includes(language));
  if (known.length === names.length) return known;
  throw new UsageError(`--only expects names of ${LANGUAGES.join(",")}, got ${names}`);
}

/** The plan for the options. Throws `UsageError`, also when Python lacks the SDK. */
async function planOf(values: OptionValues): Promise<SdkPlan> {
  const languages = languagesOf(values);
  const python = `${ROOT}/.arqon/python/bin/python`;
  const found = await Deno.stat(python).then(() => true, () => false);
  if (languages.includes("python") && !found) {
    throw new UsageError(`no ${python}: run \`deno task test:python\`, or --only typescript`);
  }
  const typescript = Math.ceil(positive(values, "messages") / (values.quick === true ? QUICK : 1));
  return {
    languages,
    python,
    rounds: positive(values, "rounds"),
    messages: { typescript, python: Math.ceil(typescript / PYTHON_SLOWER) },
    size_bytes: positive(values, "bytes"),
  };
}

async function run(values: OptionValues): Promise<ScenarioResult> {
  const plan = await planOf(values);
  const runs = await measure(plan, (note) => console.error(note));
  const rows = rowsOf(runs);
  return { report: { options: plan, rows, runs }, table: render(rows) };
}

/** The scenario of `deno task bench sdk`. */
export const SDK: Scenario = {
  name: "sdk",
  help: HELP,
  options: {
    only: text(LANGUAGES.join(",")),
    rounds: text("3"),
    messages: text("200000"),
    bytes: text("100"),
    quick: { type: "boolean", default: false },
  },
  run,
};
