/**
 * Finds the subscribers of a subject for the embedded engine. Exact subjects are in a map, so the cost of a publish
 * does not grow with the number of rooms; patterns are few and are tried one by one, and routes are cached. It does not
 * deliver.
 */
import { FewSet } from "../../containers/few_set.ts";
import { RecentMap } from "../../containers/recent_map.ts";
import { assertSubject, hasWildcard } from "./check.ts";

/** True when `tokens` (a subject split at its dots) matches `pattern` (split likewise). */
export function matchesTokens(pattern: readonly string[], tokens: readonly string[]): boolean {
  for (let at = 0; at < pattern.length; at++) {
    if (pattern[at] === ">") return tokens.length > at;
    if (at >= tokens.length) return false;
    if (pattern[at] !== "*" && pattern[at] !== tokens[at]) return false;
  }
  return pattern.length === tokens.length;
}

/** What the index needs to know of a subscription. */
export interface Subscriber {
  readonly pattern: string;
  readonly queue: string | undefined;
}

interface PatternRow<S extends Subscriber> {
  readonly tokens: readonly string[];
  /** Literal prefix of matching subjects: cheaper to compare than the tokens. */
  readonly literal: string;
  readonly members: FewSet<S>;
}

/** The subscribers to one subject; good until one is added or removed. */
interface Route<S> {
  /** Subscribers without a group: each of them gets a message. */
  readonly members: readonly S[];
  /** The queue groups: one member of each gets a message. */
  readonly groups: readonly (readonly S[])[];
  /** The number of pattern changes when the route was cached. */
  readonly patterns_changed: number;
}

/** The subscribers that name a subject exactly. */
interface ExactRow<S extends Subscriber> {
  readonly exact: FewSet<S>;
  /** Undefined: not cached. */
  route: Route<S> | undefined;
}

/** Shared by nearly every route. */
const NO_GROUPS: readonly never[] = [];

/** Cached routes of subjects without an exact subscriber, in each of two generations. */
const ROUTES_MAX = 8_192;

/** Subscribers by the subjects that they receive. */
export class SubjectIndex<S extends Subscriber> {
  /** With cached routes: a subject gets many messages while its receivers seldom change. */
  readonly #exact = new Map<string, ExactRow<S>>();
  readonly #patterns = new Map<string, PatternRow<S>>();
  #patterns_changed = 0;
  readonly #routes = new RecentMap<string, Route<S>>(ROUTES_MAX);
  /** Round robin position of the queue groups. */
  #turn = 0;

  add(subscriber: S): void {
    const { pattern } = subscriber;
    if (!hasWildcard(pattern)) {
      const row = this.#exact.get(pattern) ?? { exact: new FewSet<S>(), route: undefined };
      row.exact.add(subscriber);
      row.route = undefined;
      this.#exact.set(pattern, row);
      return;
    }
    this.#changePatterns();
    const row = this.#patterns.get(pattern) ?? {
      tokens: pattern.split("."),
      literal: pattern.slice(0, pattern.search(/[*>]/)),
      members: new FewSet<S>(),
    };
    row.members.add(subscriber);
    this.#patterns.set(pattern, row);
  }

  remove(subscriber: S): void {
    const { pattern } = subscriber;
    if (!hasWildcard(pattern)) {
      const row = this.#exact.get(pattern);
      if (row === undefined) return;
      row.exact.delete(subscriber);
      row.route = undefined;
      if (row.exact.size === 0) this.#exact.delete(pattern);
      return;
    }
    this.#changePatterns();
    const row = this.#patterns.get(pattern);
    if (row?.members.delete(subscriber) && row.members.size === 0) this.#patterns.delete(pattern);
  }

  /**
   * Every receiver of `subject`: one member of each queue group, round robin, then all subscribers without a group.
   * Throws TypeError unless it is one exact subject.
   */
  receivers(subject: string): readonly S[] {
    const { members, groups } = this.#routeOf(subject);
    if (groups.length === 0) return members;
    this.#turn = (this.#turn + 1) % 0x4000_0000;
    const receivers: S[] = [];
    for (const group of groups) {
      const chosen = group[this.#turn % group.length];
      if (chosen !== undefined) receivers.push(chosen);
    }
    for (const member of members) receivers.push(member);
    return receivers;
  }

  /** Every subscriber, in no order. */
  *all(): Generator<S> {
    for (const { exact } of this.#exact.values()) yield* exact.members;
    for (const row of this.#patterns.values()) yield* row.members.members;
  }

  #routeOf(subject: string): Route<S> {
    const row = this.#exact.get(subject);
    const known = row === undefined ? this.#routes.get(subject) : row.route;
    if (known?.patterns_changed === this.#patterns_changed) return known;
    assertSubject(subject);
    const route = this.#find(subject, row?.exact.members ?? []);
    if (row === undefined) this.#routes.set(subject, route);
    else row.route = route;
    return route;
  }

  /** Adds the subscribers with a matching pattern to the exact ones. */
  #find(subject: string, exact: Iterable<S>): Route<S> {
    const members: S[] = [];
    const groups = new Map<string, S[]>();
    const visit = (subscribers: Iterable<S>) => {
      for (const member of subscribers) {
        if (member.queue === undefined) {
          members.push(member);
          continue;
        }
        const group = groups.get(member.queue);
        if (group === undefined) groups.set(member.queue, [member]);
        else group.push(member);
      }
    };
    visit(exact);
    const tokens = subject.split(".");
    for (const { literal, tokens: pattern, members: subscribers } of this.#patterns.values()) {
      if (subject.startsWith(literal) && matchesTokens(pattern, tokens)) visit(subscribers.members);
    }
    return {
      members,
      groups: groups.size === 0 ? NO_GROUPS : [...groups.values()],
      patterns_changed: this.#patterns_changed,
    };
  }

  #changePatterns(): void {
    this.#patterns_changed++;
    // The routes are stale, and a kept one would retain a removed subscriber.
    this.#routes.clear();
  }
}
