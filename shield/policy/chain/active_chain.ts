/**
 * The policies of one tenant that are in force in this process, arranged for the message path: which of
 * them apply to a room is found once and then looked up. Immutable except for its cache; a change makes
 * a new one, so no caller can see half of it.
 */
import { isSampled } from "../../../shared/sampling.ts";
import type { CanaryLists } from "./canary.ts";
import { applicable, isInRoom } from "./chain.ts";
import { HOOKS } from "../../message/verdict.ts";
import type { Hook, PolicyBinding } from "../../message/verdict.ts";

/** The most rooms of one tenant whose chains are remembered; with one more, all are found anew. */
export const CACHED_ROOMS = 4_096;

type Lists = Readonly<Record<Hook, readonly PolicyBinding[]>>;

/** The lists that are the same for every room, for the hooks that have one. */
function constantLists(policies: readonly PolicyBinding[]): Partial<Lists> {
  const constant: Partial<Record<Hook, readonly PolicyBinding[]>> = {};
  for (const hook of HOOKS) {
    const hooked = policies.filter((policy) => policy.hooks.includes(hook));
    const anywhere = !isInRoom(hook) || hooked.every(({ room }) => room === "*");
    if (anywhere) constant[hook] = applicable(policies, hook, "");
  }
  return constant;
}

/** The two chains of a canary, and for which fraction of the keys the first one is. */
interface Split {
  readonly share: number;
  readonly inside: ActiveChain;
  readonly outside: ActiveChain;
}

/** One version of a tenant's policies in force. */
export class ActiveChain {
  readonly version: number;
  readonly policies: readonly PolicyBinding[];
  /** The modules that the policies name. */
  readonly modules: ReadonlySet<string>;
  readonly #constant: Partial<Lists>;
  readonly #rooms = new Map<string, Lists>();
  /**
   * The lists by content: rooms with the same policies share one object, and there are few of those.
   */
  readonly #shared = new Map<string, Lists>();
  readonly #split: Split | undefined;

  /** With a canary its new policies are in force for `share` of the keys, and both versions judge. */
  constructor(
    version: number,
    policies: readonly PolicyBinding[],
    canary?: CanaryLists & { readonly share: number },
  ) {
    this.version = version;
    this.policies = policies;
    const all = canary === undefined ? policies : [...canary.inside, ...canary.outside];
    this.modules = new Set(all.map(({ sha256 }) => sha256));
    this.#constant = constantLists(policies);
    this.#split = canary && {
      share: canary.share,
      inside: new ActiveChain(version, canary.inside),
      outside: new ActiveChain(version, canary.outside),
    };
  }

  /** The chain for a key: this one, or the one of the canary's two that the key meets. */
  of(key: string): ActiveChain {
    const split = this.#split;
    if (split === undefined) return this;
    return isSampled(key, split.share) ? split.inside : split.outside;
  }

  /** How many rooms are remembered now. */
  get cached_rooms(): number {
    const { inside, outside } = this.#split ?? {};
    return this.#rooms.size + (inside?.cached_rooms ?? 0) + (outside?.cached_rooms ?? 0);
  }

  /** Forgets the rooms, whose lists are then found anew. */
  forget(): void {
    this.#rooms.clear();
    this.#split?.inside.forget();
    this.#split?.outside.forget();
  }

  /**
   * The policies that apply before staged rollouts are considered; the same list for the same question.
   */
  applicable(hook: Hook, room: string): readonly PolicyBinding[] {
    return this.#constant[hook] ?? this.#ofRoom(room)[hook];
  }

  #ofRoom(room: string): Lists {
    const known = this.#rooms.get(room);
    if (known !== undefined) return known;
    if (this.#rooms.size >= CACHED_ROOMS) this.#rooms.clear();
    const matching = applicableAnywhere(this.policies, room);
    const lists = this.#shared.get(matching.signature) ?? matching.lists;
    this.#shared.set(matching.signature, lists);
    this.#rooms.set(room, lists);
    return lists;
  }
}

function applicableAnywhere(
  policies: readonly PolicyBinding[],
  room: string,
): { signature: string; lists: Lists } {
  const lists = Object.fromEntries(
    HOOKS.map((hook) => [hook, applicable(policies, hook, room)]),
  ) as Lists;
  const names = (list: readonly PolicyBinding[]) => list.map(({ name }) => name).join();
  return { signature: HOOKS.filter(isInRoom).map((hook) => names(lists[hook])).join("/"), lists };
}
