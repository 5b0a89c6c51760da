/**
 * The commands that a room remembers, to repeat their answers on a retry: the newest in its document, older ones in
 * pages beside it, bounded by time and number. Pure; `command_pages.ts` reads and writes pages.
 *
 * A page is cut from the stored document, always at the same positions, so that two Brains that race for one write cut
 * the same page under the same name: the loser has changed nothing.
 */
import { CLOCKS_DIFFER_MS, type StepClocks } from "../../../shared/clock_steps.ts";
import type { AppliedCommand, CommandPage, RoomDocument } from "./document.ts";

/** Commands in one page. */
export const PAGE_COMMANDS = 256;
/** The document keeps at least this many commands when a page is cut. */
const KEPT_COMMANDS = 64;

/** How long, and how many, commands are remembered. */
export interface MemoryLimits {
  readonly command_id_ttl_ms: number;
  readonly command_ids_per_room: number;
}

/** Pages to write before the document, and pages to remove after it. */
export interface Shed {
  readonly document: RoomDocument;
  readonly added: readonly { readonly page: CommandPage; readonly commands: Commands }[];
  readonly removed: readonly CommandPage[];
  /** The number of commands that were forgotten before they expired. */
  readonly forgotten: number;
}

/** Command key to its answer, oldest first. */
export type Commands = ReadonlyMap<string, AppliedCommand>;

/** When the newest remembered command was answered; 0: none. */
function newestOf({ applied, pages }: RoomDocument): number {
  const last = [...applied.values()].at(-1)?.at_ms ?? 0;
  return pages.reduce((newest_ms, page) => Math.max(newest_ms, page.newest_ms), last);
}

/**
 * The clock of one room for expiring its remembered commands. It continues from the newest command, independent of the
 * wall clocks of Brains, and advances with the monotonic clock. So a command is never forgotten early. Time in which no
 * Brain has the room in memory counts only beyond the tolerated difference of wall clocks, so commands are then
 * remembered longer.
 */
export class CommandClock {
  /** Its time minus the monotonic one. */
  #ahead_ms: number | undefined;

  /** Approximate Unix ms; `document` is the last one read or written. */
  now(document: RoomDocument, { now, monotonic_ms }: StepClocks): number {
    const passed_ms = monotonic_ms();
    const newest_ms = newestOf(document);
    const floor_ms = newest_ms === 0 ? now() : now() - CLOCKS_DIFFER_MS;
    const known_ms = passed_ms + (this.#ahead_ms ?? floor_ms - passed_ms);
    const now_ms = Math.max(known_ms, newest_ms);
    this.#ahead_ms = now_ms - passed_ms;
    return Math.floor(now_ms);
  }
}

/** The pages to cut from a stored document now. */
function cut({ applied, epoch }: RoomDocument): Shed["added"] {
  const added: Shed["added"][number][] = [];
  const commands = [...applied];
  for (let at = 0; commands.length - at >= PAGE_COMMANDS + KEPT_COMMANDS; at += PAGE_COMMANDS) {
    const taken = commands.slice(at, at + PAGE_COMMANDS);
    const last = taken.at(-1)?.[1];
    if (last === undefined) break;
    const name = `${epoch}-${last.version}`;
    const page = { name, newest_ms: last.at_ms, commands: taken.length };
    added.push({ page, commands: new Map(taken) });
  }
  return added;
}

/**
 * The document to store instead of `next`, which was derived from the stored `base`. `now_ms` is by the room's
 * `CommandClock`, as the commands' `at_ms`.
 */
export function shed(
  base: RoomDocument,
  next: RoomDocument,
  { command_id_ttl_ms, command_ids_per_room }: MemoryLimits,
  now_ms: number,
): Shed {
  const over_ms = now_ms - command_id_ttl_ms;
  const added = cut(base);
  const applied = new Map(next.applied);
  for (const { commands } of added) for (const key of commands.keys()) applied.delete(key);
  const pages = [...next.pages, ...added.map(({ page }) => page)];
  const removed: CommandPage[] = [];
  let kept = pages.reduce((sum, { commands }) => sum + commands, applied.size);
  let forgotten = 0;
  for (let [page] = pages; page !== undefined; [page] = pages) {
    const is_over = page.newest_ms < over_ms;
    if (!is_over && kept <= command_ids_per_room) break;
    pages.shift();
    removed.push(page);
    kept -= page.commands;
    if (!is_over) forgotten += page.commands;
  }
  for (const [key, { at_ms }] of applied) {
    const is_over = at_ms < over_ms;
    if (!is_over && kept <= command_ids_per_room) break;
    applied.delete(key);
    kept--;
    if (!is_over) forgotten++;
  }
  const written = added.filter(({ page }) => !removed.includes(page));
  return { document: { ...next, applied, pages }, added: written, removed, forgotten };
}
