/**
 * Renders the parity table of `docs/sdks.md`, which lists the features of each SDK according to
 * sdk/conformance/features.json. A tick requires proof by the committed results of a conformance run or by an existing
 * test. It runs no SDK. The text below the table is manual.
 */
import { vectorsText } from "../../sdk/conformance/generate.ts";
import { table, tableRow } from "./gen_pages.ts";
import { deno } from "../checkout/programs.ts";

/** The SDKs, in the order of the columns. */
const SDKS = ["typescript", "python"] as const;
type Sdk = typeof SDKS[number];

/** The transports of scenarios, in the order of the columns. */
export const TRANSPORTS = ["websocket", "http"] as const;
/** One of these transports. */
export type Transport = typeof TRANSPORTS[number];

const TRANSPORT_TITLES: Readonly<Record<Transport, string>> = {
  websocket: "WebSocket",
  http: "HTTP",
};
const TITLES: Readonly<Record<Sdk, string>> = { typescript: "TypeScript", python: "Python" };

/** How one SDK provides a feature. `tests` are pairs of file and name. */
export interface Side {
  readonly api: string;
  readonly tests?: readonly (readonly [string, string])[];
}

/** One feature, which is a row of the table. */
export interface Feature {
  readonly id: string;
  readonly name: string;
  /** Names of vectors files, as `sdk/conformance/generate.ts` has them. */
  readonly vectors?: readonly string[];
  /** null: the feature is not applicable to the language. */
  readonly typescript: Side | null;
  readonly python: Side | null;
}

/**
 * The results of one SDK's conformance run: number of passed cases by vectors file, and names of passed scenarios by
 * transport and feature.
 */
export interface Results {
  readonly vectors: Readonly<Record<string, number>>;
  readonly scenarios: Readonly<Record<Transport, Readonly<Record<string, readonly string[]>>>>;
}

/** The inputs of the table. */
export interface SdkInputs {
  readonly groups: readonly { readonly name: string; readonly features: readonly Feature[] }[];
  /** Names of scenarios by feature. */
  readonly scenarios: Readonly<Record<string, readonly string[]>>;
  /** Number of cases by vectors file. */
  readonly vectors: Readonly<Record<string, number>>;
  readonly results: Readonly<Record<Sdk, Results>>;
  /** Texts of the test files that features name. */
  readonly sources: Readonly<Record<string, string>>;
}

/** Whether the text of a test file has a test with this name. */
export function hasTest(path: string, text: string, name: string): boolean {
  if (path.endsWith(".py")) return new RegExp(`^(async )?def ${name}\\(`, "m").test(text);
  return text.includes(JSON.stringify(name)) || text.includes(`'${name}'`);
}

/** The proof for a cell: numbers of scenarios, cases and tests; undefined if something is missing. */
function proof(feature: Feature, sdk: Sdk, side: Side, inputs: SdkInputs): string | undefined {
  const { vectors, scenarios } = inputs.results[sdk];
  const wanted = inputs.scenarios[feature.id] ?? [];
  for (const transport of TRANSPORTS) {
    const passed = new Set(scenarios[transport][feature.id] ?? []);
    if (!wanted.every((name) => passed.has(name))) return undefined;
  }
  let cases = 0;
  for (const file of feature.vectors ?? []) {
    const count = inputs.vectors[file];
    if (count === undefined) throw new TypeError(`${feature.id}: there are no vectors ${file}`);
    if (vectors[file] !== count) return undefined;
    cases += count;
  }
  for (const [path, name] of side.tests ?? []) {
    if (hasTest(path, inputs.sources[path] ?? "", name)) continue;
    throw new TypeError(`features.json, ${feature.id}: ${path} has no test "${name}"`);
  }
  const counts = [[wanted.length, "S"], [cases, "V"], [side.tests?.length ?? 0, "T"]] as const;
  const shown = counts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  return shown.length === 0 ? undefined : shown.join(", ");
}

function cell(feature: Feature, sdk: Sdk, inputs: SdkInputs): string {
  const side = feature[sdk];
  if (side === null) return "not needed";
  const proven = proof(feature, sdk, side, inputs);
  return proven === undefined ? "–" : `✓ ${side.api} (${proven})`;
}

/** Throws TypeError for a scenario whose feature has no row, and for two rows of one feature. */
function checkRows({ groups, scenarios }: SdkInputs): void {
  const ids = groups.flatMap(({ features }) => features.map(({ id }) => id));
  const twice = ids.find((id, at) => ids.indexOf(id) !== at);
  if (twice !== undefined) throw new TypeError(`features.json has two rows "${twice}"`);
  const orphan = Object.keys(scenarios).find((feature) => !ids.includes(feature));
  if (orphan !== undefined) {
    throw new TypeError(`no row of features.json has the id "${orphan}", which scenarios name`);
  }
}

/** Number of passed scenarios of each feature, by SDK and transport. */
function transportTable({ groups, scenarios, results }: SdkInputs): string {
  const columns = SDKS.flatMap((sdk) => TRANSPORTS.map((transport) => ({ sdk, transport })));
  const rows = groups.flatMap(({ features }) => features).flatMap(({ id, name }) => {
    const { length } = scenarios[id] ?? [];
    const cells = columns.map(({ sdk, transport }) =>
      `${results[sdk].scenarios[transport][id]?.length ?? 0} of ${length}`
    );
    return length === 0 ? [] : [tableRow(name, ...cells)];
  });
  const titles = columns.map(({ sdk, transport }) =>
    `${TITLES[sdk]}, ${TRANSPORT_TITLES[transport]}`
  );
  return table(["scenarios", ...titles], rows);
}

/** The generated part of the page, as unformatted Markdown. */
export function renderTable(inputs: SdkInputs): string {
  checkRows(inputs);
  const total = Object.values(inputs.scenarios).flat().length;
  const cases = Object.values(inputs.vectors).reduce((sum, count) => sum + count, 0);
  const sections = inputs.groups.map(({ name, features }) => {
    const rows = features.map((feature) =>
      tableRow(feature.name, ...SDKS.map((sdk) => cell(feature, sdk, inputs)))
    );
    return `## ${name}\n\n${table(["feature", ...SDKS.map((sdk) => TITLES[sdk])], rows)}\n`;
  });
  return `# SDKs

What the TypeScript and the Python SDK can do, under which names. A tick is where it is
proven: by scenarios (S) and vectors (V) of [conformance](../sdk/conformance/README.md), ${total} and
${cases} in all, which both SDKs must pass alike, or by tests of the SDK's own (T). A dash is not
proven yet. A scenario is passed over WebSocket and over HTTP, [as below](#transports).

${sections.join("\n")}
## Transports

The same scenarios, played by WebSocket and by [HTTP](sse.md#connections), for each SDK.

${transportTable(inputs)}
`;
}

/** The line between the generated part above and the text below. */
const MARKER = "<!-- Above: generated by `deno task gen`. Below: kept by hand. -->";

/** Markdown formatted by `deno fmt`. */
export async function formatted(markdown: string, root: string): Promise<string> {
  return (await deno(["fmt", "--ext", "md", "-"], { cwd: root, stdin: markdown })).stdout;
}

async function readInputs(root: string): Promise<SdkInputs> {
  const folder = `${root}sdk/conformance/`;
  const read = async (path: string) => JSON.parse(await Deno.readTextFile(folder + path));
  const names = (path: string) =>
    [...Deno.readDirSync(folder + path)].map(({ name }) => name).sort();
  const scenarios: Record<string, string[]> = {};
  for (const file of names("scenarios")) {
    for (const { feature, name } of (await read(`scenarios/${file}`)).scenarios) {
      (scenarios[feature] ??= []).push(name);
    }
  }
  const made: Record<string, { cases: unknown[] }> = JSON.parse(vectorsText());
  const vectors = Object.fromEntries(
    Object.entries(made).map(([file, { cases }]) => [file, cases.length]),
  );
  const { groups } = await read("features.json") as Pick<SdkInputs, "groups">;
  const sources: Record<string, string> = {};
  for (const feature of groups.flatMap(({ features }) => features)) {
    for (const [path] of SDKS.flatMap((sdk) => feature[sdk]?.tests ?? [])) {
      sources[path] ??= await Deno.readTextFile(root + path).catch(() => "");
    }
  }
  const [typescript, python] = await Promise.all([
    read("results/typescript.json"),
    read("results/python.json"),
  ]);
  return { groups, scenarios, vectors, results: { typescript, python }, sources };
}

/** The text of `docs/sdks.md`: a new table, and the rest unchanged. `root` ends in a slash. */
export async function renderSdksMarkdown(root: string): Promise<string> {
  const page = await formatted(renderTable(await readInputs(root)), root);
  const current = await Deno.readTextFile(`${root}docs/sdks.md`).catch(() => `${MARKER}\n`);
  const at = current.indexOf(MARKER);
  if (at < 0) throw new TypeError(`docs/sdks.md has lost its line ${MARKER}`);
  return `${page}\n${current.slice(at)}`;
}
