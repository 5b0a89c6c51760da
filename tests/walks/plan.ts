/**
 * A walk, drawn from its seed: rooms in tenants of their own, each with a row of the model's values, and steps, in each of
 * which every room has operations of its own, calm or while a fault strikes. Pure; `run.ts` runs it.
 */
import { seeded } from "../../shared/testing/seeded.ts";
import { isPossible, type Row } from "../model/factors.ts";
import { FAULT_FACTORS } from "../model/fault_model.ts";
import { faultRows } from "../model/faults.ts";
import type { GrowOp } from "./growing.ts";
import type { PeopleOp } from "./people/people.ts";

/** Readers that there are during a walk: those of the rows, clients of others, and the SDK behind a load balancer. */
export const LIVE = [
  ...["text", "binary", "filter", "pattern", "events", "delta", "session", "poll"] as const,
  ...["eventsource", "pusher_js", "moved"] as const,
];
/** One of them. */
export type LiveKind = typeof LIVE[number];

/** Readers that read a room's log when a walk is over. */
export const LATE = ["start", "stream"] as const;

/** What is done in a room. `pick` chooses among what there is then. */
export type Op =
  | {
    readonly name: "publish";
    readonly source: Row["source"];
    readonly count: number;
    /** Each is sent twice. */
    readonly is_twice: boolean;
    /** While a fault strikes: sent again until it is answered. */
    readonly insists: boolean;
    /** With a token that does not let it. */
    readonly is_ungranted: boolean;
  }
  /** Several publishers at both Shields at a time; the log says in which order. */
  | { readonly name: "crowd"; readonly count: number }
  /** Somebody subscribes and leaves faster than it is answered, and goes in the middle. */
  | { readonly name: "rush"; readonly count: number }
  | { readonly name: "open"; readonly kind: LiveKind; readonly side: number }
  /** Begins behind a message that was taken. */
  | { readonly name: "after"; readonly pick: number; readonly side: number }
  | { readonly name: "close" | "cut" | "why"; readonly pick: number }
  /** Why that reader has got that message, or not. */
  | { readonly name: "ask"; readonly pick: number; readonly of: number }
  | { readonly name: "ban" | "unban" | "again" | "log" }
  | PeopleOp
  | GrowOp;

/** What happens at a time. */
export interface Step {
  /** By its name; "": nothing. */
  readonly fault: string;
  /** Of each room. */
  readonly ops: readonly (readonly Op[])[];
}

/** A whole walk. */
export interface Plan {
  readonly seed: number;
  /** It was drawn so that the ledger of use has its messages alone. */
  readonly is_counted: boolean;
  readonly rows: readonly Row[];
  readonly steps: readonly Step[];
}

/** On what a walk lays weight. */
export const FOCUSES = [
  ...["all", "plain", "durable", "policy", "journal", "hook"] as const,
  ...["why", "usage", "growing", "rooms", "members"] as const,
] as const;
/** One of them. */
export type Focus = typeof FOCUSES[number];

/** What a walk is to be. */
export interface Wish {
  readonly seed: number;
  readonly steps: number;
  readonly rooms: number;
  readonly focus: Focus;
  /** Those of its world, and beside which rows they may strike. */
  readonly faults: Readonly<Record<string, { isApt?: (row: Partial<Row>) => boolean }>>;
}

/** Messages of a room, at most: its log is read in one page, with what probes left there. */
export const MESSAGES_MAX = 350;

function isInFocus(focus: Focus, { log, gate, journal, hook, membership }: Partial<Row>): boolean {
  switch (focus) {
    case "all":
    case "why":
    case "usage":
      return true;
    case "rooms":
      return gate !== "replace";
    case "members":
      return gate !== "replace" && membership !== "off";
    case "plain":
      return log === undefined || log === "plain";
    case "durable":
      return log !== "plain";
    case "growing":
      // A policy that looks at all that was said makes an answer wait: tests/growing_policy_test.ts.
      return (gate ?? "none") === "none";
    case "policy":
      return gate !== "none";
    case "journal":
      return journal !== "off";
    case "hook":
      return hook !== "no";
  }
}

type IsApt = (row: Partial<Row>) => boolean;
/** Whether the ledger of use counts nothing there but the messages: docs/usage.md, commands are `messages_in`, too. */
const isCounted: IsApt = ({ source, first }) => source !== "session" && first !== "session";
type Random = () => number;
const below = (random: Random, high: number): number => Math.floor(random() * high);
const oneOf = <T>(random: Random, all: readonly T[]): T => all[below(random, all.length)]!;
/** More than any list has. */
const PICK_MAX = 1_000;

/** Sources that give no message ids: what was not answered cannot be sent again. */
export const ANONYMOUS: readonly string[] = ["stream", "pusher"];

/** Sources that go with a room of the row; while a fault strikes, those of the rows through faults. */
function sourcesOf(row: Row, is_calm: boolean): readonly Row["source"][] {
  const more = is_calm ? [...ANONYMOUS, "signed"] as Row["source"][] : [];
  return [...FAULT_FACTORS.source, ...more].filter((source) => isPossible({ ...row, source }));
}

function drawPublish(random: Random, row: Row, is_calm: boolean, isApt: IsApt): Op {
  const source = oneOf(random, sourcesOf(row, is_calm).filter((source) => isApt({ source })));
  const is_anonymous = ANONYMOUS.includes(source);
  return {
    name: "publish",
    source,
    count: 1 + below(random, 4),
    is_twice: is_calm && !is_anonymous && random() < 0.15,
    insists: is_calm || random() < 0.5,
    is_ungranted: is_calm && !is_anonymous && random() < 0.06,
  };
}

/** Whether there is a log to read from. */
const hasLog = ({ log }: Row): boolean => log !== "plain";

function drawOp(random: Random, row: Row, kinds: readonly LiveKind[], isApt: IsApt): Op {
  const chance = random();
  const pick = below(random, PICK_MAX);
  const side = below(random, 2);
  if (chance < 0.55) return drawPublish(random, row, true, isApt);
  if (chance < 0.67) return { name: "open", kind: oneOf(random, kinds), side };
  if (chance < 0.73) return hasLog(row) ? { name: "after", pick, side } : { name: "cut", pick };
  if (chance < 0.79) return { name: "close", pick };
  if (chance < 0.84) return { name: "cut", pick };
  if (chance < 0.87) return { name: "ban" };
  if (chance < 0.93) return { name: "unban" };
  if (chance < 0.94) return { name: "again" };
  if (chance < 0.945) return { name: "ask", pick, of: below(random, PICK_MAX) };
  if (chance < 0.955) return { name: "rush", count: 2 + below(random, 30) };
  if (chance < 0.97 && row.log === "durable") return { name: "crowd", count: 4 + below(random, 9) };
  return hasLog(row) ? { name: "log" } : { name: "why", pick };
}

/** Readers that may hear a room of the row. A stream says no types: what the bus itself says there would look like a message. */
const kindsOf = (row: Row): readonly LiveKind[] =>
  LIVE.filter((kind) => kind !== "poll" && (kind !== "pusher_js" || row.shape === "small"));

/** The first readers of a row, where they are live ones. */
const firstOps = ({ first, second }: Row): Op[] =>
  [first, second].map((one, side) => {
    const kind = LIVE.find((kind) => kind === one && kind !== "poll") ?? "text";
    return { name: "open", kind, side };
  });

/** In a room of people; while a fault strikes, of those who are there. */
function drawPeople(random: Random, is_calm: boolean): PeopleOp {
  const chance = random();
  const pick = below(random, PICK_MAX);
  if (chance < 0.3) return { name: "change", pick };
  if (chance < 0.4 || !is_calm) return { name: "contest", seed: pick };
  if (chance < 0.55) return { name: "part", pick };
  return { name: "join", side: below(random, 3), observer: random() < 0.2 };
}

/** What the focus adds to a step of a room. */
function drawMore(random: Random, focus: Focus, { gate }: Row, is_calm: boolean): Op[] {
  // The policy masks digits of commands, too.
  const has_people = gate !== "replace";
  const some = (count: number, draw: () => Op) => Array.from({ length: count }, draw);
  switch (focus) {
    case "why":
      if (!is_calm) return [];
      return some(2, () => {
        return { name: "ask", pick: below(random, PICK_MAX), of: below(random, PICK_MAX) };
      });
    case "rooms":
    case "members":
      return some(has_people ? is_calm ? 3 : 1 : 0, () => drawPeople(random, is_calm));
    case "usage":
      return [];
    case "growing":
      return some(random() < 0.5 ? 1 : 0, () => ({ name: "grow", count: 1 + below(random, 4) }));
    default:
      return has_people && random() < 0.04 ? [drawPeople(random, is_calm)] : [];
  }
}

function drawOps(random: Random, focus: Focus, row: Row, is_calm: boolean, isApt: IsApt): Op[] {
  if (is_calm) {
    const kinds = kindsOf(row).filter((kind) => isApt({ first: kind as Row["first"] }));
    return [
      ...Array.from({ length: 1 + below(random, 3) }, () => drawOp(random, row, kinds, isApt))
        .filter(({ name }) => focus !== "usage" || !["ban", "unban", "rush"].includes(name)),
      ...drawMore(random, focus, row, is_calm),
    ];
  }
  const own = Array.from(
    { length: 2 + below(random, 3) },
    (): Op =>
      random() < 0.1
        ? { name: "cut", pick: below(random, PICK_MAX) }
        : drawPublish(random, row, false, isApt),
  );
  return [...drawMore(random, focus, row, is_calm), ...own];
}

/** The faults of a walk: one beside which not every row may stand is in half of the walks, which then have no such row. */
const drawFaults = (random: Random, all: Wish["faults"]): string[] =>
  Object.keys(all).filter((name) => all[name]?.isApt === undefined || random() < 0.5);

/** One step in so many has a fault. */
const FAULT_EACH = 3;

/** Draws a walk. */
export function planOf({ seed, steps, rooms, focus, faults: all }: Wish): Plan {
  const random = seeded(seed);
  const faults = drawFaults(random, all);
  const isApt = (row: Partial<Row>) =>
    faults.every((name) => all[name]?.isApt?.(row) !== false) &&
    (focus !== "usage" || isCounted(row));
  const rows = faultRows(seed, (row) => isInFocus(focus, row) && isApt(row), FAULT_FACTORS)
    .slice(0, rooms);
  const first: Step = { fault: "", ops: rows.map(firstOps) };
  const others = Array.from({ length: steps - 1 }, (_, at): Step => {
    const fault = at % FAULT_EACH === FAULT_EACH - 1 ? oneOf(random, faults) : "";
    return { fault, ops: rows.map((row) => drawOps(random, focus, row, fault === "", isApt)) };
  });
  return { seed, is_counted: focus === "usage", rows, steps: [first, ...others] };
}

/** The walk of one of its rooms alone. */
export function onlyRoom({ rows, steps, ...plan }: Plan, room: number): Plan {
  return {
    ...plan,
    rows: rows.slice(room, room + 1),
    steps: steps.map(({ fault, ops }) => ({ fault, ops: ops.slice(room, room + 1) })),
  };
}

/** The walk without some of its steps; the first stays, in which its readers come. */
export const withoutSteps = (plan: Plan, from: number, to: number): Plan => ({
  ...plan,
  steps: plan.steps.filter((_, at) => at === 0 || at < from || at >= to),
});

const sayOp = ({ name, ...more }: Op): string =>
  `${name}${
    Object.values(more).length === 0
      ? ""
      : `(${
        Object.entries(more).filter(([, value]) => value !== false).map(([key, value]) =>
          value === true ? key : `${key} ${value}`
        ).join(", ")
      })`
  }`;

/** The steps of a walk, a line each. */
export const sayPlan = ({ steps }: Plan): string =>
  steps.map(({ fault, ops }, at) =>
    `  step ${at}${fault === "" ? "" : `, ${fault}`}: ${
      ops.map((some) => some.map(sayOp).join(" ")).join(" | ")
    }`
  ).join("\n");
