/**
 * Finds the subscribers of a subject for the embedded engine. Exact subjects sit in a map, so the
 * cost of a publish does not grow with the number of rooms; patterns are few and are tried in turn.
 * Pure; it knows nothing of delivery.
 */
import { hasWildcard } from "./check.ts";

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
  /** What a matching subject begins with: cheaper to try than the tokens. */
  readonly literal: string;
  readonly members: Set<S>;
}

/** Subscribers by the subjects that they hear. */
export class SubjectIndex<S extends Subscriber> {
  readonly #exact = new Map<string, Set<S>>();
  readonly #patterns = new Map<string, PatternRow<S>>();
  /** Turns of the queue groups, so that each member gets its share. */
  #turn = 0;

  add(subscriber: S): void {
    const { pattern } = subscriber;
    if (!hasWildcard(pattern)) {
      const members = this.#exact.get(pattern);
      if (members === undefined) this.#exact.set(pattern, new Set([subscriber]));
      else members.add(subscriber);
      return;
    }
    const row = this.#patterns.get(pattern) ?? {
      tokens: pattern.split("."),
      literal: pattern.slice(0, pattern.search(/[*>]/)),
      members: new Set<S>(),
    };
    row.members.add(subscriber);
    this.#patterns.set(pattern, row);
  }

  remove(subscriber: S): void {
    const { pattern } = subscriber;
    const exact = this.#exact.get(pattern);
    if (exact?.delete(subscriber) && exact.size === 0) this.#exact.delete(pattern);
    const row = this.#patterns.get(pattern);
    if (row?.members.delete(subscriber) && row.members.size === 0) this.#patterns.delete(pattern);
  }

  /** Calls `deliver` for every receiver of `subject`, and for one member of each queue group. */
  match(subject: string, deliver: (subscriber: S) => void): void {
    let groups: Map<string, S[]> | undefined;
    const visit = (members: Set<S>) => {
      for (const member of members) {
        if (member.queue === undefined) {
          deliver(member);
          continue;
        }
        groups ??= new Map();
        const group = groups.get(member.queue);
        if (group === undefined) groups.set(member.queue, [member]);
        else group.push(member);
      }
    };
    const exact = this.#exact.get(subject);
    if (exact !== undefined) visit(exact);
    let tokens: string[] | undefined;
    for (const row of this.#patterns.values()) {
      if (!subject.startsWith(row.literal)) continue;
      tokens ??= subject.split(".");
      if (matchesTokens(row.tokens, tokens)) visit(row.members);
    }
    if (groups === undefined) return;
    this.#turn = (this.#turn + 1) % 0x4000_0000;
    for (const group of groups.values()) {
      const chosen = group[this.#turn % group.length];
      if (chosen !== undefined) deliver(chosen);
    }
  }

  /** Every subscriber, in no order. */
  *all(): Generator<S> {
    for (const members of this.#exact.values()) yield* members;
    for (const row of this.#patterns.values()) yield* row.members;
  }
}
