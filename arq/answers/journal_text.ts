/** Lines of the journal as text for people. Pure; one of another version is shown as it came. */
import { isHole, parseLine } from "../../shared/journal/record.ts";
import type { JournalHole, JournalRecord, PolicyRecord } from "../../shared/journal/record.ts";
import { plural } from "../../shared/plural.ts";
import { printable } from "../terminal/exit.ts";

const time = (at_ms: number) => new Date(at_ms).toISOString();

/** The line for a line of the journal, without a newline. */
export function journalLineText(line: string): string {
  const parsed = parseLine(line);
  if ("problem" in parsed) return printable(line);
  return printable(isHole(parsed.line) ? holeText(parsed.line) : recordText(parsed.line));
}

/** The line for decisions that are missing. */
function holeText({ hole: { node, from_ms, to_ms, records, why } }: JournalHole): string {
  const what = records === null ? "decisions" : plural(records, "decision");
  return `${time(to_ms)}  HOLE  ${what} of ${node} from ${time(from_ms)} on: ${why}`;
}

/** What a policy said, and what that cost. */
function policyText(
  { name, mode, allowed, code, fault, reason, units }: PolicyRecord,
): string {
  const verdict = fault !== null
    ? `fault ${fault}`
    : allowed
    ? "allows"
    : `refuses ${code}${reason === "" ? "" : ` ${JSON.stringify(reason)}`}`;
  return `${name}${mode === "observe" ? " (observing)" : ""} ${verdict}, ${units} units`;
}

function recordText(record: JournalRecord): string {
  const { time_ms, allowed, code, reason, message, hook, room, sender, type, offset } = record;
  const outcome = allowed ? "allowed" : `refused ${code} ${reason}`;
  const nobody = record.is_unkept === true ? "(no key)" : "(erased)";
  const who = sender === null ? nobody : `${sender.user}/${sender.connection}`;
  const said = message === "" ? [] : [JSON.stringify(message)];
  const place = offset === null ? [] : [`@${offset}`];
  return [
    time(time_ms),
    outcome,
    hook,
    ...(room === "" ? [] : [room]),
    ...(type === "" ? [] : [type]),
    `by ${who}`,
    ...place,
    ...said,
    ...record.policies.map(policyText),
  ].join("  ");
}

/** The text of `arq journal status`. */
export function journalStatusText(
  { blocks, bytes, first_ms, last_ms }: Readonly<Record<string, unknown>>,
  { tenant }: Readonly<Record<string, unknown>>,
): string {
  const size = `${plural(Number(blocks), "block")}, ${bytes} bytes`;
  const what = blocks === 0
    ? " is empty"
    : `: ${size}, stored from ${time(Number(first_ms))} to ${time(Number(last_ms))}`;
  return `${printable(`the journal of ${tenant}${what}`)}\n`;
}
