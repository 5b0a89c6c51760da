/**
 * One tenant's canary in this process: the wanted one, whether it fits the policies in force, and its outcome. It has
 * no modules and no clock; `tenant_chain.ts` loads and swaps.
 */
import type { PolicyBinding } from "../../../shared/records/verdict.ts";
import { type CanaryLists, canaryLists } from "./canary.ts";
import type { PolicyVersion } from "./chain.ts";
import type { ComparedStage } from "./comparisons.ts";

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
