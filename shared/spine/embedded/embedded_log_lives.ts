/**
 * How the embedded engine continues a log that is in its file. No process was running that could
 * say whether the file is the one that clients knew, or an older copy, or lost something to a power
 * cut. So each start is another life, behind what is there.
 */
import type { EmbeddedLogs } from "./embedded_log.ts";
import type { LogRow } from "./embedded_log_rows.ts";
import { EmbeddedLog } from "./embedded_log_tenant.ts";
import { newestLife, newLifeId, withLife } from "../contract/lives.ts";

/** Continues the tenant's log in a new life. */
export function continueLog(logs: EmbeddedLogs, tenant_id: string, stored: LogRow): EmbeddedLog {
  const { rows, options: { file, log: logger } } = logs;
  const known = file.reading(() => rows.lives(stored.id));
  const before = known.length > 0 ? known : [{ name: stored.stream, first: 0 }];
  const lives = withLife(before, `${stored.stream}~${newLifeId(Math.random)}`, stored.last + 1);
  const { name: stream } = newestLife(lives);
  // What a power cut took had offsets up to `reserved`: not even another life gives them again.
  const row = { ...stored, stream, last: Math.max(stored.last, stored.reserved) };
  const log = new EmbeddedLog(tenant_id, row, lives, logs);
  try {
    file.transaction(() => rows.saveLives(row.id, lives));
  } catch (error) {
    // A full disk keeps nobody from reading. It must be written before the first message.
    log.is_saved = false;
    logger.warn("the life of a log is not written yet", { tenant_id, error });
  }
  return log;
}
