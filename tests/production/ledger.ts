/**
 * Compares the publishers' acknowledgements, the log's content and the subscribers' messages. Pure. Each publisher
 * numbers its room's messages from 0, one after another.
 */

/** A message of a publisher. */
export interface SentMessage {
  readonly n: number;
  /** Unix ms of its ACK; undefined: none. */
  acked_ms?: number;
  /** Lost in a disaster, which was allowed. */
  is_lost?: boolean;
  /** It was in flight when a site was lost, and the mirror may have it: a retry may duplicate it. */
  may_repeat?: boolean;
}

/** What a subscriber received, in order. */
export type Sight =
  | { readonly kind: "message"; readonly n: number }
  | { readonly kind: "gap"; readonly reason: string };

/** Everything about one room. */
export interface RoomLedger {
  readonly room: string;
  readonly sent: readonly SentMessage[];
  readonly sights: readonly Sight[];
}

/** The loss of a site, in Unix ms. */
export interface Disaster {
  /** Everything acknowledged before must still exist. 0: only the order is guaranteed. */
  readonly safe_ms: number;
  readonly lost_ms: number;
  /** The site that took over does not know the ids of mirrored messages. */
  readonly forgets_ids?: boolean;
}

const repeatableIn = (sent: readonly SentMessage[]): ReadonlySet<number> =>
  new Set(sent.filter(({ may_repeat }) => may_repeat).map(({ n }) => n));

/** What a room lost in a disaster. */
export interface Loss {
  readonly problems: readonly string[];
  readonly lost: readonly SentMessage[];
}

/**
 * Compares a log, as the numbers of its messages, with the acknowledgements. Without a disaster it has every
 * acknowledged message; with one it may lack the newest earlier ones, and no others. Allowed losses are marked.
 */
export function judgeLog(
  { room, sent }: Pick<RoomLedger, "room" | "sent">,
  kept: readonly number[],
  disaster?: Disaster,
): Loss {
  const problems: string[] = [];
  if (disaster?.forgets_ids === true) {
    const on_its_way = sent.find(({ acked_ms = 0 }) => acked_ms > disaster.lost_ms);
    if (on_its_way !== undefined) on_its_way.may_repeat = true;
  }
  const repeatable = repeatableIn(sent);
  kept.forEach((n, at) => {
    const before = kept[at - 1];
    if (n === before && repeatable.has(n)) return;
    if (before !== undefined && n <= before) problems.push(`${room}: ${n} stands behind ${before}`);
  });
  const there = new Set(kept);
  const lost: SentMessage[] = [];
  for (const one of sent) {
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

/** Whether a subscriber received everything once and in order, or a GAP for what is missing. */
export function judgeSights({ room, sent, sights }: RoomLedger): string[] {
  const acked = sent.filter(({ acked_ms }) => acked_ms !== undefined).map(({ n }) => n);
  const problems: string[] = [];
  const repeatable = repeatableIn(sent);
  let next = 0;
  let has_gap = false;
  const missed = (before: number) => {
    const silent = acked.filter((n) => n >= next && n < before);
    if (silent.length > 0 && !has_gap) {
      problems.push(`${room}: ${silent.length} missed and not told, from ${silent[0]} on`);
    }
  };
  for (const sight of sights) {
    if (sight.kind === "gap") {
      has_gap = true;
      continue;
    }
    if (sight.n === next - 1 && repeatable.has(sight.n)) continue;
    if (sight.n < next) problems.push(`${room}: ${sight.n} came again or late`);
    else missed(sight.n);
    next = Math.max(next, sight.n + 1);
    has_gap = false;
  }
  missed(Infinity);
  return problems;
}
