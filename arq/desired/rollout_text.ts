/** A rollout as people read it: how far it is, what it waits for, what was counted. Pure. */
import { listOf, membersOf, percentText } from "../answers/policy_text.ts";
import { printable } from "../terminal/exit.ts";

type Members = Readonly<Record<string, unknown>>;

/** The state of a rollout in one word. */
export const stateOf = (view: Members): string => String(membersOf(view["rollout"])["state"]);

function shareText(view: Members): string {
  const { stage } = membersOf(view["rollout"]);
  return stage === 0 ? "observing" : `in force for ${percentText(view["share"])}`;
}

function tallyText(tally: unknown): string {
  const { name, compared, enforced, refused, passed, faults, fuel } = membersOf(tally);
  const p99 = (version: string) => Number(membersOf(membersOf(fuel)[version])["p99"]).toFixed(2);
  return `${printable(String(name))}: ${compared} messages, ${enforced} by the new version; ` +
    `refuses ${refused} more, passes ${passed} more, ${faults} faults; ` +
    `fuel p99 ${p99("old")} → ${p99("new")}`;
}

function sampleText(sample: unknown): string {
  const { would, user, room, reason, at_ms } = membersOf(sample);
  const where = room === "" ? "" : ` in ${room}`;
  const why = reason === "" ? "" : `: ${reason}`;
  const text = `would ${would}: ${user}${where}${why}`;
  return `  ${new Date(Number(at_ms)).toISOString()} ${printable(text)}\n`;
}

/** How a rollout ended, with samples; "" while it is under way. */
export function endText(view: Members): string {
  const { state, ended, by } = membersOf(view["rollout"]);
  if (state === "applied") return "applied: the new state is in force\n";
  if (state !== "returned") return "";
  const { why, samples } = membersOf(ended);
  const text = `rolled back: the previous state is in force; begun by ${by}\n`;
  return `${printable(text.trimEnd())}\n  ${printable(String(why))}\n` +
    listOf(samples).map(sampleText).join("");
}

/** One line of progress. */
export function progressText(view: Members): string {
  const state = stateOf(view);
  const waits = printable(String(view["waits"]));
  const step = state === "applying" ? "the last step" : `${shareText(view)}; ${waits}`;
  const tallies = listOf(view["tallies"]).map(tallyText).map((text) => `\n  ${text}`).join("");
  return `${step}${tallies}\n`;
}

/** All of a rollout. */
export function rolloutText(view: Members): string {
  const { id, by, began_ms, state, conditions, schemas } = membersOf(view["rollout"]);
  const since = new Date(Number(began_ms)).toISOString();
  const held = listOf(conditions).map(String).join(", ");
  const head = printable(`tenant ${view["tenant"]}: rollout ${id} by ${by}, ${since}: ${state}`);
  const nodes = listOf(view["nodes"]).map((node) => {
    const { node_id, problem } = membersOf(node);
    return problem === null ? "" : `  ${printable(`${node_id}: ${problem}`)}\n`;
  });
  const versions = listOf(schemas).map((one) => {
    const { schema_id, version } = membersOf(one);
    return `${schema_id} ${version}`;
  });
  const is_over = state === "applied" || state === "returned";
  return `${head}\n` +
    (held === "" ? "no conditions\n" : `ends if ${printable(held)}\n`) +
    (is_over || versions.length === 0
      ? ""
      : `schemas with the last step: ${printable(versions.join(", "))}\n`) +
    (is_over ? "" : progressText(view) + nodes.join("")) +
    endText(view);
}

/** A list of rollouts, one on each line. */
export const rolloutsText = ({ rollouts }: Members): string =>
  listOf(rollouts).map(rolloutLine).join("") || "no rollouts\n";

function rolloutLine(one: unknown): string {
  const { tenant, id, by, began_ms, state, why, share } = membersOf(one);
  const since = new Date(Number(began_ms)).toISOString();
  const part = share === null ? "" : ` at ${percentText(share)}`;
  const reason = why === "" ? "" : `: ${why}`;
  return `${printable(`${tenant} ${id} ${since} by ${by} ${state}${part}${reason}`)}\n`;
}
