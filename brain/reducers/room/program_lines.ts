/**
 * What programs of rooms write into the Brain's own log: `tenant_id=… room=… msg=…`, with a limit for each tenant and
 * second, so that no tenant's lines displace another's.
 */
import type { Logger } from "../../../shared/logs/log.ts";
import { tenantLines } from "../../../shared/logs/tenant_lines.ts";
import type { RoomAddress } from "../../cluster_view.ts";
import type { Applied } from "../thread/protocol.ts";

/** The most lines of one tenant that reach the log in a second. */
const LINES_PER_SECOND = 50;
const LEVELS = ["debug", "info", "warn", "error"] as const;

/** Writes the lines of one entry. */
export type ProgramLines = (at: RoomAddress, lines: Applied["logs"]) => void;

/** Makes a writer; `now` in Unix ms. */
export function createProgramLines(log: Logger, now: () => number): ProgramLines {
  const choose = tenantLines(LINES_PER_SECOND, now);
  return ({ tenant_id, room_id: room }, lines) => {
    for (const { level, message } of lines) {
      const choice = choose(tenant_id);
      if (choice === "last") {
        log.warn("a tenant's reducers log too much; lines were dropped", { tenant_id });
      }
      if (choice !== "written") return;
      log.child({ tenant_id, room })[LEVELS[level] ?? "info"](message);
    }
  };
}
