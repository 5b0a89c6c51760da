/**
 * A canary: the current and the wanted policies, as two lists that judge the same messages. In each list one version is
 * in force and the other observes, so every message is judged by one. `tenant_chain.ts` chooses the list of a message,
 * and `shared/rollout/` advances a canary.
 */
import { ArqonError } from "@arqon/proto";
import type { PolicyBinding } from "../../../shared/records/verdict.ts";
import { inOrder, type PolicyVersion, sameBinding } from "./chain.ts";

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

/** The stage of a rollout whose messages are compared. */
export interface ComparedStage extends Pick<CanaryLists, "sides"> {
  /** The rollout. */
  readonly id: string;
  readonly stage: number;
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

// One tenant's canary in this process: the wanted one, whether it fits the policies in force, and its outcome. It has
// no modules and no clock; `tenant_chain.ts` loads and swaps.

/** A rollout's stage, as a Shield runs it. */
export interface Canary {
  /** The rollout. */
  readonly id: string;
  readonly stage: number;
  /** The fraction of the keys for which the new policies are in force. */
  readonly share: number;
  readonly base_version: number;
  readonly policies: readonly PolicyBinding[];
}

/**
 * The reason why a canary does not run: it may run later, a module is refused, or the policies were changed manually.
 */
export interface CanaryProblem {
  readonly kind: "retry" | "refused" | "superseded";
  readonly detail: string;
}

/** The state of a canary in this process. */
export interface CanaryState {
  readonly id: string;
  readonly stage: number;
  /** Absent: it runs. */
  readonly problem?: CanaryProblem;
}

/** The change text of the version that an apply makes. */
export const applyWords = (id: string): string => `apply ${id}`;

/** The canary of one tenant. */
export class CanaryTurn {
  #wanted: Canary | undefined;
  /** The canary that is being loaded. */
  #begun: Canary | undefined;
  /** The last lists, and their inputs. */
  #made: { readonly key: string; readonly lists: CanaryLists } | undefined;
  #state: CanaryState | undefined;
  /** The state once the chain is swapped. */
  #next: { readonly state: CanaryState | undefined; readonly stage?: ComparedStage } = {
    state: undefined,
  };

  /** The running canary, or the reason why it does not run; undefined: there is no canary. */
  get state(): CanaryState | undefined {
    return this.#state;
  }

  /** Sets the wanted canary; false if that changes nothing. */
  wants(canary: Canary | undefined): boolean {
    const { id, stage, share } = this.#wanted ?? {};
    const is_same = id === canary?.id && stage === canary?.stage && share === canary?.share;
    this.#wanted = canary;
    return !is_same;
  }

  begin(current: PolicyVersion): (CanaryLists & { readonly share: number }) | undefined {
    const canary = this.#begun = this.#wanted;
    if (canary === undefined) {
      this.#made = undefined;
      this.#next = { state: undefined };
      return undefined;
    }
    const misfit = misfitOf(canary, current);
    if (misfit !== undefined) {
      this.#next = { state: misfit === "applied" ? stateOf(canary) : stateOf(canary, misfit) };
      return undefined;
    }
    try {
      return { ...this.#lists(canary, current), share: canary.share };
    } catch (error) {
      this.failed("refused", error instanceof Error ? error.message : String(error));
      return undefined;
    }
  }

  loaded(): void {
    const canary = this.#begun;
    if (canary === undefined || this.#made === undefined) return;
    const { id, stage } = canary;
    const { sides } = this.#made.lists;
    this.#next = { state: stateOf(canary), stage: { id, stage, sides } };
  }

  /** The canary does not run. */
  failed(kind: CanaryProblem["kind"], detail: string): void {
    if (this.#begun !== undefined) this.#next = { state: stateOf(this.#begun, { kind, detail }) };
  }

  /** The chain was swapped or kept. Returns the stage whose messages are compared from now on. */
  settle(): ComparedStage | undefined {
    const { state, stage } = this.#next;
    this.#state = state;
    return stage;
  }

  /** Returns the same lists for each stage of a rollout, so that running calls also count. */
  #lists({ id, policies }: Canary, current: PolicyVersion): CanaryLists {
    const key = `${id} ${current.version}`;
    if (this.#made?.key === key) return this.#made.lists;
    const lists = canaryLists(current.policies, policies);
    this.#made = { key, lists };
    return lists;
  }
}

function stateOf({ id, stage }: Canary, problem?: CanaryProblem): CanaryState {
  return problem === undefined ? { id, stage } : { id, stage, problem };
}

function misfitOf(
  { id, base_version }: Canary,
  { version, change, by }: PolicyVersion,
): CanaryProblem | "applied" | undefined {
  if (version === base_version) return undefined;
  if (change === applyWords(id)) return "applied";
  if (version < base_version) {
    return {
      kind: "retry",
      detail: `still has policies of version ${version}, not ${base_version}`,
    };
  }
  const who = `${JSON.stringify(change)} by ${JSON.stringify(by)}`;
  const detail = `the policies were changed meanwhile: version ${version}, ${who}`;
  return { kind: "superseded", detail: detail.slice(0, 512) };
}
