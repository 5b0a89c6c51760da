/** The way in of a message as `arq why` shows it, as lines: pure, from records of the journal. */
import type { JournalRecord, PolicyRecord } from "../../shared/journal/record.ts";
import { plural } from "../../shared/plural.ts";
import type { WayIn } from "../journal/way_in.ts";
import { holeText, policyText } from "./journal_text.ts";

/** Holes that are shown one by one. */
const HOLES_SHOWN = 5;
/** Digits of a module's hash. */
const HASH_DIGITS = 12;

const time = (ms: number) => new Date(ms).toISOString();

/** The lines of all decisions, the oldest first. */
export const wayInLines = ({ records }: WayIn): string[] => records.flatMap(recordLines);

/** What the journal does not tell, and why. */
export function wayInGaps({ records, holes, is_whole, problem }: WayIn): string[] {
  const hidden = holes.length - HOLES_SHOWN;
  const has_nothing = records.length === 0 && problem === "";
  return [
    ...(has_nothing ? ["the journal has no decision about it"] : []),
    ...holes.slice(0, HOLES_SHOWN).map(holeText),
    ...(hidden > 0 ? [`and ${plural(hidden, "more hole")}`] : []),
    ...(problem === "" ? [] : [`the journal could not be read: ${problem}`]),
    ...(is_whole || problem !== "" ? [] : ["there is more in the journal than was read"]),
  ];
}

function recordLines(record: JournalRecord): string[] {
  const { node, time_ms, allowed, code, reason, message, hook, room, type, sender } = record;
  const { offset, schema, chain_version, policies } = record;
  const verdict = allowed
    ? `allowed${offset === null ? "" : `, offset ${offset}`}`
    : `refused ${code} ${reason}${message === "" ? "" : ` (${message})`}`;
  const who = sender === null
    ? "somebody who was erased"
    : `${sender.user}, connection ${sender.connection}, from ${sender.remote_ip}`;
  const what = [hook, type, room === "" ? "" : `in ${room}`].filter((one) => one !== "").join(" ");
  return [
    `decided at ${node} ${time(time_ms)}: ${verdict}`,
    `  ${what} by ${who}`,
    ...(schema === null ? [] : [`  ${schemaText(schema)}`]),
    ...policies.map((one) => `  policy ${moduleText(one)}`),
    ...(chain_version === null ? [] : [`  policies of version ${chain_version}`]),
  ];
}

function schemaText({ id, version, violation }: NonNullable<JournalRecord["schema"]>): string {
  const name = `schema ${id} version ${version}`;
  if (violation === null) return `${name}: fits`;
  const { path, rule, message } = violation;
  return `${name}: ${path === "" ? "" : `${path} `}breaks ${rule} (${message})`;
}

function moduleText(policy: PolicyRecord): string {
  return `${policyText(policy)} of ${policy.budget_units}, module ${
    policy.module.slice(0, HASH_DIGITS)
  }`;
}
