/**
 * Reads a trace from the answer of Jaeger's HTTP API, checks its shape, and shows it as a tree. Pure;
 * `commands/cluster/why.ts` queries Jaeger.
 */
import { printable } from "../terminal/exit.ts";
import { inColumns, linesText } from "../terminal/columns.ts";

/** One span of a trace. Times are in µs. */
export type TraceSpan = ReturnType<typeof toSpan>;

const SPANS_MAX = 10_000;

type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null;
const list = (value: unknown): readonly Json[] =>
  Array.isArray(value) ? value.filter(isObject) : [];
const text = (value: unknown): string => typeof value === "string" ? value : "";
const count = (value: unknown): number =>
  typeof value === "number" && Number.isFinite(value) ? value : 0;

function tagsOf(span: Json): Readonly<Record<string, string | number | boolean>> {
  const tags: Record<string, string | number | boolean> = Object.create(null);
  for (const { key, value } of list(span["tags"])) {
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") {
      tags[text(key)] = value;
    }
  }
  return tags;
}

function toSpan(span: Json, processes: Json) {
  const parent = list(span["references"]).find(({ refType }) => refType === "CHILD_OF");
  const process = processes[text(span["processID"])];
  return {
    span_id: text(span["spanID"]),
    parent_id: text(parent?.["spanID"]),
    name: text(span["operationName"]),
    service: isObject(process) ? text(process["serviceName"]) : "",
    start_us: count(span["startTime"]),
    duration_us: count(span["duration"]),
    tags: tagsOf(span),
  };
}

/** Reads the spans of a trace. Undefined: the answer is not Jaeger's; empty: Jaeger does not know the trace. */
export function readTrace(answer: unknown): readonly TraceSpan[] | undefined {
  if (!isObject(answer) || !("data" in answer)) return undefined;
  if (answer["data"] !== null && !Array.isArray(answer["data"])) return undefined;
  return list(answer["data"]).flatMap((trace) => {
    const processes = isObject(trace["processes"]) ? trace["processes"] : {};
    return list(trace["spans"]).map((span) => toSpan(span, processes));
  }).slice(0, SPANS_MAX);
}

/** A duration in a unit that fits it: `87 µs`, `1.25 ms`, `3.1 s`. */
export function durationText(us: number): string {
  if (us < 1_000) return `${Math.round(us)} µs`;
  return us < 1_000_000 ? `${(us / 1_000).toFixed(2)} ms` : `${(us / 1_000_000).toFixed(2)} s`;
}

/** The tags of a span that are shown, the most useful first. */
const SHOWN: readonly string[] = [
  "error.type",
  "arqon.outcome",
  "arqon.tenant",
  "arqon.room",
  "arqon.type",
  "arqon.policy.module",
  "arqon.policy.verdict",
  "arqon.policy.fuel",
  "arqon.receivers",
];

function detailOf({ tags }: TraceSpan): string {
  return SHOWN.filter((key) => tags[key] !== undefined)
    .map((key) => `${key.replace(/^arqon\./, "")}=${tags[key]}`).join(" ");
}

const byStart = (one: TraceSpan, other: TraceSpan) =>
  one.start_us - other.start_us || one.span_id.localeCompare(other.span_id);

interface Row {
  readonly span: TraceSpan;
  readonly left: string;
}

/** The spans, parents before children. A span whose parent is missing (the client's) is a root. */
function rowsOf(spans: readonly TraceSpan[]): Row[] {
  const ids = new Set(spans.map(({ span_id }) => span_id));
  const children = Map.groupBy(
    spans,
    ({ parent_id, span_id }) => ids.has(parent_id) && parent_id !== span_id ? parent_id : "",
  );
  const rows: Row[] = [];
  // Spans that are each other's parents are below no root, so the walk terminates.
  const stack: { span: TraceSpan; before: string; last: boolean; root: boolean }[] = [];
  const push = (parent_id: string, before: string, root: boolean) => {
    const found = (children.get(parent_id) ?? []).toSorted(byStart);
    found.forEach((_, index) => {
      const span = found[found.length - 1 - index]!;
      stack.push({ span, before, last: index === 0, root });
    });
    children.delete(parent_id);
  };
  push("", "", true);
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    const { span, before, last, root } = at;
    rows.push({ span, left: root ? "" : `${before}${last ? "└─ " : "├─ "}` });
    push(span.span_id, root ? "" : `${before}${last ? "   " : "│  "}`, false);
  }
  return rows;
}

/** The trace as text, one line for each span: its place in the tree, start, duration and tags. */
export function traceTree(spans: readonly TraceSpan[]): string {
  const rows = rowsOf(spans);
  const first_us = Math.min(...rows.map(({ span }) => span.start_us));
  const cells = rows.map(({ span, left }) => [
    printable(`${left}${span.name}`),
    printable(span.service),
    `+${durationText(span.start_us - first_us)}`,
    durationText(span.duration_us),
    printable(detailOf(span)),
  ]);
  return linesText(inColumns(cells, 2, 4));
}
