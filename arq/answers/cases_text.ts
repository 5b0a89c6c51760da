/** Text for people of what `arq policy test --cases` found. Pure. */
import type { CaseReport, CasesAnswer } from "../commands/policy/policy_cases.ts";
import type { Decision } from "../replay/comparison.ts";
import { plural } from "../../shared/plural.ts";
import { printable } from "../terminal/exit.ts";

const SHOWN_CHARACTERS = 400;

/** What was decided, in a few words. */
function verdictText({ allowed, code, reason, fault }: Decision): string {
  if (allowed) return "allowed";
  if (fault !== null) return `fault ${fault}`;
  return `refused ${code}${reason === "" ? "" : ` ${JSON.stringify(reason)}`}`;
}

function payloadText(payload: CaseReport["new_payload"]): string {
  if (payload === null) return "as it came";
  const text = "json" in payload
    ? JSON.stringify(payload.json)
    : "text" in payload
    ? payload.text
    : `base64 ${payload.base64}`;
  const cut = text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
  return printable(cut);
}

function caseText(report: CaseReport): string {
  const { file, kind, room, recorded, now, unknown, headers, recorded_headers } = report;
  const lines = [`${kind.toUpperCase().padEnd(7)}  ${file}  ${room}`];
  if (kind === "unknown") lines.push(`  the case has no ${unknown.join(", ")}`);
  else {
    lines.push(`- ${verdictText(recorded)}`, `+ ${verdictText(now)}`);
    if (report.differs.includes("headers")) {
      lines.push(...recorded_headers.map(([name, value]) => `- header ${name}: ${value}`));
      lines.push(...headers.map(([name, value]) => `+ header ${name}: ${value}`));
    }
    if (report.differs.includes("payload")) {
      lines.push(`- payload ${payloadText(report.recorded_new_payload)}`);
      lines.push(`+ payload ${payloadText(report.new_payload)}`);
    }
  }
  lines.push(`  payload   ${payloadText(report.payload)}`);
  if (report.smallest !== undefined) lines.push(`  smallest  ${payloadText(report.smallest)}`);
  if (report.not_shrunk !== undefined) lines.push(`  not shrunk: ${report.not_shrunk}`);
  return lines.map((line) => `${printable(line)}\n`).join("");
}

/** The text of `arq policy test --cases`: each case that differs, then how many do. */
export function casesText({ cases, same, flips, changed, unknown, reports }: CasesAnswer): string {
  const parts = [`${plural(cases, "case")}: ${same} as recorded`];
  if (flips > 0) parts.push(plural(flips, "flip"));
  if (changed > 0) parts.push(`${changed} with other words or data`);
  if (unknown > 0) parts.push(`${unknown} unknown`);
  return `${reports.map(caseText).join("")}${parts.join(", ")}\n`;
}
