/** Reads a tenant's journal directly from the Spine. Tests only. */
import { readBlocks } from "../../shared/blocks/read_blocks.ts";
import { configFrom } from "../../shared/config/load.ts";
import type { JournalLine } from "../../shared/journal/record.ts";
import { openSpine } from "../../shared/spine/open.ts";
import { linesOf } from "../../shield/journal/admin/read.ts";
import { JournalPlace } from "../../shield/journal/journal_place.ts";
import { testLog } from "../../shared/testing/logs.ts";

const log = testLog();

/**
 * All lines of a tenant's journal, the oldest block first. `tables` is the configuration of the Spine; the process that
 * had the folder of an embedded one must have ended.
 */
export async function journalLines(tables: unknown, tenant_id: string): Promise<JournalLine[]> {
  const config = configFrom(tables);
  const spine = await openSpine(config, { log, now: Date.now });
  const place = new JournalPlace({ config, spine, log, now: Date.now });
  const lines: JournalLine[] = [];
  try {
    const reading = { keys: () => place.keys() };
    for await (const block of readBlocks(await place.store(), { tenant_id, limit: 100 })) {
      lines.push(...await linesOf(reading, tenant_id, block));
    }
    return lines;
  } finally {
    await place.close();
    await spine.drain();
  }
}
