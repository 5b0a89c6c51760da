/**
 * Parses a page of metrics in the Prometheus text format, and checks it against Prometheus's naming rules. For tests
 * only.
 */

/** One sample of the page. */
export interface Sample {
  /** With `_bucket`, `_sum` or `_count` at the end if it belongs to a histogram. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** One family. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly samples: readonly Sample[];
}

/** Names that are older than the rules and do not change, with their types. */
export const CONTRACT: Readonly<Record<string, string>> = {
  shield_active_connections: "gauge",
  shield_ingress_ops: "counter",
  policy_execution_duration: "histogram",
  shield_wasm_execution_duration_seconds: "histogram",
  shield_wasm_fuel_consumed_total: "counter",
  shield_mirror_traffic_total: "counter",
  shield_schema_violation_total: "counter",
  brain_room_count: "gauge",
  consistency_convergence_lag: "gauge",
};
/** Named after a name of the contract. */
const LIKE_CONTRACT = ["consistency_convergence_lag_max", "consistency_convergence_seconds"];

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;
/** Labels with values that clients, users or rooms choose would create unlimited series. */
const UNBOUNDED = ["user", "user_id", "room", "room_id", "connection", "connection_id", "trace_id"];
const TENANT_FAMILIES = /^shield_tenant_\w+$|^shield_schema_violation_tenant_total$/;
const FOREIGN_UNITS =
  /_(ms|milliseconds|us|microseconds|ns|minutes|hours|kb|kilobytes|mb|megabytes|percent)(_|$)/;

/** The families of a page by name. Throws on an invalid line. */
export function parsePage(text: string): Map<string, Family> {
  const families = new Map<string, Family & { samples: Sample[] }>();
  let family: Family & { help: string; type: string; samples: Sample[] } | undefined;
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const [, comment, name = "", rest = ""] = /^# (HELP|TYPE) (\S+) ?(.*)$/.exec(line) ?? [];
    if (comment === "HELP") {
      if (families.has(name)) throw new Error(`${name} is on the page twice`);
      family = { name, help: rest, type: "", samples: [] };
      families.set(name, family);
    } else if (comment === "TYPE" && family !== undefined && family.name === name) {
      family.type = rest;
    } else {
      const [, sample, labels = "", value] = SAMPLE.exec(line) ?? [];
      if (sample === undefined || family === undefined || !sample.startsWith(family.name)) {
        throw new Error(`not a line of ${family?.name}: ${line}`);
      }
      const pairs = [...labels.matchAll(LABEL)].map(([, key, text]) => [key, text]);
      const number = value === "+Inf" ? Infinity : Number(value);
      family.samples.push({ name: sample, labels: Object.fromEntries(pairs), value: number });
    }
  }
  return families;
}

function nameProblems({ name, type }: Family): string[] {
  const problems = [];
  const own = name in CONTRACT || LIKE_CONTRACT.includes(name);
  if (!/^[a-z][a-z0-9]*(_[a-z0-9]+)*$/.test(name)) problems.push("not snake_case");
  if (!own && !/^(shield|brain|arqon|process)_/.test(name)) problems.push("no prefix");
  if (FOREIGN_UNITS.test(name)) problems.push("not a base unit: seconds, bytes, ratio");
  if (own) return problems;
  if (type === "counter" && !name.endsWith("_total")) problems.push("a counter without _total");
  if (type !== "counter" && name.endsWith("_total")) problems.push("_total, and no counter");
  if (/_(count|sum|bucket)$/.test(name)) problems.push("an end that histograms have");
  if (type === "histogram" && !/_(seconds|bytes|ratio)$/.test(name)) problems.push("no unit");
  if (type === "gauge" && /_(duration|age|lag|latency)$/.test(name)) problems.push("no unit");
  return problems;
}

/** Violations of the rules on a page; empty if none. */
export function lintPage(families: ReadonlyMap<string, Family>): string[] {
  return [...families.values()].flatMap((family) => {
    const { help, type, samples } = family;
    const problems = nameProblems(family);
    if (!/^\S.{7,}\.$/.test(help)) problems.push(`its help is no sentence: "${help}"`);
    if (!["counter", "gauge", "histogram"].includes(type)) problems.push(`type "${type}"`);
    const labels = new Set(samples.flatMap((sample) => Object.keys(sample.labels)));
    for (const label of labels) {
      if (UNBOUNDED.includes(label)) problems.push(`label ${label} has no bound`);
      if (label === "tenant" && !TENANT_FAMILIES.test(family.name)) problems.push("label tenant");
    }
    const series = samples.map(({ name, labels }) => JSON.stringify([name, labels]));
    if (new Set(series).size !== series.length) problems.push("a series twice");
    return problems.map((problem) => `${family.name}: ${problem}`);
  });
}
