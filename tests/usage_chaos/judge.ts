/**
 * Holds a ledger of use against the clients' own book: to the unit, but for what killed Shields had not written,
 * which must be told. Pure; who keeps the book is `talker.ts`, who asks the bus `run.ts`.
 */

/** One message of the book. */
export interface Said {
  readonly node_id: string;
  readonly tenant_id: string;
  /** Unix ms. */
  readonly sent_ms: number;
  /**
   * Taken or refused by an answer; unclear without one, or when the answer is that the bus does not know the
   * outcome (5xx).
   */
  outcome: "taken" | "refused" | "unclear";
  /** When the answer came, and when the message itself did; absent: it did not. */
  answered_ms?: number;
  heard_ms?: number;
}

/** A Shield that was killed, Unix ms; by `until_ms` none of its clients had an answer of its next life. */
export interface Kill {
  readonly node_id: string;
  readonly at_ms: number;
  readonly until_ms: number;
}

/** What the clients know. */
export interface Book {
  readonly said: Said[];
  readonly kills: Kill[];
}

/** What is read of `GET /v1/usage?by=node`. */
export interface UsageAnswer {
  readonly tenant: string;
  readonly rows: readonly {
    readonly node: string;
    readonly messages_in: number;
    readonly deliveries: number;
  }[];
  readonly lost: readonly {
    readonly node_id: string;
    readonly after_ms: number;
    readonly most_ms: number;
  }[];
  readonly damaged: number;
}

/** What a judge has found. */
export interface Judgement {
  readonly problems: readonly string[];
  /** Messages that were taken and are not in the ledger, of Shields that were killed. */
  readonly missing: number;
  /** Messages whose clients cannot know whether they were taken. */
  readonly unclear: number;
  /** The longest time from what is told as whole to a kill, in ms. */
  readonly gap_ms: number;
}

type Unit = "messages_in" | "deliveries";

/** The kill that a loss is about: the first one after what was written. */
const killOf = (kills: readonly Kill[], node_id: string, after_ms: number) =>
  kills.find((kill) => kill.node_id === node_id && kill.until_ms >= after_ms);

/** Whether it may have gone with a killed Shield, by what is told. */
function mayBeLost(
  { node_id, sent_ms, answered_ms, heard_ms }: Said,
  { lost }: UsageAnswer,
  kills: readonly Kill[],
): boolean {
  const last_ms = Math.max(answered_ms ?? Infinity, heard_ms ?? 0);
  return lost.some((one) => {
    if (one.node_id !== node_id || last_ms < one.after_ms) return false;
    return sent_ms <= (killOf(kills, node_id, one.after_ms)?.until_ms ?? 0);
  });
}

/** The fewest and the most that the ledger may have of it. */
function bounds(said: readonly Said[], unit: Unit, isLost: (one: Said) => boolean) {
  let [low, high] = [0, 0];
  for (const one of said) {
    const { outcome, heard_ms } = one;
    const is_sure = unit === "messages_in" ? outcome === "taken" : heard_ms !== undefined;
    if (is_sure && !isLost(one)) low++;
    if (is_sure || outcome === "unclear" || (unit === "deliveries" && outcome === "taken")) high++;
  }
  return { low, high };
}

/** The kills of one Shield that are not told, and what is told without a kill. */
function untold({ kills }: Book, { tenant, lost }: UsageAnswer): string[] {
  const nodes = new Set([...kills, ...lost].map(({ node_id }) => node_id));
  return [...nodes].flatMap((node_id) => {
    const of = (all: readonly { readonly node_id: string }[]) =>
      all.filter((one) => one.node_id === node_id).length;
    const [told, killed] = [of(lost), of(kills)];
    return told === killed
      ? []
      : [`${tenant}: ${node_id} was killed ${killed} times, ${told} told`];
  });
}

/** Judges one tenant's answer. */
export function judge(book: Book, answer: UsageAnswer): Judgement {
  const { tenant, rows, damaged } = answer;
  const own = book.said.filter(({ tenant_id }) => tenant_id === tenant);
  const nodes = new Set([...own.map(({ node_id }) => node_id), ...rows.map(({ node }) => node)]);
  const problems = untold(book, answer);
  if (damaged > 0) problems.push(`${tenant}: ${damaged} blocks cannot be read`);
  let missing = 0;
  for (const node_id of nodes) {
    const said = own.filter((one) => one.node_id === node_id);
    const row = rows.find(({ node }) => node === node_id);
    for (const unit of ["messages_in", "deliveries"] as const) {
      const { low, high } = bounds(said, unit, (one) => mayBeLost(one, answer, book.kills));
      const counted = row?.[unit] ?? 0;
      if (counted < low || counted > high) {
        problems.push(`${tenant} ${node_id} ${unit}: ${counted}, expected ${low} to ${high}`);
      }
    }
    const taken = said.filter(({ outcome }) => outcome === "taken").length;
    missing += Math.max(0, taken - (row?.messages_in ?? 0));
  }
  const gaps = answer.lost.map(({ node_id, after_ms }) =>
    (killOf(book.kills, node_id, after_ms)?.at_ms ?? after_ms) - after_ms
  );
  const unclear = own.filter(({ outcome }) => outcome === "unclear").length;
  return { problems, missing, unclear, gap_ms: Math.max(0, ...gaps) };
}
