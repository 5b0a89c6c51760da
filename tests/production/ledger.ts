/**
 * What publishers were promised, what the log keeps and what subscribers heard, and whether that fits. Pure.
 * Each publisher numbers the messages of its room from 0, one after the other.
 */

/** A message of a publisher. */
export interface Said {
  readonly n: number;
  /** Unix ms of its ACK; undefined: there was none. */
  acked_ms?: number;
  /** A disaster took it, as was allowed. */
  is_lost?: boolean;
  /** It was on its way when a site was lost whose copy may have it: said again, it may be there twice. */
  may_repeat?: boolean;
}

/** What a subscriber was given, in its order. */
export type Sight =
  | { readonly kind: "message"; readonly n: number }
  | { readonly kind: "gap"; readonly reason: string };

/** All that is known of one room. */
export interface RoomLedger {
  readonly room: string;
  readonly said: readonly Said[];
  readonly sights: readonly Sight[];
}

/** A site that was lost, in Unix ms. */
export interface Disaster {
  /** What was acknowledged before must still be there. 0: nothing is promised but the order. */
  readonly safe_ms: number;
  readonly lost_ms: number;
  /** The site that took over does not know the ids of the messages that it has copied. */
  readonly forgets_ids?: boolean;
}

const repeatableIn = (said: readonly Said[]): ReadonlySet<number> =>
  new Set(said.filter(({ may_repeat }) => may_repeat).map(({ n }) => n));

/** What a disaster took of a room. */
export interface Loss {
  readonly problems: readonly string[];
  readonly lost: readonly Said[];
}

/**
 * Compares a log, as the numbers of its messages, with what was promised. Without a disaster everything that
 * was acknowledged is there; with one it may lack the newest earlier ones, and no other. What it lacks
 * rightly is marked.
 */
export function judgeLog(
  { room, said }: Pick<RoomLedger, "room" | "said">,
  kept: readonly number[],
  disaster?: Disaster,
): Loss {
  const problems: string[] = [];
  if (disaster?.forgets_ids === true) {
    const on_its_way = said.find(({ acked_ms = 0 }) => acked_ms > disaster.lost_ms);
    if (on_its_way !== undefined) on_its_way.may_repeat = true;
  }
  const repeatable = repeatableIn(said);
  kept.forEach((n, at) => {
    const before = kept[at - 1];
    if (n === before && repeatable.has(n)) return;
    if (before !== undefined && n <= before) problems.push(`${room}: ${n} stands behind ${before}`);
  });
  const there = new Set(kept);
  const lost: Said[] = [];
  for (const one of said) {
    const { n, acked_ms, is_lost } = one;
    if (acked_ms === undefined || is_lost === true) continue;
    if (there.has(n)) {
      if (lost.length > 0 && acked_ms <= (disaster?.lost_ms ?? 0)) {
        problems.push(`${room}: ${lost.at(-1)?.n} is lost, and the later ${n} is not`);
      }
      continue;
    }
    const { safe_ms, lost_ms } = disaster ?? { safe_ms: Infinity, lost_ms: 0 };
    if (acked_ms > safe_ms && acked_ms <= lost_ms) lost.push(one);
    else problems.push(`${room}: ${n} was acknowledged and is not there`);
  }
  for (const one of lost) one.is_lost = true;
  return { problems, lost };
}

/** Whether a subscriber was given everything once and in order, or was told that something is missing. */
export function judgeSights({ room, said, sights }: RoomLedger): string[] {
  const acked = said.filter(({ acked_ms }) => acked_ms !== undefined).map(({ n }) => n);
  const problems: string[] = [];
  const repeatable = repeatableIn(said);
  let [next, is_told] = [0, false];
  const missed = (before: number) => {
    const silent = acked.filter((n) => n >= next && n < before);
    if (silent.length > 0 && !is_told) {
      problems.push(`${room}: ${silent.length} missed and not told, from ${silent[0]} on`);
    }
  };
  for (const sight of sights) {
    if (sight.kind === "gap") {
      is_told = true;
      continue;
    }
    if (sight.n === next - 1 && repeatable.has(sight.n)) continue;
    if (sight.n < next) problems.push(`${room}: ${sight.n} came again or late`);
    else missed(sight.n);
    next = Math.max(next, sight.n + 1);
    is_told = false;
  }
  missed(Infinity);
  return problems;
}
