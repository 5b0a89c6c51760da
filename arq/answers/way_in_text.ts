/** The way in of messages as `arq why` shows it, as lines: pure, from the JSON of `GET /v1/why`. */
import { plural } from "../../shared/plural.ts";
import { listOf, membersOf } from "./policy_text.ts";

type Members = Readonly<Record<string, unknown>>;

/** Holes that are shown one by one. */
const HOLES_SHOWN = 5;

const time = (ms: unknown) => new Date(Number(ms)).toISOString();

/** The lines of all decisions, the oldest first. */
export const wayInLines = (way_in: Members): string[] =>
  listOf(way_in["decisions"]).map(membersOf).flatMap(decisionLines);

/** What the journal does not tell, and why. */
export function wayInGaps(way_in: Members): string[] {
  const holes = listOf(way_in["holes"]).map(membersOf);
  const hidden = holes.length - HOLES_SHOWN;
  const problem = String(way_in["problem"] ?? "");
  const has_nothing = listOf(way_in["decisions"]).length === 0 && problem === "";
  return [
    ...(has_nothing ? ["the journal has no decision about it"] : []),
    ...holes.slice(0, HOLES_SHOWN).map(holeText),
    ...(hidden > 0 ? [`and ${plural(hidden, "more hole")}`] : []),
    ...(problem === "" ? [] : [`the journal could not be read: ${problem}`]),
    ...(way_in["is_whole"] === true || problem !== ""
      ? []
      : ["there is more in the journal than was read"]),
  ];
}

function decisionLines(decision: Members): string[] {
  const { node, time_ms, allowed, code, reason, message, hook, room, type, sender, offset } =
    decision;
  const verdict = allowed === true
    ? `allowed${offset === null ? "" : `, offset ${offset}`}`
    : `refused ${code} ${reason}${message === "" ? "" : ` (${message})`}`;
  const { user, connection, remote_ip } = membersOf(sender);
  const who = sender === null
    ? "somebody who was erased"
    : `${user}, connection ${connection}, from ${remote_ip}`;
  const what = [hook, type, room === "" ? "" : `in ${room}`].filter((one) => one !== "").join(" ");
  return [
    `decided at ${node} ${time(time_ms)}: ${verdict}`,
    `  ${what} by ${who}`,
    ...listOf(decision["steps"]).map(membersOf).map(stepLine),
  ];
}

function stepLine({ step, outcome, text }: Members): string {
  const name = String(step).replaceAll("_", " ");
  return `  ${name}: ${outcome === "refused" ? "REFUSED, " : ""}${text}`;
}

function holeText({ node, from_ms, to_ms, records, why }: Members): string {
  const what = records === null ? "decisions" : plural(Number(records), "decision");
  return `${time(to_ms)}  HOLE  ${what} of ${node} from ${time(from_ms)} on: ${why}`;
}
