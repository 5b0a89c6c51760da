/**
 * A program that times the decision whether a message is mirrored: the hash of its key, and the match of its
 * subject among 1, 100 and 10,000 rules, in three shapes of rules. Prints JSON; `governance_match.ts` starts
 * it.
 */
import { connectionId, randomPool, traceId } from "../../shared/ids.ts";
import { samplingHash } from "../../shared/sampling.ts";
import { compilePatterns } from "../../shared/subjects/subject_pattern.ts";
import { MirrorRules } from "../../shield/mirror/rules.ts";
import { MirrorStats } from "../../shield/mirror/stats.ts";
import { timeLoop } from "./governance_timing.ts";

/** The plan of the measurement. */
export interface MatchPlan {
  readonly rounds: number;
  readonly for_ms: number;
}

/** Times of one call in ns, one for each round; equal indexes are the same round. */
export interface MatchReport {
  /**
   * Time of xxHash64 for a trace id and for a connection id; `picks` compares the hash with the rule's
   * threshold.
   */
  readonly keys: readonly { readonly name: string; readonly ns: readonly number[] }[];
  readonly rules: readonly MatchTimes[];
}

/** The times for one number of rules in one shape. */
export interface MatchTimes {
  readonly shape: string;
  readonly rules: number;
  /** Times of the match against compiled patterns. */
  readonly pattern_ns: number[];
  /** Times of the match against the mirror's rules, with the decision whether the rule picks the key. */
  readonly decide_ns: number[];
  /** The same for few subjects, so that their data is in the processor's cache. */
  readonly few_ns: number[];
}

const COUNTS: readonly number[] = [1, 100, 10_000];
/** Number of subjects and keys that take turns; a power of two. */
const TURNS = 4_096;
/** The number where they are to be few; a power of two. */
const FEW = 16;
const WARM_MS = 30;

const random = randomPool((bytes) => crypto.getRandomValues(bytes));
const five = (index: number) => String(index).padStart(5, "0");

/** A shape of rules: the pattern of the n-th rule, and a tenant and subject that the rule is about. */
interface Shape {
  readonly name: string;
  pattern(index: number): string;
  tenant(index: number): string;
  room(index: number, any: string): string;
}

const SHAPES: readonly Shape[] = [
  {
    name: "a tenant each (in.t.T.*)",
    pattern: (index) => `in.t.tenant-${five(index)}.*`,
    tenant: (index) => `tenant-${five(index)}`,
    room: (_, any) => `room-${any}`,
  },
  {
    name: "a room prefix each (in.t.acme.r.P-*)",
    pattern: (index) => `in.t.acme.r.room-${five(index)}-*`,
    tenant: () => "acme",
    room: (index, any) => `room-${five(index)}-${any}`,
  },
  {
    name: "any tenant, a room each (in.t.*.r.R)",
    pattern: (index) => `in.t.*.r.room-${five(index)}`,
    tenant: (index) => `tenant-${five(index)}`,
    room: (index) => `room-${five(index)}`,
  },
];

interface Step {
  readonly times: MatchTimes;
  pattern(index: number): void;
  decide(index: number): void;
  few(index: number): void;
}

function step(shape: Shape, count: number, keys: readonly string[]): Step {
  const patterns = Array.from({ length: count }, (_, index) => shape.pattern(index));
  const table = compilePatterns(patterns.map((pattern) => [pattern, pattern]));
  const rules = new MirrorRules(
    patterns.map((prefix) => ({ prefix, percent: 0.1 })),
    new MirrorStats().totalsOf,
  );
  // 7,919 is prime: subjects that follow each other are not neighbours in the table.
  const asked = Array.from({ length: TURNS }, (_, turn) => {
    const index = turn * 7_919 % count;
    const tenant = shape.tenant(index);
    return { tenant, subject: `in.t.${tenant}.r.${shape.room(index, five(turn))}` };
  });
  const at = (index: number) => asked[index % TURNS]!;
  for (let index = 0; index < TURNS; index++) {
    const { subject } = at(index);
    if (table.match(subject) === undefined) throw new Error(`no rule is about ${subject}`);
  }
  const decide = (index: number) => {
    const { subject, tenant } = at(index);
    const rule = rules.match(subject, tenant)!;
    if (rules.picks(rule, keys[index % TURNS]!)) rule.totals.published++;
  };
  return {
    times: { shape: shape.name, rules: count, pattern_ns: [], decide_ns: [], few_ns: [] },
    pattern: (index) => void table.match(at(index).subject),
    decide,
    few: (index) => decide(index % FEW),
  };
}

if (import.meta.main) {
  const { rounds, for_ms }: MatchPlan = JSON.parse(Deno.args[0] ?? "{}");
  const traces = Array.from({ length: TURNS }, () => traceId(random));
  const connections = Array.from({ length: TURNS }, () => connectionId(random));
  let picked = 0;
  const hashes = [["trace id", traces], ["connection id", connections]].map(([name, ids]) => ({
    name: String(name),
    ns: [] as number[],
    hash: (index: number) => {
      if (samplingHash(ids![index % TURNS]!) < 1n << 60n) picked++;
    },
  }));
  const steps = SHAPES.flatMap((shape) => COUNTS.map((count) => step(shape, count, traces)));
  // The optimising compiler must have seen everything before anything counts.
  for (const { hash } of hashes) timeLoop(WARM_MS, hash);
  for (const { pattern, decide } of steps) {
    timeLoop(WARM_MS, pattern);
    timeLoop(WARM_MS, decide);
  }
  for (let round = 0; round < rounds; round++) {
    for (const { ns, hash } of hashes) ns.push(timeLoop(for_ms, hash));
    for (const { times, pattern, decide, few } of steps) {
      times.pattern_ns.push(timeLoop(for_ms, pattern));
      times.decide_ns.push(timeLoop(for_ms, decide));
      times.few_ns.push(timeLoop(for_ms, few));
    }
  }
  if (picked === 0) throw new Error("a sixteenth of all hashes is below 2^60, and none was");
  const keys = hashes.map(({ name, ns }) => ({ name, ns }));
  const report: MatchReport = { keys, rules: steps.map(({ times }) => times) };
  console.log(JSON.stringify(report));
  Deno.exit(0);
}
