/** The place where `arq sub --from, --since, --last` begins. It may read history, and prints nothing. */
import { historyPages } from "./history.ts";
import type { HistorySource, Place } from "./history.ts";
import type { Flags } from "../program/flags.ts";

/** The place where a subscription begins. */
export interface Start extends Place {
  /** Whether the person has named this place. Then a missing message right after it is a loss. */
  readonly is_named: boolean;
  /** Whether the person has named its epoch. Then a room that has begun anew since is refused. */
  readonly is_epoch_named?: true;
}

/** Whether any of these options is given. */
export function hasStart({ from, since, last }: Flags): boolean {
  return from !== undefined || since !== undefined || last !== undefined;
}

/**
 * Finds the place of the options in a room. `now_ms` is by the clock of the bus, like the times of messages.
 * Throws when there is no such place, and with the refusal of the bus, for example `not-durable`.
 */
export async function startPlace(
  source: HistorySource,
  flags: Flags,
  now_ms: number,
): Promise<Start> {
  const { from, since, last = Infinity } = flags;
  if (from !== undefined) {
    const is_named = from > 0;
    // Only the answer to the SUB says whether an epoch that is over goes on in the present one.
    if (flags.epoch !== undefined) {
      return { offset: from, epoch: flags.epoch, is_named, is_epoch_named: true };
    }
    const { epoch } = await source.history({ after: from, limit: 1 });
    return { offset: from, epoch, is_named };
  }
  const oldest_ms = since === undefined ? -Infinity : now_ms - since * 1_000;
  let place: Place | undefined;
  for await (const page of historyPages(source, { reverse: true, total: last })) {
    const { epoch } = page;
    place ??= { offset: Number(page.offset), epoch };
    for (const { offset, timestamp_ms } of page.messages) {
      if (timestamp_ms < oldest_ms) return { ...place, is_named: false };
      place = { offset: Number(offset) - 1, epoch };
    }
  }
  return { ...(place ?? { offset: 0, epoch: "" }), is_named: false };
}
