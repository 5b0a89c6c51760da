/**
 * Answers about the settings of a tenant or a process, as text for people: mirror rules, room classes, schedules,
 * hooks, and the configuration in force. Pure. Nothing in an answer is trusted to have the expected shape or to be
 * printable.
 */
import { CommandError, EXIT, printable } from "../terminal/exit.ts";
import {
  card,
  cell,
  filled,
  listing,
  listOf,
  type Members,
  membersOf,
  percentText,
  when,
} from "./policy_text.ts";
import { plural } from "../../shared/plural.ts";
import { linesText } from "../terminal/columns.ts";

/** The rules that the tenant has set itself, without the members that only repeat this. */
const ownOf = (items: unknown, tenant: string | undefined): unknown =>
  tenant === undefined ? items : listOf(items).map((one) => ({
    source: "tenant",
    tenant,
    tenant_id: tenant,
    ...membersOf(one),
  }));

/** The table of mirror rules. `tenant` is the tenant of a rule that names none. */
export const ruleTable = (rules: unknown, tenant?: string): string =>
  listing(ownOf(rules, tenant), ["PREFIX", "SHARE=percent", "SOURCE", "TENANT=tenant_id"]);

/** The text of `arq mirror list`: the rules in force on a node, or those that a tenant has set. */
export function rulesText(answer: Members, { tenant }: Members): string {
  return ruleTable(answer["rules"], tenant as string) +
    listingEnd(answer, listOf(answer["rules"]).length === 0 ? "mirror rules" : "", tenant);
}

/** The lines after a listing of settings: that there are none or more, and why they are not in force. */
export function listingEnd(answer: Members, what: string, tenant: unknown): string {
  const { problem } = membersOf(answer["here"]);
  const whose = tenant === undefined ? "" : ` by tenant ${tenant}`;
  return (what === "" ? "" : `no ${what} are set${whose}\n`) +
    (answer["truncated"] === true ? "… and more\n" : "") +
    (typeof problem === "string" ? `NOT IN FORCE: ${printable(problem)}\n` : "");
}

/** The text for a mirror rule that was set. */
export const mirroredText = (_: Members, { prefix, share }: Members): string =>
  `${prefix} is mirrored at ${percentText(share)}`;

function share(part: unknown, whole: unknown): string {
  if (typeof part !== "number" || typeof whole !== "number" || whole === 0) return cell(part);
  return part === 0 ? "0" : `${part} (${Number((part / whole * 100).toPrecision(3))} %)`;
}

const exampleLine = (one: Members): string =>
  filled("  would {would}[  {at_ms}][  {room}][  {type}][  {trace_id}][: {reason}]\n", one);

/** The text of `arq mirror diff`: what each candidate would have decided, then examples, newest first. */
export function diffText({ candidates }: Members, { tenant }: Members = {}): string {
  const all = listOf(candidates).map(membersOf);
  if (all.length === 0) return `tenant ${tenant}: nothing was compared on this node\n`;
  const columns = ["CANDIDATE", "MIRRORED", "AGREE", "WOULD REFUSE", "WOULD ALLOW", "UNMATCHED"];
  const shares = {
    "WOULD REFUSE": ({ would_refuse, mirrored }: Members) => share(would_refuse, mirrored),
    "WOULD ALLOW": ({ would_allow, mirrored }: Members) => share(would_allow, mirrored),
  };
  const examples = all.map(({ candidate, examples }) => {
    const lines = listOf(examples).map(membersOf).toReversed().map(exampleLine);
    return lines.length === 0 ? "" : `\n${cell(candidate)}\n${lines.join("")}`;
  });
  return listing(all, columns, shares) + examples.join("");
}

/** The text of `arq mirror explain`: the rule that applies to a subject, and why. */
export function explainText(answer: Members): string {
  const { others, mirrored } = answer;
  const is = mirrored === undefined ? "" : mirrored === true ? "mirrored" : "not mirrored";
  const overruled = ruleTable(others);
  const more = overruled === "" ? "" : `also matching, but overruled:\n${overruled}`;
  const about = "{subject}: {why}\n[share: {rule.percent}\n][key {key}: {is}\n]";
  return filled(about, { ...answer, is }) + more;
}

const UNITS = [["d", 86_400], ["h", 3_600], ["m", 60]] as const;

/** A number of seconds in the largest unit that divides it: 86400 is `1d`, 90 is `90s`. */
export function spanText(seconds: unknown): string {
  if (typeof seconds !== "number") return cell(seconds);
  const [unit, size] = UNITS.find(([, size]) => seconds >= size && seconds % size === 0) ??
    ["s", 1];
  return `${seconds / size}${unit}`;
}

const isGiven = (value: unknown) => value !== undefined && value !== null;

/** Options whose absence is their default; they are shown by name. */
const NAMED = [
  ...["proof_public", "journal", "journal_share", "journal_ttl_seconds", "journal_payload"],
  ...["reducer", "reducer_claims", "reducer_visible", "reducer_public"],
];

/** The options of a class that differ from the default: `durable, 1000 messages, 1d, no echo`. */
export function optionsText(one: unknown): string {
  const options = membersOf(one);
  const { durable, replicas, cache_last, presence, max_members, echo, http_cache, filter, delta } =
    options;
  const { slow_reader = "disconnect" } = options;
  const words = [
    ...(durable === true
      ? ["durable", plural(Number(options["history_size"]), "message")]
        .concat(spanText(options["history_ttl_seconds"]))
      : []),
    ...(durable === true && isGiven(replicas) ? [plural(Number(replicas), "replica")] : []),
    ...(cache_last === true ? ["cache-last"] : []),
    ...(presence === false ? ["no presence"] : []),
    ...(slow_reader === "disconnect" ? [] : [`slow_reader ${cell(slow_reader)}`]),
    ...(isGiven(max_members) ? [`at most ${plural(Number(max_members), "member")}`] : []),
    ...(echo === false ? ["no echo"] : []),
    ...(http_cache === "private" || http_cache === "public" ? [`${http_cache} HTTP cache`] : []),
    ...(options["membership"] === "journal" ? ["journal of members"] : []),
    ...(options["proof"] === true ? ["transparency log"] : []),
    ...(typeof filter === "string" ? [`only ${filter}`] : []),
    ...(delta === "fossil" ? ["deltas"] : []),
    ...NAMED.filter((name) => !["", "false"].includes(String(options[name] ?? "")))
      .map((name) => `${name} ${cell(options[name])}`),
  ];
  return words.length === 0 ? "defaults" : words.join(", ");
}

/** The table of room classes. `tenant` is the owner of stored classes. */
export const classTable = (classes: unknown, tenant?: string): string =>
  listing(ownOf(classes, tenant), ["ROOMS", "OPTIONS", "SOURCE", "TENANT"], {
    ROOMS: ({ pattern, room }) => cell(pattern ?? room),
    OPTIONS: optionsText,
  });

/** The text of `arq room class list`: the classes in force on a node, or those that a tenant has set. */
export function classesText(answer: Members, { tenant }: Members): string {
  const classes = listOf(tenant === undefined ? answer["classes"] : answer["rooms"]);
  const end = listingEnd(answer, classes.length === 0 ? "room classes" : "", tenant);
  return classTable(classes, tenant as string) + end;
}

/** The text for a class that was set. */
export function classSetText(answer: Members, { pattern }: Members): string {
  const stored = listOf(answer["rooms"]).find((one) => membersOf(one)["room"] === pattern);
  return `the class of ${pattern} is set (${optionsText(stored)})`;
}

/** The text of an option that a class does not set. */
const DEFAULTS = {
  replicas: "3 on a NATS cluster, else 1",
  max_members: "100,000",
  filter: "none",
  delta: "none",
};
const OPTIONS = [
  ..."durable,history_size,history_ttl_seconds,replicas,cache_last,presence,slow_reader".split(","),
  ..."max_members,echo,http_cache,membership,proof,filter,delta".split(","),
  ...NAMED,
];

/** The text of `arq room class explain`: a room's class with all options, and the classes that it overrules. */
export function classExplainText(answer: Members): string {
  const { room, why, others } = answer;
  const rest = listOf(others).filter((one) => membersOf(one)["source"] !== "default");
  const overruled = classTable(rest);
  const more = overruled === "" ? "" : `also matching, but overruled:\n${overruled}`;
  const given = Object.entries(membersOf(answer["class"])).filter(([, value]) => isGiven(value));
  const options = { ...DEFAULTS, ...Object.fromEntries(given) };
  return `${card(`${cell(room)}: ${cell(why)}`, options, OPTIONS)}${more}`;
}

const timeText = (ms: unknown): string => when(ms) || "never";

/** When a schedule is due: `every 10s`, `30 9 * * 1-5 Europe/Berlin`, or a time. */
function whenText({ at_ms, every_ms, cron, zone, until_ms }: Members): string {
  const until = until_ms === undefined ? "" : ` until ${timeText(until_ms)}`;
  if (at_ms !== undefined) return timeText(at_ms);
  if (typeof every_ms === "number") return `every ${spanText(every_ms / 1_000)}${until}`;
  return cron === undefined ? "" : `${cell(cron)} ${cell(zone ?? "UTC")}${until}`;
}

/** The table of a tenant's schedules. */
export const schedulesTable = ({ schedules }: Members): string =>
  listing(schedules, ["ID", "ROOM", "WHEN", "STATE", "NEXT", "PUBLISHED"], {
    WHEN: whenText,
    NEXT: ({ next_ms }) => timeText(next_ms),
  }) || "no schedules\n";

/** One schedule, a member on each line. */
export function scheduleText({ schedule }: Members): string {
  const one = membersOf(schedule);
  const { next_ms } = one;
  const last = isGiven(one["last"])
    ? filled("{outcome}[, due {due_ms}][: {reason}]", membersOf(one["last"]))
    : "";
  const rows = ["room", "next", "published", "refused", "missed", "last"];
  return card(`${cell(one["id"])}: ${whenText(one)}, ${cell(one["state"])}`, {
    ...one,
    last,
    next: timeText(next_ms),
  }, rows);
}

/** A hook's state for a table; the hook's own text has the details. */
const stateOf = (one: Members): string =>
  `${cell(one["state"])}${one["problem"] ? " (PROBLEM)" : ""}`;

/** The table of a tenant's hooks. */
export const hooksTable = ({ hooks }: Members): string =>
  listing(hooks, ["ID", "STATE", "ROOM", "EVENTS", "DEAD", "FROM=source", "URL"], {
    STATE: stateOf,
  }) || "no hooks\n";

/** One hook, a member on each line. */
export function hookAnswerText({ hook }: Members): string {
  const one = membersOf(hook);
  const secret = filled("[{secret} (shown only once)]", one);
  return card(filled("{id}: {state}", one), { ...one, secret }, [
    ...["url", "room", "events", "dead", "PROBLEM=problem", "secret"],
  ]);
}

/** One hook, with its dead letters. */
export function hookLettersText(answer: Members): string {
  const columns = ["DEAD SINCE=at_ms", "ROOM", "OFFSET", "TYPE", "CALLS", "PROBLEM"];
  const dead = listing(answer["dead"], columns);
  return `${hookAnswerText(answer)}\n${dead || "no dead letters\n"}`;
}

/** Throws `CommandError` when the hook did not accept the call. */
export function requireTaken({ status, problem }: Members, { id }: Members): void {
  if (typeof status === "number" && status >= 200 && status < 300) return;
  const why = status === 0 ? cell(problem) : `it answered ${cell(status)}`;
  throw new CommandError(`the hook ${id} did not accept the call: ${why}`);
}

const namesOf = (value: unknown) => listOf(value).map(String).join(", ");

/** The line that names a process, its file, and when the file was read last. */
function headOf({ node_id, kind, file, loaded_ms }: Members): string {
  const read = new Date(typeof loaded_ms === "number" ? loaded_ms : Number.NaN);
  const when = Number.isNaN(read.getTime()) ? "" : `, read ${read.toISOString()}`;
  return `${kind} ${node_id}: ${file ?? "no file"}${when}`;
}

/** The settings of the file that are not in force, and why. */
function doubtsOf({ needs_restart, problem }: Members): string[] {
  const keys = namesOf(needs_restart);
  return [
    ...(typeof problem === "string" ? [`  refused, nothing has changed: ${problem}`] : []),
    ...(keys === "" ? [] : [`  needs a restart: ${keys}`]),
  ];
}

function linesOf(one: Members, has_values: boolean): string[] {
  if (has_values) {
    const values = Object.entries(membersOf(one["values"]));
    const shown = values.map(([key, value]) => `  ${key} = ${JSON.stringify(value)}`);
    return [headOf(one), ...shown, ...doubtsOf(one)];
  }
  const changed = namesOf(one["changed"]);
  const is_refused = typeof one["problem"] === "string";
  const news = is_refused ? [] : [`  changed: ${changed === "" ? "nothing" : changed}`];
  return [headOf(one), ...news, ...doubtsOf(one)];
}

/** The processes that did not answer. */
function silentOf(answer: Members): string[] {
  return listOf(membersOf(answer["nodes"])["silent"]).map(String);
}

/** The keys in force in every process. */
export const configText = (answer: Members): string => textOf(answer, true);

/** The changes by the last reload in every process. */
export const reloadedText = (answer: Members): string => textOf(answer, false);

function textOf(answer: Members, has_values: boolean): string {
  const lines = listOf(answer["configs"]).map(membersOf).flatMap((one) => linesOf(one, has_values));
  const missing = silentOf(answer).map((node) => `${node} does not answer`);
  return linesText([...lines, ...missing]);
}

/** 0 when every process answered and has its file in force, except for keys that need a restart. */
export function reloadedExit(answer: Members): number {
  const is_taken = silentOf(answer).length === 0 &&
    listOf(answer["configs"]).map(membersOf).every(({ problem }) => typeof problem !== "string");
  return is_taken ? EXIT.ok : EXIT.failure;
}
