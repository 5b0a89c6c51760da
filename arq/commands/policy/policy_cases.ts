/**
 * `arq policy test --cases`: runs a module on recorded cases and shows where its verdict is another one. It
 * needs no bus.
 */
import { configFrom } from "../../../shared/config/load.ts";
import { PolicyModuleError } from "../../../wasm/module/errors.ts";
import { casesText } from "../../answers/cases_text.ts";
import { readModuleFile } from "../../policies/module_file.ts";
import { type Case, parseCase, readablePayload, recordedDecision } from "../../replay/case_file.ts";
import { runCase, shrinkFlip } from "../../replay/case_run.ts";
import type { Decision } from "../../replay/comparison.ts";
import { readyModule } from "../../replay/replay_modules.ts";
import type { ReplayModule } from "../../replay/repeater.ts";
import { CommandError, EXIT } from "../../terminal/exit.ts";
import { readInput } from "../../terminal/input.ts";
import { type Io, print, resolvePath } from "../../terminal/io.ts";
import type { Flags } from "../../program/flags.ts";

/** One case that the module does not decide as it was decided. */
export interface CaseReport {
  readonly file: string;
  readonly id: string;
  readonly room: string;
  readonly kind: "flip" | "changed" | "unknown";
  /** What differs. */
  readonly differs: readonly string[];
  /** Inputs that the module asks for and the case does not have. */
  readonly unknown: readonly string[];
  readonly recorded: Decision;
  readonly now: Decision;
  readonly recorded_headers: Case["verdict"]["headers"];
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly payload: Case["payload"];
  /** What was put in the place of the payload; null: nothing. */
  readonly recorded_new_payload: Case["verdict"]["payload"];
  readonly new_payload: Case["verdict"]["payload"];
  /** The smallest message of which both modules still differ; absent when none was looked for or found. */
  readonly smallest?: Case["payload"];
  /** Why none was looked for. */
  readonly not_shrunk?: string;
}

/** The result of `arq policy test --cases`. */
export interface CasesAnswer {
  readonly module: string;
  readonly cases: number;
  readonly same: number;
  readonly flips: number;
  readonly changed: number;
  readonly unknown: number;
  readonly reports: readonly CaseReport[];
}

async function ready(io: Io, file: string, pages: number): Promise<ReplayModule> {
  try {
    return await readyModule(await readModuleFile(io, file), pages);
  } catch (error) {
    if (!(error instanceof PolicyModuleError)) throw error;
    const hint = `arq policy check ${file} says more`;
    throw new CommandError(`${file} is refused (${error.reason}): ${error.message}`, 1, hint);
  }
}

async function readCase(io: Io, file: string): Promise<Case> {
  const parsed = parseCase(new TextDecoder().decode(await readInput(io, file)));
  if ("case" in parsed) return parsed.case;
  throw new CommandError(`${file} is no case: ${parsed.problem}`);
}

/** What the tests need while they run. */
interface Testing {
  readonly io: Io;
  readonly module: ReplayModule;
  readonly pages: number;
  readonly folder: string;
  readonly names: ReadonlySet<string>;
  readonly shrink: boolean;
}

/** The smallest flip, where the folder has the module that decided then. */
async function smallest(
  { io, module, pages, folder, names }: Testing,
  one: Case,
): Promise<Pick<CaseReport, "smallest" | "not_shrunk">> {
  const name = `${one.module}.wasm`;
  if (!names.has(name)) {
    return { not_shrunk: `${folder} has no ${name}: arq policy record --module writes it` };
  }
  const found = shrinkFlip(await ready(io, `${folder}/${name}`, pages), module, one);
  return found === undefined
    ? { not_shrunk: "the module that decided then says now what the new one says" }
    : { smallest: readablePayload(found) };
}

async function test(testing: Testing, file: string): Promise<CaseReport | undefined> {
  const { io, module, folder, shrink } = testing;
  const one = await readCase(io, `${folder}/${file}`);
  if (!module.hooks.includes(one.hook)) {
    throw new CommandError(`${file} is of hook ${one.hook}, which the module does not have`);
  }
  const ran = runCase(module, one);
  const { differs, unknown } = ran;
  if (differs.length + unknown.length === 0) return undefined;
  const kind = unknown.length > 0 ? "unknown" : differs.includes("verdict") ? "flip" : "changed";
  const small = shrink && kind === "flip" ? await smallest(testing, one) : {};
  return {
    file,
    id: one.id,
    room: one.room,
    kind,
    differs,
    unknown,
    recorded: recordedDecision(one),
    now: ran.decision,
    recorded_headers: one.verdict.headers,
    headers: ran.headers,
    payload: one.payload,
    recorded_new_payload: one.verdict.payload,
    new_payload: ran.payload === undefined ? null : readablePayload(ran.payload),
    ...small,
  };
}

/** Runs every case of a folder. Returns 1 when one is not decided as it was. */
export async function policyCases(io: Io, file: string, flags: Flags<"cases">): Promise<number> {
  const { cases: folder, shrink = false, json = false } = flags;
  const pages = flags.memoryLimitPages ?? configFrom({}).platform.overseer.memory_limit_pages;
  const module = await ready(io, file, pages);
  const names = new Set(await io.files.list(resolvePath(io.cwd, folder)));
  const files = [...names].filter((name) => name.endsWith(".json")).sort();
  if (files.length === 0) {
    throw new CommandError(
      `${folder} has no cases`,
      EXIT.failure,
      "arq policy record --out writes some",
    );
  }
  const testing = { io, module, pages, folder, names, shrink };
  const reports: CaseReport[] = [];
  for (const name of files) {
    const report = await test(testing, name);
    if (report !== undefined) reports.push(report);
    io.signal.throwIfAborted();
  }
  const of = (kind: CaseReport["kind"]) => reports.filter((one) => one.kind === kind).length;
  const answer: CasesAnswer = {
    module: file,
    cases: files.length,
    same: files.length - reports.length,
    flips: of("flip"),
    changed: of("changed"),
    unknown: of("unknown"),
    reports,
  };
  await print(io.stdout, json ? `${JSON.stringify(answer)}\n` : casesText(answer));
  return reports.length === 0 ? EXIT.ok : EXIT.failure;
}
