/**
 * Room classes of the admin API's answers as text for people. Pure. An answer may have any shape and any
 * characters.
 */
import { plural } from "../../shared/plural.ts";
import { listingEnd } from "./mirror_text.ts";
import { cell, listing, listOf, membersOf } from "./policy_text.ts";

type Members = Readonly<Record<string, unknown>>;

const UNITS = [["d", 86_400], ["h", 3_600], ["m", 60]] as const;

/** A number of seconds in the largest unit that divides it: 86400 is `1d`, 90 is `90s`. */
export function spanText(seconds: unknown): string {
  if (typeof seconds !== "number") return cell(seconds);
  const [unit, size] = UNITS.find(([, size]) => seconds >= size && seconds % size === 0) ??
    ["s", 1];
  return `${seconds / size}${unit}`;
}

const isGiven = (value: unknown) => value !== undefined && value !== null;

/** The options of a class that differ from the default: `durable, 1000 messages, 1d, no echo`. */
export function optionsText(one: unknown): string {
  const options = membersOf(one);
  const { durable, replicas, cache_last, presence, max_members, echo, http_cache, filter, delta } =
    options;
  const words = [
    ...(durable === true
      ? ["durable", plural(Number(options["history_size"]), "message")]
        .concat(spanText(options["history_ttl_seconds"]))
      : []),
    ...(durable === true && isGiven(replicas) ? [plural(Number(replicas), "replica")] : []),
    ...(cache_last === true ? ["cache-last"] : []),
    ...(presence === false ? ["no presence"] : []),
    ...(isGiven(max_members) ? [`at most ${plural(Number(max_members), "member")}`] : []),
    ...(echo === false ? ["no echo"] : []),
    ...(http_cache === "private" || http_cache === "public" ? [`${http_cache} HTTP cache`] : []),
    ...(options["membership"] === "journal" ? ["journal of members"] : []),
    ...(options["proof"] === true ? ["transparency log"] : []),
    ...(typeof filter === "string" ? [`only ${filter}`] : []),
    ...(delta === "fossil" ? ["deltas"] : []),
  ];
  return words.length === 0 ? "defaults" : words.join(", ");
}

/**
 * The table of room classes and of where each comes from. `tenant` stands for the owner of stored classes.
 */
export const classTable = (classes: unknown, tenant?: string): string =>
  listing(classes, ["ROOMS", "OPTIONS", "SOURCE", "TENANT"], {
    ROOMS: ({ pattern, room }) => cell(pattern ?? room),
    OPTIONS: optionsText,
    SOURCE: ({ source }) => cell(source ?? (tenant === undefined ? "" : "tenant")),
    TENANT: (one) => cell(one["tenant"] ?? tenant),
  });

/** The text of `arq room class list`: the classes in force on a node, or those that a tenant has set. */
export function classesText(answer: Members, { tenant }: Members): string {
  const classes = listOf(tenant === undefined ? answer["classes"] : answer["rooms"]);
  const end = listingEnd(answer, classes.length === 0 ? "room classes" : "", tenant);
  return classTable(classes, tenant as string) + end;
}

/** What is said of a class that is set. */
export function classSetText(answer: Members, { pattern }: Members): string {
  const stored = listOf(answer["rooms"]).find((one) => membersOf(one)["room"] === pattern);
  return `the class of ${pattern} is set (${optionsText(stored)})`;
}

/** Every option of a class, one on each line. */
function optionLines({ replicas, max_members, ...one }: Members): string {
  const shown: [name: string, value: unknown][] = [
    ["durable", one["durable"]],
    ["history_size", one["history_size"]],
    ["history_ttl_seconds", one["history_ttl_seconds"]],
    ["replicas", replicas ?? "3 on a NATS cluster, else 1"],
    ["cache_last", one["cache_last"]],
    ["presence", one["presence"]],
    ["slow_reader", one["slow_reader"]],
    ["max_members", max_members ?? "as [presence] members_per_room"],
    ["echo", one["echo"]],
    ["http_cache", one["http_cache"]],
    ["membership", one["membership"]],
    ["proof", one["proof"]],
    ["proof_public", one["proof_public"]],
    ["filter", one["filter"] ?? "none"],
    ["delta", one["delta"] ?? "none"],
  ];
  return shown.map(([name, value]) => `  ${name.padEnd(21)}${cell(value)}\n`).join("");
}

/**
 * The text of `arq room class explain`: the class of a room, all its options, and the classes that it
 * overrules.
 */
export function classExplainText(answer: Members): string {
  const { room, why, others } = answer;
  const rest = listOf(others).filter((one) => membersOf(one)["source"] !== "default");
  const overruled = classTable(rest);
  const more = overruled === "" ? "" : `also matching, but overruled:\n${overruled}`;
  return `${cell(room)}: ${cell(why)}\n${optionLines(membersOf(answer["class"]))}${more}`;
}
