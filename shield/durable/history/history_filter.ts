/**
 * A page of history for somebody who may not see every message: the filter of the room's class decides.
 * Pages are read on until one message may be seen, so that an empty page is not taken for the end.
 */
import { MessageView } from "../../../shared/filter/message_view.ts";
import type { Filter } from "../../filter/filter.ts";
import type { HistoryAnswer } from "./history_answer.ts";
import type { HistoryRange } from "./history_query.ts";

/** Pages that are read for one answer. */
const PAGES_MAX = 100;
/** What filters say of history is not counted: it is not fan-out. */
const UNCOUNTED = { match: 0, no_match: 0, error: 0, cost: 0 };

/** Reads what the filter lets through; `read` reads what is there. */
export async function readFiltered(
  read: (range: HistoryRange) => Promise<HistoryAnswer>,
  range: HistoryRange,
  filter: Filter,
): Promise<HistoryAnswer> {
  let from = range;
  for (let pages = 1;; pages++) {
    const answer = await read(from);
    const { entries, more } = answer.page;
    const seen = entries.filter(({ payload }) => filter.lets(new MessageView(payload, UNCOUNTED)));
    const next = entries.at(-1)?.offset ?? 0;
    if (seen.length > 0 || !more || next === 0 || pages === PAGES_MAX) {
      return answer.only(seen, next);
    }
    from = range.reverse ? { ...range, before: next } : { ...range, after: next };
  }
}
