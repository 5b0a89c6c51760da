/**
 * `deno task hostile [--only idle,burners] [--websocket own] [--seconds 8] [--rate 100]
 * [--silence 250]`: the gallery of attacks against a running bus. A table of what clean tenants saw; exits 1 when one of their
 * messages was refused, lost or later than the longest silence in ms, one of their connections closed, or
 * something does not work afterwards.
 */
import { parseArgs } from "node:util";
import { renderRows } from "../../bench/measure/table.ts";
import { endOnSignal } from "../harness/end_on_signal.ts";
import { above0, fail } from "../harness/task_options.ts";
import type { CleanPhase } from "./clean_clients.ts";
import { type AttackResult, runGallery } from "./gallery.ts";

const HEAD = [
  "attack",
  "times",
  "answers",
  "silence before",
  "silence",
  "p99 before",
  "p99",
  "refused",
  "MB before",
  "MB after",
  "",
];
const ANSWERS_SHOWN = 2;

const ms = (value: number) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;

/** The worst of all clean tenants. */
function worst(
  phases: Readonly<Record<string, CleanPhase>>,
  of: (phase: CleanPhase) => number,
): number {
  return Math.max(...Object.values(phases).map(of));
}

function row(result: AttackResult): string[] {
  const { name, attack, before, during, broken } = result;
  const verdict = broken.length === 0 ? "ok" : "BROKEN";
  if (attack === undefined || before === undefined || during === undefined) {
    return [name, ...Array(HEAD.length - 2).fill(""), verdict];
  }
  const answers = Object.entries(attack.answers).sort(([, a], [, b]) => b - a);
  const megabytes = (bytes = NaN) => (bytes / 1e6).toFixed(0);
  return [
    name,
    String(attack.times),
    answers.slice(0, ANSWERS_SHOWN).map(([answer, count]) => `${count} ${answer}`).join(", "),
    ms(worst(before, ({ silence_ms }) => silence_ms)),
    ms(worst(during, ({ silence_ms }) => silence_ms)),
    ms(worst(before, ({ p99_ms }) => p99_ms)),
    ms(worst(during, ({ p99_ms }) => p99_ms)),
    String(
      Object.values(during).flatMap(({ refused }) => Object.values(refused))
        .reduce((sum, count) => sum + count, 0),
    ),
    megabytes(result.memory_before_bytes),
    megabytes(result.memory_after_bytes),
    verdict,
  ];
}

if (import.meta.main) {
  endOnSignal();
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      only: { type: "string", default: "" },
      websocket: { type: "string" },
      seconds: { type: "string", default: "8" },
      rate: { type: "string", default: "100" },
      silence: { type: "string", default: "250" },
    },
  });
  const results = await runGallery({
    only: values.only.split(",").filter((name) => name !== ""),
    websocket: values.websocket,
    seconds: above0("seconds", values.seconds),
    rate: above0("rate", values.rate),
    silence_ms: above0("silence", values.silence),
    say: (line) => console.log(line),
  }).catch((error) => {
    if (error instanceof RangeError) fail(error.message);
    throw error;
  });
  console.log(`\n${renderRows(HEAD, results.map(row))}`);
  for (const { name, note } of results) if (note !== undefined) console.log(`\n${name}: ${note}`);
  const broken = results.filter((result) => result.broken.length > 0);
  for (const { name, broken: what } of broken) console.log(`\n${name}:\n- ${what.join("\n- ")}`);
  console.log(`\n${broken.length === 0 ? "PASSED" : `FAILED: ${broken.length}`}`);
  Deno.exit(broken.length === 0 ? 0 : 1);
}
