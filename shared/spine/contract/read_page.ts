/** Reads of a durable room that must not miss an acknowledged message. */
import { ArqonError } from "@arqon/proto";
import type { DurableLog, LogPage, LogRead } from "./durable_log.ts";

/** How often a page that ends early is read again. */
const LAGS = 5;

/**
 * A page that has every message up to `to` (an offset) that was acknowledged before the call, as far as the page is long
 * enough: a lagging replica ends a page early, without `more`. Rejects with `log-unavailable` if it still lags after five
 * more reads.
 */
export async function readPage(
  log: Pick<DurableLog, "read" | "head">,
  room_id: string,
  options: LogRead,
  to: number = Infinity,
): Promise<LogPage> {
  let end = to;
  for (let lags = 0; lags <= LAGS; lags++) {
    const page = await log.read(room_id, options);
    if (page.more) return page;
    // The newest may have been removed meanwhile, and others may have come, which need not be here.
    const { last } = await log.head(room_id);
    end = Math.min(end, last?.offset ?? 0);
    if ((page.messages.at(-1)?.offset ?? options.after) >= end) return page;
  }
  throw new ArqonError("log-unavailable", "a replica of the log lags");
}
