/**
 * The journal's calls once more in an engine that is not V8: writes modules and records for
 * `tests/verification/calls_by_wasmtime.py`, and runs it in an environment of Python of its own.
 */
import { TextLineStream } from "../../bench/measure/text_lines.ts";
import { readyModule } from "../../arq/replay/replay_modules.ts";
import { configFrom } from "../../shared/config/load.ts";
import { isHole, parseLine } from "../../shared/journal/record.ts";
import type { JournalRecord } from "../../shared/journal/record.ts";
import { meterPolicy } from "../../shield/policy/abi/abi_check.ts";
import type { Say } from "../harness/task.ts";
import { CHAIN, type Fleet } from "./fleet.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
const VENV = `${ROOT}.arqon/wasmtime`;
const TEST = "tests/verification/calls_by_wasmtime.py";

async function run(program: string, args: string[], env: Record<string, string> = {}) {
  const child = new Deno.Command(program, { args, env, cwd: ROOT, stdout: "piped" });
  const { success, stdout } = await child.output();
  return { success, text: new TextDecoder().decode(stdout) };
}

/** The first line of a policy: its metered module, and how its calls begin. */
async function headOf(fleet: Fleet, name: typeof CHAIN[number]): Promise<string> {
  const bytes = await Deno.readFile(fleet.module(name));
  const { memory_limit_pages } = configFrom({}).platform.overseer;
  const { abi, renewal, bytes: metered } = meterPolicy(bytes, { memory_limit_pages });
  const module = await readyModule(bytes, memory_limit_pages);
  const slots = module.slots.map(({ key, value_bytes }) => ({ key, value_bytes }));
  return JSON.stringify({ name, abi, renewal, slots, module: metered.toBase64() });
}

/** The first records of the journal that have a decision of the policy, with that one alone. */
async function callsOf(journal: string, name: string, count: number): Promise<JournalRecord[]> {
  const calls: JournalRecord[] = [];
  const file = await Deno.open(journal);
  const lines = file.readable.pipeThrough(new TextDecoderStream())
    .pipeThrough(new TextLineStream());
  for await (const text of lines) {
    const parsed = parseLine(text);
    if ("problem" in parsed || isHole(parsed.line)) continue;
    const policies = parsed.line.policies.filter((policy) => policy.name === name);
    if (policies.length > 0) calls.push({ ...parsed.line, policies });
    if (calls.length === count) break;
  }
  return calls;
}

/** Repeats so many calls of each policy. Gives what is wrong. */
export async function repeatInWasmtime(
  fleet: Fleet,
  journal: string,
  count: number,
  say: Say,
): Promise<string[]> {
  const lines: string[] = [];
  for (const name of CHAIN) {
    lines.push(await headOf(fleet, name));
    const calls = await callsOf(journal, name, count);
    lines.push(...calls.map((call) => JSON.stringify(call)));
  }
  const path = `${fleet.dir}/calls.ndjson`;
  await Deno.writeTextFile(path, `${lines.join("\n")}\n`);
  const made = await run("python3", ["-m", "venv", VENV]);
  const packages = ["install", "--quiet", "wasmtime>=50", "pytest"];
  const installed = made.success && (await run(`${VENV}/bin/pip`, packages)).success;
  if (!installed) return ["wasmtime could not be installed: python3 with venv and pip is missing"];
  const env = { ARQON_CALLS: path };
  const { success, text } = await run(`${VENV}/bin/python`, ["-m", "pytest", "-q", TEST], env);
  say(`wasmtime: ${lines.length - CHAIN.length} calls repeated, ${success ? "none differs" : "!"}`);
  return success ? [] : [`wasmtime: ${text.slice(-2_000)}`];
}
