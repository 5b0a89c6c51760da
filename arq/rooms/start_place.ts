/**
 * Where `arq sub --from, --since, --last` begins: from options to a place in the room. Reads history,
 * prints nothing.
 */
import { historyPages } from "./history.ts";
import type { HistorySource, Place } from "./history.ts";

/** At most one of the three, `epoch` only with `from`. */
export interface StartFlags {
  /** After this offset. */
  readonly from?: number;
  readonly epoch?: string;
  /** Seconds. */
  readonly since?: number;
  /** The newest so many. */
  readonly last?: number;
}

/** Where to begin. */
export interface Start extends Place {
  /** The person named this very place: what is missing right after it is a loss. */
  readonly is_named: boolean;
  /** So is its epoch: a room that began anew since is refused. */
  readonly is_epoch_named?: true;
}

/** True when any of the options is given. */
export function hasStart({ from, since, last }: StartFlags): boolean {
  return from !== undefined || since !== undefined || last !== undefined;
}

/**
 * Asks the room. `now_ms` is by the bus's clock, as the messages' times are. Throws when there is no
 * such place, and what the bus says, for example `not-durable`.
 */
export async function startPlace(
  source: HistorySource,
  flags: StartFlags,
  now_ms: number,
): Promise<Start> {
  const { from, since, last = Infinity } = flags;
  if (from !== undefined) {
    const is_named = from > 0;
    // Whether an epoch that is over goes on in the present one, only the answer to the SUB says.
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
