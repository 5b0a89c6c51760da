/**
 * A page of history for somebody who may not see every message, or wants not all: filters decide.
 * Pages are read on until one message may be seen, so that an empty page is not taken for the end.
 */
import type { ReadMapped } from "../../../shared/filter/message_view.ts";
import { MessageView } from "../../../shared/filter/message_view.ts";
import type { LogMessage } from "../../../shared/spine/contract/durable_log.ts";
import type { Filter } from "../../fanout/filters.ts";
import type { FilterShares } from "../../filter/shares.ts";
import type { HistoryAnswer } from "./history_answer.ts";
import type { HistoryRange } from "./history_query.ts";

/** Messages that are read at once, and how often: no room keeps more than a million. */
const PAGE_MESSAGES = 1_000;
const PAGES_MAX = 1_001;
/** What filters say of history is not counted: it is not fan-out. */
const UNCOUNTED = { match: 0, no_match: 0, error: 0, cost: 0 };

/** The tenant and room whose messages are read, and what its filters may take. */
export interface ReadShare {
  readonly tenant_id: string;
  readonly shares: Pick<FilterShares, "spend" | "isOver" | "later">;
}

/** Reads what all filters let through, in slices; `read` reads what is there. */
export async function readFiltered(
  read: (range: HistoryRange) => Promise<HistoryAnswer>,
  range: HistoryRange,
  filters: readonly Filter[],
  { tenant_id, shares }: ReadShare,
  mapped?: ReadMapped,
): Promise<HistoryAnswer> {
  let steps = 0;
  let from: HistoryRange = { ...range, limit: PAGE_MESSAGES };
  for (let pages = 1;; pages++) {
    const answer = await read(from);
    const { entries, more } = answer.page;
    const seen: LogMessage[] = [];
    let next = 0;
    for (const entry of entries) {
      if (seen.length === range.limit) break;
      next = entry.offset;
      const view = new MessageView(entry.payload, UNCOUNTED, undefined, mapped);
      if (filters.every((filter) => filter.lets(view))) seen.push(entry);
      shares.spend(tenant_id, view.steps);
      steps += view.steps;
      if (!shares.isOver(tenant_id, steps)) continue;
      steps = 0;
      await new Promise<void>((resolve) => shares.later(tenant_id, resolve));
    }
    if (seen.length > 0 || !more || next === 0 || pages === PAGES_MAX) {
      return answer.only(seen, next, more || next !== entries.at(-1)?.offset && next > 0);
    }
    from = range.reverse ? { ...from, before: next } : { ...from, after: next };
  }
}
