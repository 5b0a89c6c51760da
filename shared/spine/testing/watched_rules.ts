/** Rules in a watched bucket, whose store and connection the test controls. Tests only. */
import assert from "node:assert/strict";
import { keptLog } from "../../testing/logs.ts";
import type { KvEntry, KvKey } from "../contract/spine.ts";
import { type EntryReader, type EntryTable, WatchedBucket } from "../watched_bucket.ts";
import { ScriptedBucket } from "./scripted_bucket.ts";

/** What a key names. */
export interface Place {
  readonly tenant_id: string;
  readonly id: string;
}

interface Rule {
  readonly text: string;
  readonly revision: number;
  /** Unix ms; 0: never. */
  readonly until_ms: number;
}

/** The key of a rule. */
export const keyOf = ({ tenant_id, id }: Place): KvKey => [tenant_id, id];

/** The table that is watched; a test moves its clock. */
class Rules implements EntryTable<Place, Rule> {
  readonly held = new Map<string, Rule>();
  now_ms = 1_000;
  /** How often all rules were scanned. */
  looks = 0;

  get size(): number {
    return this.held.size;
  }

  get(place: Place): Rule | undefined {
    return this.held.get(keyOf(place).join("/"));
  }

  set(place: Place, rule: Rule): void {
    this.held.set(keyOf(place).join("/"), rule);
  }

  delete(place: Place): void {
    this.held.delete(keyOf(place).join("/"));
  }

  keep(wanted: (rule: Rule) => boolean): void {
    this.looks++;
    for (const [place, rule] of this.held) if (!wanted(rule)) this.held.delete(place);
  }
}

/** A value is the end of the rule, in Unix ms, and a text. */
const READER: EntryReader<Place, Rule> = {
  parseKey: ([tenant_id = "", id = "", ...more]) =>
    id === "" || more.length > 0 ? undefined : { tenant_id, id },
  read({ value, revision }: KvEntry): Rule {
    const found = /^(\d+) (\w+)$/.exec(new TextDecoder().decode(value));
    if (found === null) throw new TypeError("not a rule");
    const [, until, text = ""] = found;
    return { text, revision, until_ms: Number(until) };
  },
  unreadable: ({ revision }) => ({ text: "unreadable", revision, until_ms: 0 }),
  endOf: ({ until_ms }) => until_ms,
};

/** A bucket of at most `max` rules, its log lines, and whether it admits a tenant. */
export function watching(max = 10, is_believed = true) {
  const script = new ScriptedBucket();
  const table = new Rules();
  const puts: string[] = [];
  const problems: string[] = [];
  const now = () => table.now_ms;
  const { log, lines } = keptLog({ now });
  const watched = new WatchedBucket({
    entry: "rule",
    name: "RULES",
    bucket: script.bucket,
    spine: script.spine,
    log,
    now,
    steps: { isBelieved: () => is_believed },
    max,
    reader: READER,
    table,
    onPut: ({ id }, { text }) => void puts.push(`${id} ${text}`),
    onProblem: (problem) => void problems.push(problem),
  });
  const lets = (tenant_id = "acme"): boolean => {
    try {
      watched.requireKnown();
      watched.requireComplete(tenant_id);
      return true;
    } catch (error) {
      assert.equal((error as { reason: string }).reason, "spine-unavailable");
      return false;
    }
  };
  return { script, table, lines, puts, problems, watched, lets };
}
