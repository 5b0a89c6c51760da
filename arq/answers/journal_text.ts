/** Lines of the journal as text for people. Pure. A line of another version is shown unchanged. */
import { isHole, parseLine } from "../../shared/journal/record.ts";
import type { JournalRecord, PolicyRecord } from "../../shared/journal/record.ts";
import { plural } from "../../shared/plural.ts";
import { printable } from "../terminal/exit.ts";
import { filled, type Members } from "./policy_text.ts";

/** The line for a line of the journal, without a newline. */
export function journalLineText(line: string): string {
  const parsed = parseLine(line);
  if ("problem" in parsed) return printable(line);
  return printable(
    isHole(parsed.line) ? holeText({ ...parsed.line.hole }) : recordText(parsed.line),
  );
}

/** The line for missing decisions. */
export function holeText(hole: Members): string {
  const { records } = hole;
  const what = records === null ? "decisions" : plural(Number(records), "decision");
  return filled("{to_ms}  HOLE  {what} of {node} from {from_ms} on: {why}", { ...hole, what });
}

/** The verdict of a policy, and its cost. */
function policyText({ name, mode, allowed, code, fault, reason, units }: PolicyRecord): string {
  const verdict = fault !== null
    ? `fault ${fault}`
    : allowed
    ? "allows"
    : `refuses ${code}${reason === "" ? "" : ` ${JSON.stringify(reason)}`}`;
  return `${name}${mode === "observe" ? " (observing)" : ""} ${verdict}, ${units} units`;
}

function recordText(record: JournalRecord): string {
  const { allowed, message, sender, policies } = record;
  const nobody = record.is_unkept === true ? "(no key)" : "(erased)";
  return filled(
    "{time_ms}  {outcome}  {hook}[  {room}][  {type}]  by {who}[  @{offset}][  {message_text}]",
    {
      ...record,
      outcome: allowed ? "allowed" : filled("refused {code} {reason}", { ...record }),
      who: sender === null ? nobody : `${sender.user}/${sender.connection}`,
      message_text: message === "" ? "" : JSON.stringify(message),
    },
  ) + policies.map((one) => `  ${policyText(one)}`).join("");
}

/** The text of `arq journal status`. */
export function journalStatusText(answer: Members, { tenant }: Members): string {
  const blocks = plural(Number(answer["blocks"]), "block");
  const what = answer["blocks"] === 0
    ? " is empty"
    : ": {blocks}, {bytes} bytes, stored from {first_ms} to {last_ms}";
  return filled(`the journal of {tenant}${what}\n`, { ...answer, tenant, blocks });
}
