/**
 * A walk, generated from its seed: rooms in separate tenants, each with a row of the model's values, and steps in which
 * every room has its own operations, calm or during a fault. Pure; `run.ts` runs it.
 */
import { seeded } from "../../shared/testing/seeded.ts";
import { isPossible, type Row } from "../model/factors.ts";
import { FAULT_FACTORS } from "../model/fault_model.ts";
import { faultRows } from "../model/faults.ts";
import type { GrowOp } from "./growing.ts";
import type { PeopleOp } from "./people/people.ts";
import type { ProofOp } from "./proof.ts";

/** Readers during a walk: those of the rows, third-party clients, and the SDK behind a load balancer. */
export const LIVE = [
  ...["text", "binary", "filter", "pattern", "events", "delta", "session", "poll"] as const,
  ...["eventsource", "pusher_js", "moved"] as const,
];
/** One of them. */
export type LiveKind = typeof LIVE[number];

/** Readers that read a room's log after a walk. */
export const LATE = ["start", "stream"] as const;

/** An operation in a room. `pick` chooses among what exists then. */
export type Op =
  | {
    readonly name: "publish";
    readonly source: Row["source"];
    readonly count: number;
    /** Each is sent twice. */
    readonly is_twice: boolean;
    /** During a fault: retried until it is answered. */
    readonly insists: boolean;
    /** With a token that does not permit it. */
    readonly is_ungranted: boolean;
  }
  /** Several concurrent publishers at both Shields; the log determines the order. */
  | { readonly name: "crowd"; readonly count: number }
  /** A client subscribes and unsubscribes without waiting for answers, and disconnects in the middle. */
  | { readonly name: "rush"; readonly count: number }
  | { readonly name: "open"; readonly kind: LiveKind; readonly side: number }
  /** Begins after an accepted message. */
  | { readonly name: "after"; readonly pick: number; readonly side: number }
  | { readonly name: "close" | "cut" | "why"; readonly pick: number }
  /** Why that reader has received that message, or not. */
  | { readonly name: "ask"; readonly pick: number; readonly of: number }
  | { readonly name: "ban" | "unban" | "again" | "log" }
  | PeopleOp
  | ProofOp
  | GrowOp;

/** What happens at the same time. */
export interface Step {
  /** Its name; "": none. */
  readonly fault: string;
  /** Of each room. */
  readonly ops: readonly (readonly Op[])[];
}

/** A whole walk. */
export interface Plan {
  readonly seed: number;
  /** Generated so that the ledger of use counts its messages only. */
  readonly is_counted: boolean;
  readonly rows: readonly Row[];
  readonly steps: readonly Step[];
}

/** What a walk focuses on. */
export const FOCUSES = [
  ...["all", "plain", "durable", "policy", "journal", "hook"] as const,
  ...["why", "usage", "growing", "rooms", "members", "proof"] as const,
] as const;
/** One focus. */
export type Focus = typeof FOCUSES[number];

/** The requirements of a walk. */
export interface Wish {
  readonly seed: number;
  readonly steps: number;
  readonly rooms: number;
  readonly focus: Focus;
  /** The faults of its world, and the rows that each is compatible with. */
  readonly faults: Readonly<Record<string, { isApt?: (row: Partial<Row>) => boolean }>>;
}

/** Maximum messages of a room: its log is read in one page, including probes. */
export const MESSAGES_MAX = 350;

function isInFocus(
  focus: Focus,
  { log, gate, journal, hook, membership, proof }: Partial<Row>,
): boolean {
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
      // A policy that judges the whole text delays an answer: tests/growing_policy_test.ts.
      return (gate ?? "none") === "none";
    case "policy":
      return gate !== "none";
    case "journal":
      return journal !== "off";
    case "hook":
      return hook !== "no";
    case "proof":
      // Of a slow reader with `latest`, older messages are left out.
      return proof !== "off" && (log ?? "durable") === "durable";
  }
}

type IsApt = (row: Partial<Row>) => boolean;
/** Whether the ledger of use counts only the messages there: docs/usage.md, commands are `messages_in`, too. */
const isCounted: IsApt = ({ source, first }) => source !== "session" && first !== "session";
type Random = () => number;
const below = (random: Random, high: number): number => Math.floor(random() * high);
const oneOf = <T>(random: Random, all: readonly T[]): T => all[below(random, all.length)]!;
/** Longer than any list. */
const PICK_MAX = 1_000;

/** Sources without message ids: an unanswered message cannot be retried. */
export const ANONYMOUS: readonly string[] = ["stream", "pusher"];

/** Sources that are compatible with a room of the row; during a fault, those of the rows through faults. */
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

/** Whether there is a log to read. */
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

/**
 * Readers that are compatible with a room of the row. A stream has no types: the bus's own notifications would look
 * like messages.
 */
const kindsOf = (row: Row): readonly LiveKind[] =>
  LIVE.filter((kind) => kind !== "poll" && (kind !== "pusher_js" || row.shape === "small"));

/** The first readers of a row, if they are live ones. */
const firstOps = ({ first, second }: Row): Op[] =>
  [first, second].map((one, side) => {
    const kind = LIVE.find((kind) => kind === one && kind !== "poll") ?? "text";
    return { name: "open", kind, side };
  });

/** In a room of people; during a fault, only those who are there. */
function drawPeople(random: Random, is_calm: boolean): PeopleOp {
  const chance = random();
  const pick = below(random, PICK_MAX);
  if (chance < 0.3) return { name: "change", pick };
  if (chance < 0.4 || !is_calm) return { name: "contest", seed: pick };
  if (chance < 0.55) return { name: "part", pick };
  return { name: "join", side: below(random, 3), observer: random() < 0.2 };
}

/** The focus's additional operations in a step of a room. */
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
    case "proof":
      return [{ name: "verify" }];
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

/**
 * The faults of a walk: one that is incompatible with some rows is in half of the walks, which then have no such row.
 */
const drawFaults = (random: Random, all: Wish["faults"]): string[] =>
  Object.keys(all).filter((name) => all[name]?.isApt === undefined || random() < 0.5);

/** Steps per fault. */
const FAULT_EACH = 3;

/** Generates a walk. */
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

/** The walk with only one of its rooms. */
export function onlyRoom({ rows, steps, ...plan }: Plan, room: number): Plan {
  return {
    ...plan,
    rows: rows.slice(room, room + 1),
    steps: steps.map(({ fault, ops }) => ({ fault, ops: ops.slice(room, room + 1) })),
  };
}

/** The walk without some of its steps; the first stays, since readers subscribe in it. */
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

/** The steps of a walk, one line each. */
export const sayPlan = ({ steps }: Plan): string =>
  steps.map(({ fault, ops }, at) =>
    `  step ${at}${fault === "" ? "" : `, ${fault}`}: ${
      ops.map((some) => some.map(sayOp).join(" ")).join(" | ")
    }`
  ).join("\n");
