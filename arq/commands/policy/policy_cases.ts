/**
 * `arq policy record` and `arq policy test --cases`: write recorded calls of a policy into files that people read and
 * CI runs, and show where a module decides them differently.
 */
import { configFrom } from "../../../shared/config/load.ts";
import { plural } from "../../../shared/plural.ts";
import { sha256Hex } from "../../../shared/sha256.ts";
import { type Admin, findAdmin } from "../../bus/admin.ts";
import { readModuleFile, unlessRefused } from "../../policies/module_file.ts";
import { busChunks, busModules, DEFAULT_TENANT, fileChunks } from "../../replay/bus_replay.ts";
import {
  caseOf,
  parseCase,
  readablePayload,
  recordedDecision,
  runCase,
  shrinkFlip,
} from "../../replay/case_file.ts";
import type { Case } from "../../replay/case_file.ts";
import { journalRecords } from "../../replay/journal_chunks.ts";
import { readyModule } from "../../replay/replay_modules.ts";
import { isSelected } from "../../replay/selection.ts";
import { CommandError, EXIT, failed, printable, shortened } from "../../terminal/exit.ts";
import { type Ended, type Io, resolvePath } from "../../terminal/io.ts";
import type { Flags } from "../../program/flags.ts";
import { shownVerdict } from "../../answers/figures.ts";
import type { Decision } from "../../replay/recorded_call.ts";
import type { ReplayModule } from "../../replay/repeater.ts";
import { createBelow, readInput } from "../../terminal/input.ts";
import { selectionOf } from "./policy_replay.ts";
import { linesText } from "../../terminal/columns.ts";

/** FNV-1a with 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) {
    value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  }
  // Its low bits change most with the last character.
  return Math.imul(value ^ (value >>> 15), 0x2c1b3c6d) >>> 0;
}

const alike = ({ hook, room, user, type, payload, reads, verdict }: Case): string =>
  JSON.stringify([hook, room, user, type, payload, reads, verdict.allowed, verdict.reason]);

/** The `count` different calls with the lowest ranks. */
class Lowest {
  readonly #count: number;
  readonly #kept: { readonly place: number; readonly case: Case }[] = [];
  readonly #alike = new Set<string>();

  constructor(count: number) {
    this.#count = count;
  }

  offer(place: number, make: () => Case | undefined): void {
    const kept = this.#kept;
    if (kept.length === this.#count && place >= kept.at(-1)!.place) return;
    const one = make();
    if (one === undefined || this.#alike.has(alike(one))) return;
    this.#alike.add(alike(one));
    const before = kept.findIndex((other) => other.place > place);
    kept.splice(before < 0 ? kept.length : before, 0, { place, case: one });
    const dropped = kept.length > this.#count ? kept.pop() : undefined;
    if (dropped !== undefined) this.#alike.delete(alike(dropped.case));
  }

  first(count: number): readonly Case[] {
    return this.#kept.slice(0, count).map((one) => one.case);
  }

  get length(): number {
    return this.#kept.length;
  }
}

/** Makes a selection of at most `count` calls. */
export function createChoice(count: number) {
  const allowed = new Lowest(count);
  const refused = new Lowest(count);
  return {
    /** Offers a call; the hash of `id` gives its rank. */
    offer: (id: string, is_allowed: boolean, make: () => Case | undefined) =>
      (is_allowed ? allowed : refused).offer(hash(id), make),
    /** The chosen calls by time. */
    chosen(): readonly Case[] {
      const half = Math.ceil(count / 2);
      const of_refused = Math.max(half, count - allowed.length);
      const some = refused.first(of_refused);
      return [...some, ...allowed.first(count - some.length)]
        .sort((one, other) => one.time < other.time ? -1 : Number(one.time > other.time));
    },
  };
}

type RecordFlags = Omit<Flags<"count" | "out">, "module"> & { readonly module?: string };

async function choose(io: Io, admin: Admin | undefined, flags: RecordFlags) {
  const { tenant, count, redact = [] } = flags;
  const selection = await selectionOf(io, flags.policy ?? "", admin, flags);
  const counts = { lines: 0, bad_lines: 0, holes: 0 };
  const choice = createChoice(count);
  const policies = new Set<string>();
  let decisions = 0;
  const chunks = admin === undefined
    ? await fileChunks(io, flags.journal as string)
    : busChunks(admin, tenant ?? DEFAULT_TENANT, selection);
  for await (const record of journalRecords(chunks, counts)) {
    if (!isSelected(record, selection)) continue;
    for (const [place, { name, allowed }] of record.policies.entries()) {
      policies.add(name);
      if (flags.policy !== undefined && name !== flags.policy) continue;
      decisions++;
      choice.offer(`${record.id} ${name}`, allowed, () => caseOf(record, place, redact));
    }
  }
  io.signal.throwIfAborted();
  return { cases: choice.chosen(), decisions, policies, counts };
}

/** A module that is written beside its cases. */
interface KeptModule {
  readonly sha256: string;
  readonly bytes: Uint8Array;
}

/** The modules of cases, of a file or of the bus, by their SHA-256. */
async function modulesOf(
  io: Io,
  cases: readonly Case[],
  admin: Admin | undefined,
  { module: file, tenant = DEFAULT_TENANT }: RecordFlags,
): Promise<readonly KeptModule[]> {
  const found = new Map<string, Uint8Array>();
  if (file !== undefined) {
    const bytes = await readModuleFile(io, file);
    const sha256 = await sha256Hex(bytes);
    if (!cases.some(({ module }) => module === sha256)) {
      throw new CommandError(`${file} (${sha256.slice(0, 12)}) has decided none of the cases`);
    }
    found.set(sha256, bytes);
  }
  for (const sha256 of new Set(cases.map(({ module }) => module))) {
    if (admin === undefined || found.has(sha256)) continue;
    const bytes = await busModules(admin, tenant)(sha256);
    if (bytes !== undefined) found.set(sha256, bytes);
  }
  return [...found].map(([sha256, bytes]) => ({ sha256, bytes }));
}

/** Cases that still repeat with their module after secrets were removed. */
async function repeating(cases: readonly Case[], modules: readonly KeptModule[]) {
  const pages = configFrom({}).platform.overseer.memory_limit_pages;
  const ready = await Promise.all(modules.map(({ bytes }) => readyModule(bytes, pages)));
  return cases.filter((one) => {
    const module = ready.find(({ sha256 }) => sha256 === one.module);
    if (module === undefined) return true;
    const { differs, unknown } = runCase(module, one);
    return differs.length + unknown.length === 0;
  });
}

const fileName = ({ verdict, id, policy }: Case): string =>
  `${policy}-${verdict.allowed ? "allowed" : "refused"}-${id}`.replace(/[^\w.-]/g, "_") + ".json";

async function write(io: Io, folder: string, name: string, data: string | Uint8Array) {
  const path = `${folder}/${name}`;
  // A module is named by its hash, so an existing one is the same.
  if (data instanceof Uint8Array && await io.files.state(path) !== undefined) return;
  await createBelow(io, path, data, 0o644);
}

/** Chooses calls and writes a file for each. Returns 1 when there is none. */
export async function policyRecord(io: Io, flags: RecordFlags): Promise<Ended> {
  const { journal, out } = flags;
  const admin = journal === undefined ? await findAdmin(io, flags) : undefined;
  const { cases, decisions, policies, counts } = await choose(io, admin, flags);
  if (cases.length === 0) {
    const known = policies.size === 0 ? "" : `; policies in it: ${[...policies].sort().join(", ")}`;
    const what = decisions === 0 ? "no such decision" : "no decision with a payload and a sender";
    throw new CommandError(`the journal has ${what}${known}`);
  }
  const modules = await modulesOf(io, cases, admin, flags);
  const kept = await repeating(cases, modules);
  if (kept.length === 0) {
    throw new CommandError(
      `no case remains of ${plural(cases.length, "decision")}: without the redacted part the ` +
        "module decides differently",
    );
  }
  const folder = resolvePath(io.cwd, out);
  const files = kept.map(fileName);
  for (const [at, one] of kept.entries()) {
    await write(io, folder, files[at] as string, `${JSON.stringify(one, null, 2)}\n`);
  }
  for (const { sha256, bytes } of modules) await write(io, folder, `${sha256}.wasm`, bytes);
  const answer = { out, files, decisions, left_out: cases.length - kept.length, ...counts };
  const left = answer.left_out === 0
    ? ""
    : `; ${answer.left_out} left out: without the redacted part the module decides differently`;
  const text = `${plural(kept.length, "case")} of ${plural(decisions, "decision")} in ${out}`;
  return { json: answer, text: `${printable(text + left)}\n` };
}

async function ready(io: Io, file: string, pages: number): Promise<ReplayModule> {
  const bytes = await readModuleFile(io, file);
  return await unlessRefused(file, () => readyModule(bytes, pages));
}

async function readCase(io: Io, file: string): Promise<Case> {
  const parsed = parseCase(new TextDecoder().decode(await readInput(io, file)));
  if ("case" in parsed) return parsed.case;
  throw new CommandError(`${file} is not a case: ${parsed.problem}`);
}

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
): Promise<{ readonly smallest?: Case["payload"]; readonly not_shrunk?: string }> {
  const name = `${one.module}.wasm`;
  if (!names.has(name)) {
    return { not_shrunk: `${folder} has no ${name}: arq policy record --module writes it` };
  }
  const found = shrinkFlip(await ready(io, `${folder}/${name}`, pages), module, one);
  return found === undefined
    ? { not_shrunk: "the recorded module now decides as the new one does" }
    : { smallest: readablePayload(found) };
}

/** One case that the module does not decide as it was decided. */
type CaseReport = NonNullable<Awaited<ReturnType<typeof test>>>;

/** Tests one case; undefined: the module decides as it was decided. */
async function test(testing: Testing, file: string) {
  const { io, module, folder, shrink } = testing;
  const one = await readCase(io, `${folder}/${file}`);
  if (!module.hooks.includes(one.hook)) {
    throw new CommandError(`${file} is of hook ${one.hook}, which the module does not have`);
  }
  const ran = runCase(module, one);
  const { differs, unknown } = ran;
  if (differs.length + unknown.length === 0) return undefined;
  const kind: "unknown" | "flip" | "changed" = unknown.length > 0
    ? "unknown"
    : differs.includes("verdict")
    ? "flip"
    : "changed";
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

/** Runs every case of a folder. Returns 1 when one is decided differently. */
export async function policyCases(io: Io, file: string, flags: Flags<"cases">): Promise<Ended> {
  const { cases: folder, shrink = false } = flags;
  const pages = flags.memoryLimitPages ?? configFrom({}).platform.overseer.memory_limit_pages;
  const module = await ready(io, file, pages);
  const names = new Set(await io.files.list(resolvePath(io.cwd, folder)));
  const files = [...names].filter((name) => name.endsWith(".json")).sort();
  if (files.length === 0) {
    throw failed(`${folder} has no cases`, "arq policy record --out writes some");
  }
  const testing = { io, module, pages, folder, names, shrink };
  const reports: CaseReport[] = [];
  for (const name of files) {
    const report = await test(testing, name);
    if (report !== undefined) reports.push(report);
    io.signal.throwIfAborted();
  }
  const answer = casesAnswer(file, files.length, reports);
  return {
    json: answer,
    text: casesText(answer),
    code: reports.length === 0 ? EXIT.ok : EXIT.failure,
  };
}

function casesAnswer(module: string, cases: number, reports: readonly CaseReport[]) {
  const of = (kind: CaseReport["kind"]) => reports.filter((one) => one.kind === kind).length;
  const counts = { flips: of("flip"), changed: of("changed"), unknown: of("unknown") };
  return { module, cases, same: cases - reports.length, ...counts, reports };
}

const SHOWN_CHARACTERS = 400;

const caseVerdict = (one: Decision): string =>
  `${one.allowed || one.fault !== null ? "" : "refused "}${shownVerdict(one)}`;

function casePayload(payload: CaseReport["new_payload"]): string {
  if (payload === null) return "as it came";
  const text = "json" in payload
    ? JSON.stringify(payload.json)
    : "text" in payload
    ? payload.text
    : `base64 ${payload.base64}`;
  return printable(shortened(text, SHOWN_CHARACTERS));
}

function caseText(report: CaseReport): string {
  const { file, kind, room, recorded, now, unknown, headers, recorded_headers } = report;
  const lines = [`${kind.toUpperCase().padEnd(7)}  ${file}  ${room}`];
  if (kind === "unknown") lines.push(`  the case has no ${unknown.join(", ")}`);
  else {
    lines.push(`- ${caseVerdict(recorded)}`, `+ ${caseVerdict(now)}`);
    if (report.differs.includes("headers")) {
      lines.push(...recorded_headers.map(([name, value]) => `- header ${name}: ${value}`));
      lines.push(...headers.map(([name, value]) => `+ header ${name}: ${value}`));
    }
    if (report.differs.includes("payload")) {
      lines.push(`- payload ${casePayload(report.recorded_new_payload)}`);
      lines.push(`+ payload ${casePayload(report.new_payload)}`);
    }
  }
  lines.push(`  payload   ${casePayload(report.payload)}`);
  if (report.smallest !== undefined) lines.push(`  smallest  ${casePayload(report.smallest)}`);
  if (report.not_shrunk !== undefined) lines.push(`  not shrunk: ${report.not_shrunk}`);
  return linesText(lines);
}

/** The text of `arq policy test --cases`: each case that differs, then how many do. */
function casesText(answer: ReturnType<typeof casesAnswer>): string {
  const { cases, same, flips, changed, unknown, reports } = answer;
  const parts = [`${plural(cases, "case")}: ${same} as recorded`];
  if (flips > 0) parts.push(plural(flips, "flip"));
  if (changed > 0) parts.push(`${changed} with other words or data`);
  if (unknown > 0) parts.push(`${unknown} unknown`);
  return `${reports.map(caseText).join("")}${parts.join(", ")}\n`;
}
