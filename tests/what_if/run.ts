/**
 * The script: decisions under load while Shields are killed, the journal against what clients were told, the
 * recorded modules once more, and a planted rule. Each step says what it found.
 */
import { TextLineStream } from "../../bench/measure/text_lines.ts";
import { parseLine } from "../../shared/journal/record.ts";
import { until } from "../../shared/testing/until.ts";
import type { Say } from "../harness/task.ts";
import type { Verdict } from "../harness/verdict.ts";
import { Crowd } from "./crowd.ts";
import { CHAIN, Fleet, FLUSH_MS } from "./fleet.ts";
import { compareFlips, JournalCheck } from "./ledger.ts";
import type { JournalFindings, Kill } from "./ledger.ts";
import { repeatInWasmtime } from "./wasmtime.ts";

/** What is to be done. */
export interface WhatIfPlan {
  /** Messages; each is asked of up to four policies. */
  readonly messages: number;
  /** How often a Shield is killed. */
  readonly kills: number;
  /** Clients of each Shield, and messages that each has under way. */
  readonly clients: number;
  readonly window: number;
  /** Calls of each policy that wasmtime repeats, too; 0: none. */
  readonly wasmtime: number;
  readonly seed: number;
}

/** What of `arq policy replay --json` counts here. */
interface Replayed {
  readonly journal: { readonly decisions: number; readonly bad_lines: number };
  readonly recorded: {
    readonly repeated: number;
    readonly same: number;
    readonly different: Readonly<Record<string, number>>;
    readonly not_run: Readonly<Record<string, number>>;
    readonly unknown: Readonly<Record<string, number>>;
  };
  readonly candidate: {
    readonly repeated: number;
    readonly allow_to_refuse: number;
    readonly refuse_to_allow: number;
  };
}

/** A Shield that was killed had at most so much more under way than one collection, in ms. */
const UNWRITTEN_MS = FLUSH_MS + 3_000;

/** Most that a crowd takes for half of what it says between two kills, in ms. */
const HALF_MS = 600_000;

async function load(plan: WhatIfPlan, fleet: Fleet, say: Say) {
  const { clients, window, kills, messages, seed } = plan;
  const { urls, issuer } = fleet;
  const killed: Kill[] = [];
  await using crowd = await Crowd.open({ urls, clients, window, tokenFor: issuer.tokenFor });
  const each = Math.ceil(messages / (kills + 1));
  for (let turn = 0; turn <= kills; turn++) {
    const talked = crowd.talk(each, seed + turn);
    if (turn < kills) {
      const half = crowd.answered + each / 2;
      await until("half of the messages are answered", () => crowd.answered >= half, HALF_MS);
      const shield = turn % urls.length;
      killed.push({ shield, at_ms: await fleet.kill(shield) });
      say(`shield ${shield} was killed after ${crowd.answered} answers, and is back`);
    }
    await talked;
  }
  say(`${crowd.answered} of ${crowd.said.size} messages have an answer`);
  return { said: crowd.said, killed };
}

async function checkJournal(
  path: string,
  { said, killed }: Awaited<ReturnType<typeof load>>,
): Promise<JournalFindings> {
  const check = new JournalCheck(said);
  const file = await Deno.open(path);
  const lines = file.readable.pipeThrough(new TextDecoderStream()).pipeThrough(
    new TextLineStream(),
  );
  for await (const text of lines) {
    const parsed = parseLine(text);
    if ("problem" in parsed) throw new Error(`a line of the journal: ${parsed.problem}`);
    check.take(parsed.line);
  }
  return check.end(killed, UNWRITTEN_MS);
}

const listed = (counts: Readonly<Record<string, number>>) =>
  Object.entries(counts).map(([name, count]) => `${count} ${name}`).join(", ");

/** What is wrong with the repetition of a recorded module. */
function repeatedProblems(name: string, { journal, recorded }: Replayed): string[] {
  const { repeated, same, different, unknown } = recorded;
  const wrong: string[] = [];
  if (journal.decisions === 0) wrong.push(`${name}: no decisions`);
  if (journal.bad_lines > 0) wrong.push(`${name}: ${journal.bad_lines} bad lines`);
  if (same !== repeated) wrong.push(`${name}: ${repeated - same} differ: ${listed(different)}`);
  if (Object.keys(unknown).length > 0) wrong.push(`${name}, unknown: ${listed(unknown)}`);
  return wrong;
}

async function replayed(fleet: Fleet, args: readonly string[]): Promise<Replayed> {
  return JSON.parse(await fleet.arq(["policy", "replay", ...args, "--json"]));
}

/** Every recorded module again: nothing may differ. */
async function repeatAll(fleet: Fleet, journal: string, say: Say): Promise<string[]> {
  const problems: string[] = [];
  for (const name of CHAIN) {
    const answer = await replayed(fleet, [fleet.module(name), "--journal", journal]);
    problems.push(...repeatedProblems(name, answer));
    const { repeated, same, not_run } = answer.recorded;
    const rest = Object.keys(not_run).length === 0 ? "" : `; not decided then: ${listed(not_run)}`;
    say(`${name}: ${repeated} calls repeated, ${repeated - same} differ${rest}`);
  }
  return problems;
}

/** The policy with the planted rule: each flip that must be, and no other. */
async function plantRule(
  fleet: Fleet,
  journal: string,
  planted: ReadonlySet<string>,
  say: Say,
): Promise<string[]> {
  await fleet.build("words_planted");
  const flips = `${fleet.dir}/flips.ndjson`;
  const { candidate } = await replayed(fleet, [
    ...[fleet.module("words_planted"), "--policy", "words", "--module", fleet.module("words")],
    ...["--journal", journal, "--flips", flips],
  ]);
  const lines = (await Deno.readTextFile(flips)).split("\n").filter((line) => line !== "");
  const found = lines.map((line): string | null => JSON.parse(line)["message_id"]);
  say(`planted rule: ${candidate.allow_to_refuse} flips, ${planted.size} expected`);
  const problems = compareFlips(found, planted);
  if (candidate.refuse_to_allow > 0) {
    problems.push(`${candidate.refuse_to_allow} flips let something through`);
  }
  return planted.size === 0 ? [...problems, "no message has the planted word"] : problems;
}

/** Runs it all. Rejects when something does not start, or `arq` fails. */
export async function runWhatIf(plan: WhatIfPlan, say: Say): Promise<Verdict> {
  await using fleet = await Fleet.open();
  say(`two Shields on NATS, policies: ${CHAIN.join(", ")}; seed ${plan.seed}`);
  const loaded = await load(plan, fleet, say);
  // What the last messages said is stored within one collection.
  await new Promise((resolve) => setTimeout(resolve, UNWRITTEN_MS));
  const journal = `${fleet.dir}/journal.ndjson`;
  await fleet.arq(["journal", "export", "--since", "1d", "--out", journal, ...fleet.admin]);
  const found = await checkJournal(journal, loaded);
  say(
    `journal: ${found.records} records, ${found.decisions} decisions, ${found.holes} holes, ` +
      `${found.lost} went with killed Shields`,
  );
  const problems = [...found.problems, ...await repeatAll(fleet, journal, say)];
  problems.push(...await plantRule(fleet, journal, found.planted, say));
  if (plan.wasmtime > 0) {
    problems.push(...await repeatInWasmtime(fleet, journal, plan.wasmtime, say));
  }
  return { problems, seed: plan.seed };
}
