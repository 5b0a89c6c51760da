/**
 * `deno task hostile [--only idle,burners] [--websocket own] [--seconds 8] [--rate 100] [--silence 250] [--p99 2]`: the
 * gallery of attacks against a running bus. Prints a table of what clean tenants saw; exits with 1 if one of their
 * messages was refused, lost or later than the longest silence in ms, their p99 exceeds that multiple of their p99
 * alone, one of their connections closed, or something does not work afterwards.
 */
import { renderRows } from "../../bench/measure/table.ts";
import { amount, maybe, names, oneOf } from "../harness/task_arguments.ts";
import { refused, runTask } from "../harness/task.ts";
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

const USAGE = {
  command: "deno task hostile",
  about:
    `Attacks on a running bus, one after another, beside tenants who do nothing wrong. Exits 1 when one of
those was hurt, or something does not work afterwards.`,
  options: {
    only: names("these attacks alone: idle,burners"),
    websocket: maybe(oneOf(["native", "own"], "own", "client sockets: native or own")),
    seconds: amount(8, "how long each attack goes on"),
    rate: amount(100, "messages a second of a clean tenant"),
    silence: amount(250, "ms that a clean tenant may hear nothing"),
    p99: amount(2, "times the p99 that a clean tenant has alone"),
  },
};

if (import.meta.main) {
  await runTask(USAGE, Deno.args, async ({ only, websocket, seconds, rate, silence, p99 }, say) => {
    const results = await runGallery({
      only,
      websocket,
      seconds,
      rate,
      silence_ms: silence,
      p99_factor: p99,
      say,
    }).catch(refused);
    console.log(`\n${renderRows(HEAD, results.map(row))}`);
    for (const { name, note } of results) if (note !== undefined) console.log(`\n${name}: ${note}`);
    const problems = results.flatMap(({ name, broken }) =>
      broken.map((what) => `${name}: ${what}`)
    );
    return { problems };
  });
}
