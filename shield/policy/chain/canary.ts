/**
 * A canary: the current and the wanted policies, as two lists that judge the same messages. In each list one version is
 * in force and the other observes, so every message is judged by one. Pure; `tenant_chain.ts` chooses the list of a
 * message, `shared/rollout/` advances a canary.
 */
import { ArqonError } from "@arqon/proto";
import type { PolicyBinding } from "../../../shared/records/verdict.ts";
import { inOrder, sameBinding } from "./chain.ts";

/** The longest name of a policy in a canary: the observing version gets a longer one. */
const NAME_UNITS_MAX = 60;

/** The version of a policy in a binding. */
export interface Side {
  readonly name: string;
  readonly version: "old" | "new";
  /** Whether it decides while it is in force. A policy that only observes never does. */
  readonly decides: boolean;
  readonly is_in_force: boolean;
}

/** Both lists of a canary. */
export interface CanaryLists {
  /** For the share of the canary: the new policies are in force. */
  readonly inside: readonly PolicyBinding[];
  /** For the other keys: the old policies are in force. */
  readonly outside: readonly PolicyBinding[];
  /** The bindings of policies that differ. */
  readonly sides: ReadonlyMap<PolicyBinding, Side>;
  /** The names of those, sorted. */
  readonly changed: readonly string[];
}

type Policies = readonly PolicyBinding[];

function changedNames(before: Policies, after: Policies): string[] {
  const names = new Set([...before, ...after].map(({ name }) => name));
  const of = (all: Policies, name: string) => all.find((one) => one.name === name);
  return [...names].filter((name) => {
    const old = of(before, name);
    const now = of(after, name);
    return old === undefined || now === undefined || !sameBinding(old, now);
  }).sort();
}

/**
 * The list in which `force` decides. The policies that differ in `beside` observe, each just before its counterpart.
 */
function mixed(
  force: Policies,
  beside: Policies,
  version: "old" | "new",
  sides: Map<PolicyBinding, Side>,
  changed: readonly string[],
): PolicyBinding[] {
  const other = version === "old" ? "new" : "old";
  const pairs = new Map<string, PolicyBinding[]>();
  for (const one of beside) {
    const observer = { ...one, name: `${one.name}~${other}`, mode: "observe" as const };
    const side = { name: one.name, version: other, decides: one.mode === "enforce" } as const;
    sides.set(observer, { ...side, is_in_force: false });
    pairs.set(one.name, [observer]);
  }
  for (const one of force) {
    const own = { ...one };
    pairs.set(one.name, [...pairs.get(one.name) ?? [], own]);
    if (!changed.includes(one.name)) continue;
    const side = { name: one.name, version, decides: one.mode === "enforce" } as const;
    sides.set(own, { ...side, is_in_force: true });
  }
  return [...pairs.values()].sort((a, b) => inOrder(a.at(-1)!, b.at(-1)!)).flat();
}

/** The lists of a canary. Throws `invalid-policy` if nothing differs, or a name is too long or taken. */
export function canaryLists(before: Policies, after: Policies): CanaryLists {
  const changed = changedNames(before, after);
  const invalid = (detail: string) => new ArqonError("invalid-policy", detail);
  if (changed.length === 0) throw invalid("no policy differs: there is nothing for a canary");
  const names = new Set([...before, ...after].map(({ name }) => name));
  for (const name of changed) {
    if (name.length > NAME_UNITS_MAX) {
      throw invalid(`${name}: a name in a canary has at most ${NAME_UNITS_MAX} characters`);
    }
    const taken = [`${name}~old`, `${name}~new`].find((one) => names.has(one));
    if (taken !== undefined) throw invalid(`the canary of ${name} needs the name ${taken}`);
  }
  const isChanged = ({ name }: PolicyBinding) => changed.includes(name);
  const sides = new Map<PolicyBinding, Side>();
  const old = before.filter(isChanged);
  const now = after.filter(isChanged);
  const inside = mixed(after, old, "new", sides, changed);
  const outside = mixed(before, now, "old", sides, changed);
  return { inside, outside, sides, changed };
}
