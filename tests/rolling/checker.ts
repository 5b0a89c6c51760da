/**
 * Judges what subscribers that were there from the first to the last message have heard: everything
 * that was acknowledged once and in the order of its sender, and no word of a loss. Pure.
 */

/** What one sender has done in one room; its messages are numbered from 0. */
export interface Sent {
  readonly sender: string;
  readonly room: string;
  readonly count: number;
  /** Numbers that were refused, or of which nobody knows: they may have come, once. */
  readonly failed: ReadonlySet<number>;
}

/** One thing that a subscriber was given. */
export type Sight =
  | { readonly kind: "message"; readonly sender: string; readonly number: number }
  | { readonly kind: "gap"; readonly reason: string };

/** One subscriber of one room. */
export interface Heard {
  readonly name: string;
  readonly room: string;
  readonly sights: readonly Sight[];
}

/** What is wrong. */
export interface Finding {
  readonly kind: "lost" | "repeated" | "reordered" | "foreign" | "gap";
  readonly text: string;
}

function walk({ name, room, sights }: Heard, sent: ReadonlyMap<string, Sent>): Finding[] {
  const found: Finding[] = [];
  const seen = new Map<string, Set<number>>();
  const last = new Map<string, number>();
  for (const sight of sights) {
    if (sight.kind === "gap") {
      found.push({ kind: "gap", text: `${name} was told of a loss in ${room}: ${sight.reason}` });
      continue;
    }
    const { sender, number } = sight;
    const what = `${name} in ${room}: ${sender}/${number}`;
    const by = sent.get(sender);
    if (by === undefined || by.room !== room || number >= by.count) {
      found.push({ kind: "foreign", text: what });
      continue;
    }
    const numbers = seen.get(sender) ?? new Set();
    seen.set(sender, numbers);
    const before = last.get(sender) ?? -1;
    if (numbers.has(number)) found.push({ kind: "repeated", text: what });
    else if (number < before) found.push({ kind: "reordered", text: `${what} after ${before}` });
    numbers.add(number);
    last.set(sender, Math.max(before, number));
  }
  for (const { sender, room: to, count, failed } of sent.values()) {
    if (to !== room) continue;
    for (let number = 0; number < count; number++) {
      if (failed.has(number) || seen.get(sender)?.has(number) === true) continue;
      found.push({ kind: "lost", text: `${name} in ${room}: ${sender}/${number}` });
    }
  }
  return found;
}

/** Everything that is wrong with what was heard. */
export function findProblems(sent: readonly Sent[], heard: readonly Heard[]): Finding[] {
  const by_sender = new Map(sent.map((one) => [one.sender, one]));
  return heard.flatMap((one) => walk(one, by_sender));
}
