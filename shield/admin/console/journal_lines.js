// Lines of the journal as the console reads and shows them: records, and holes for missing records.
import { action, plain, toned, when, wide } from "./columns.js";
import { el, setText } from "./element.js";
import { textOf } from "./format.js";
import { lifeOf } from "./life.js";
import { card } from "./page.js";

const RECORD_UNITS = 200_000;

/** Whether a line is a hole: records are missing. */
export const isHole = (line) => line.hole !== undefined;

/** The time of a line, Unix ms; of a hole, its end. */
export const timeOf = (line) => (isHole(line) ? line.hole.to_ms : line.time_ms);

/** The result of a decision as text. */
const outcomeText = (line) => {
  if (isHole(line)) return `hole: ${line.hole.why}`;
  return line.allowed ? "allowed" : `${line.code} ${line.reason}`;
};

function toneOf(line) {
  if (isHole(line)) return "bad";
  return line.allowed ? "ok" : "warn";
}

/** Each policy's answer, with its units. */
const policiesText = ({ policies = [] }) =>
  policies.map(({ name, allowed, fault, units }) =>
    `${name} ${fault === null ? (allowed ? "allows" : "refuses") : `fault ${fault}`} (${units})`
  ).join(", ");

const whoOf = (line) => (isHole(line) ? undefined : line.sender?.user ?? "(erased)");

/** Columns of a table of lines, with those of `before` and `behind` around the user's; `open` shows one line. */
export const lineColumns = (open, before = [], behind = []) => [
  when("at", "When", timeOf),
  toned("outcome", "Outcome", outcomeText, (_text, line) => toneOf(line)),
  ...before,
  plain("user", "User", whoOf),
  ...behind,
  wide("policies", "Policies, and their units", policiesText),
  action("open", "Open", "Open", (line) => `Open ${isHole(line) ? "the hole" : line.id}`, open),
];

/** The lines of an answer, and its end; a text without an end was truncated. */
function linesOf(text) {
  const lines = text.trimEnd().split("\n").map((line) => JSON.parse(line));
  const end = lines.pop();
  if (typeof end?.next !== "string") throw new Error("The answer was truncated. Try again.");
  return { lines, end };
}

async function textFrom(stream) {
  let text = "";
  for (const reader = stream.getReader();;) {
    const { value, done } = await reader.read();
    if (done) return text;
    text += value;
  }
}

/** The text of one answer of `GET /v1/journal`. Rejects as the API does. */
export async function readText(api, query, signal) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
  const path = `/v1/journal?${new URLSearchParams(given)}`;
  return await textFrom(await api.stream(path, signal));
}

/** One answer of `GET /v1/journal`: `{lines, end: {next, is_end}}`. Rejects as the API does. */
export async function readLines(api, query, signal) {
  return linesOf(await readText(api, query, signal));
}

/** A card with the whole content of a line. */
export function lineCard(line) {
  const body = el("pre.mono", { tabindex: "0" });
  // Users' data is shown as text.
  setText(body, textOf(line, RECORD_UNITS, 2));
  const life = isHole(line) ? undefined : lifeOf(line.tenant, line);
  const link = life && el("p", el("a", { href: life }, "Life of this message"));
  return card(isHole(line) ? "A hole" : `Decision ${line.id}`, link, body);
}
