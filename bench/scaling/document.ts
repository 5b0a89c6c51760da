/**
 * The section "Scaling law" of `docs/performance.md`, its plots, and the record from which both are made
 * (`docs/plots/scaling.json`). A law that is measured again replaces only its own part.
 */
import { ROOT } from "../measure/scenario.ts";
import { growthOf, slopeOf } from "./fit.ts";
import type { StepCost } from "./law.ts";
import { counted, renderSvg } from "./svg.ts";
import { renderTable } from "../measure/table.ts";

/** A law as it was last measured. */
export interface RecordedLaw {
  readonly name: string;
  readonly axis: string;
  readonly about: string;
  /** The run's date (`YYYY-MM-DD`), commit and engine. */
  readonly measured: string;
  readonly commit: string;
  readonly deno: string;
  readonly steps: readonly StepCost[];
}

const BEGIN = "<!-- scaling:begin -->";
const END = "<!-- scaling:end -->";
const PAGE = `${ROOT}/docs/performance.md`;
const PLOTS = `${ROOT}/docs/plots`;
const RECORD = `${PLOTS}/scaling.json`;

/** Replaces the text between the marks. Throws when the page does not have both marks in that order. */
export function withSection(page: string, section: string): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`the page has no ${BEGIN} … ${END}`);
  return `${page.slice(0, begin + BEGIN.length)}\n\n${section}\n\n${page.slice(end)}`;
}

/** The table of a law's steps, as text. */
export function renderSteps({ axis, steps }: RecordedLaw): string {
  const cheapest = Math.min(...steps.map(({ cpu_us }) => cpu_us));
  return renderTable(steps, [
    [axis, ({ step }) => counted(step)],
    ["CPU µs", ({ cpu_us }) => cpu_us, 1],
    ["least", ({ rounds_us }) => Math.min(...rounds_us), 1],
    ["most", ({ rounds_us }) => Math.max(...rounds_us), 1],
    ["of the cheapest", ({ cpu_us }) => `${(cpu_us / cheapest).toFixed(2)}x`],
    ["p50 ms", ({ p50_ms }) => p50_ms, 2],
    ["p99 ms", ({ p99_ms }) => p99_ms, 2],
    ["RSS MB", ({ rss_bytes }) => rss_bytes / 1e6],
  ]);
}

/** The table of the laws, one row for each. */
export function renderGrowth(laws: readonly RecordedLaw[]): string {
  return renderTable(laws, [
    ["law", ({ axis }) => axis],
    ["from", ({ steps }) => counted(steps[0]?.step ?? NaN)],
    ["to", ({ steps }) => counted(steps.at(-1)?.step ?? NaN)],
    ["largest / cheapest", ({ steps }) => `${growthOf(steps).toFixed(2)}x`],
    ["exponent", ({ steps }) => slopeOf(steps), 3],
  ]);
}

const fenced = (text: string) => `\`\`\`text\n${text}\n\`\`\``;

/** The text of the section, without its heading: how each law grows, and a plot of it. */
export function renderSection(laws: readonly RecordedLaw[]): string {
  const plots = laws.map(({ name, axis, about, measured, commit, deno }) => {
    const when = `${measured}, ${commit.slice(0, 7)}${commit.endsWith("+") ? "+" : ""}`;
    return `![${axis}: ${about} (${when}, Deno ${deno})](plots/scaling_${name}.svg)`;
  });
  return [fenced(renderGrowth(laws)), plots.join("\n")].join("\n\n");
}

/** The recorded laws; none when there is no record yet. */
export async function readLaws(): Promise<RecordedLaw[]> {
  try {
    return JSON.parse(await Deno.readTextFile(RECORD));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** The recorded laws, where measured ones replace those with the same name, in the order of `names`. */
export function mergeLaws(
  old: readonly RecordedLaw[],
  measured: readonly RecordedLaw[],
  names: readonly string[],
): RecordedLaw[] {
  const find = (name: string) => [...measured, ...old].find((law) => law.name === name);
  return names.map(find).filter((law) => law !== undefined);
}

/** Formats files as the gate wants them. Rejects when one cannot be formatted. */
async function format(files: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--quiet", ...files],
    cwd: ROOT,
    stdin: "null",
  }).output();
  if (!success) throw new Error(`deno fmt: ${new TextDecoder().decode(stderr)}`);
}

/** Writes record, plots and page. */
export async function writeDocument(laws: readonly RecordedLaw[]): Promise<void> {
  await Deno.mkdir(PLOTS, { recursive: true });
  await Deno.writeTextFile(RECORD, JSON.stringify(laws, null, 2) + "\n");
  const plots = laws.map(({ name }) => `${PLOTS}/scaling_${name}.svg`);
  for (const [index, { axis, steps }] of laws.entries()) {
    const title = `Cost of a message as ${axis} grow`;
    await Deno.writeTextFile(plots[index]!, renderSvg(title, axis, steps));
  }
  const page = await Deno.readTextFile(PAGE);
  await Deno.writeTextFile(PAGE, withSection(page, renderSection(laws)));
  await format([RECORD, PAGE, ...plots]);
}
