/** The usage ledger as text: a table for people, and CSV (RFC 4180). Pure. */
import { aligned } from "./cluster.ts";
import { filled, listOf as list, type Members, membersOf as members } from "./policy_text.ts";
import { time } from "./figures.ts";

const COLUMNS = [
  ...["messages_in", "deliveries", "bytes_in", "bytes_out", "connection_minutes", "fuel"],
  ...["log_bytes", "reads", "cost"],
];
const TIMES = ["minute", "hour", "day"];

/** A number with separators and at most three decimals. */
function amount(value: unknown): string {
  return Number(value).toLocaleString("en-US", { maximumFractionDigits: 3 });
}

function about(name: string, value: unknown): string {
  if (TIMES.includes(name)) return time(Number(value)).slice(0, 16);
  return value === "" ? "-" : String(value);
}

/** The text of `arq usage`: a table, or with `--csv` CSV. */
export const usageText = (answer: Members, { csv }: Members): string =>
  csv === true ? usageCsv(answer) : usageTable(answer);

/** The table, and the missing periods. */
function usageTable(answer: Members): string {
  const by = list(answer["by"]).map(String);
  const line = (row: Members, first: readonly string[]) => [
    ...first,
    ...COLUMNS.map((unit) => amount(row[unit])),
  ];
  const rows = list(answer["rows"]).map(members)
    .toSorted((a, b) => Number(b["cost"]) - Number(a["cost"]) || 0)
    .map((row) => line(row, by.map((name) => about(name, row[name]))));
  const total = line(members(answer["total"]), by.map((_, at) => at === 0 ? "all" : ""));
  const head = [...by, ...COLUMNS.map((unit) => unit.replaceAll("_", " "))];
  return filled("tenant {tenant} since {since_ms}\n", answer) +
    aligned(by.length === 0 ? [head, total] : [head, ...rows, total]) + missing(answer);
}

function missing(answer: Members): string {
  const { lost, damaged, since_ms, whole_since_ms } = answer;
  const killed = "missing: {node_id} was killed; its counts after {after_ms}, at most {s} s\n";
  return (Number(whole_since_ms) > Number(since_ms)
    ? filled("missing: data before {whole_since_ms} may have expired\n", answer)
    : "") +
    list(lost).map(members).map((one) =>
      filled(killed, { ...one, s: Number(one["most_ms"]) / 1_000 })
    ).join("") +
    (Number(damaged) > 0 ? filled("missing: {damaged} blocks cannot be read\n", answer) : "");
}

/** A field of CSV. A value that a spreadsheet would read as a formula gets a leading apostrophe. */
function field(value: unknown): string {
  const text = String(value ?? "");
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** The rows as CSV with a header; without `by` there is one row for everything. */
function usageCsv(answer: Members): string {
  const by = list(answer["by"]).map(String);
  const total = members(answer["total"]);
  const units = Object.keys(total);
  const rows = by.length === 0 ? [total] : list(answer["rows"]).map(members);
  const lines = rows.map((row) => [
    ...by.map((name) => TIMES.includes(name) ? about(name, row[name]) : row[name]),
    ...units.map((unit) => row[unit]),
  ]);
  return [[...by, ...units], ...lines].map((line) => `${line.map(field).join(",")}\r\n`).join("");
}
