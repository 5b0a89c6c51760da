/**
 * The scenario `sdk`: what the SDKs cost compared with the WebSocket libraries on which they are built, in
 * CPU time of the client's process. `run.ts` runs the clients `client.ts` and `client.py`.
 */
import { namedBy } from "../measure/parts.ts";
import { ROOT, scenario, UsageError } from "../measure/scenario.ts";
import { median } from "../measure/statistics.ts";
import { renderTable } from "../measure/table.ts";
import { LOADS, PARTS } from "./plan.ts";
import type { Load, Part } from "./plan.ts";
import { LANGUAGES, measure } from "./run.ts";
import type { ClientRun, Language } from "./run.ts";

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

const LIBRARIES = { typescript: "WebSocket of Deno", python: "websockets" };

function nameOf({ language, part }: SdkRow): string {
  if (part === "sdk") return language === "python" ? "arqon-sdk" : "@arqon/sdk";
  return LIBRARIES[language] + (part === "raw" ? "" : " + decoder");
}

/** The scenario of `deno task bench sdk`. */
export const SDK = scenario(
  "sdk",
  `messages for each CPU second of a client, with each SDK beside its WebSocket library
alone and that library with the decoder of frames. Same bus, same frames, in turns. The Python SDK
is measured with the environment that \`deno task test:python\` makes.`,
  {
    only: [LANGUAGES.join(","), "languages"],
    rounds: [3, "medians count"],
    messages: [200_000, "of each client on Deno; a Python one gets a fourth"],
    bytes: [100, "data of a message"],
    quick: [false, "a fourth of the messages"],
  },
  async ({ only, rounds, messages, bytes: size_bytes, quick }) => {
    const languages = namedBy(only, LANGUAGES) as Language[];
    const python = `${ROOT}/.arqon/python/bin/python`;
    const found = await Deno.stat(python).then(() => true, () => false);
    if (languages.includes("python") && !found) {
      throw new UsageError(`no ${python}: run \`deno task test:python\`, or --only typescript`);
    }
    const typescript = Math.ceil(messages / (quick ? QUICK : 1));
    const counts = { typescript, python: Math.ceil(typescript / PYTHON_SLOWER) };
    const plan = { languages, python, rounds, messages: counts, size_bytes };
    const runs = await measure(plan, (note) => console.error(note));
    const rows = rowsOf(runs);
    return {
      report: { options: plan, rows, runs },
      table: renderTable(rows, [
        ["client", nameOf],
        ["load", ({ load }) => load],
        ["messages / CPU s", ({ per_cpu_second }) => per_cpu_second],
        ["of library", ({ of_raw }) => of_raw, 2],
        ["of decoder", ({ of_decoded }) => of_decoded, 2],
        ["per frame", ({ messages_per_frame: all }) => all === 0 ? "" : all, 1],
      ]),
    };
  },
);
