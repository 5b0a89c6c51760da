/**
 * The pages of remembered commands beside the documents of rooms, in the same bucket, so that both are restored or lost
 * together; and which commands are on which page.
 */
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import type { KeyValue, KvKey } from "../../../shared/spine/contract/spine.ts";
import type { RoomAddress } from "../../cluster_view.ts";
import type { AppliedCommand, CommandPage, RoomDocument } from "./document.ts";
import { appliedTuple, AppliedTuples, readApplied } from "./stored_document.ts";
import { readStored } from "../../../shared/records/stored.ts";
import { type Clocks, CLOCKS_DIFFER_MS } from "../../../shared/clock_steps.ts";

const utf8 = new TextEncoder();

/** The pages of one room that are in memory, by name; after `readPages`, all pages of its document. */
export type PageTable = Map<string, Commands>;

const pageKey = ({ tenant_id, room_id }: RoomAddress, { name }: CommandPage): KvKey => [
  tenant_id,
  room_id,
  name,
];

/** Whether a key of the bucket belongs to a room's document, not to one of its pages. */
export function isRoomKey(key: KvKey): boolean {
  return key.length === 2;
}

/** Whether a key of the bucket belongs to a page. */
export function isPageKey(key: KvKey): boolean {
  return key.length === 3;
}

const StoredPage = z.object({ format: z.literal(1), applied: AppliedTuples });

async function readPage(at: RoomAddress, page: CommandPage, bucket: Pick<KeyValue, "get">) {
  const entry = await bucket.get(pageKey(at, page));
  // Removed by the Brain that stored a newer document: then this Brain's write will lose, too.
  if (entry === undefined) return new Map<string, AppliedCommand>();
  const stored = readStored(entry.value, StoredPage, "page of a room's commands");
  if (stored === undefined) throw new ArqonError("internal", "", { cause: new Error("no page") });
  return readApplied(stored.applied);
}

/**
 * Loads the document's pages into `table`; pages already in it are not read again. Rejects with `spine-unavailable`, or
 * `internal` for a damaged page.
 */
export async function readPages(
  at: RoomAddress,
  { pages }: RoomDocument,
  table: PageTable,
  bucket: Pick<KeyValue, "get">,
): Promise<void> {
  const names = new Set(pages.map(({ name }) => name));
  for (const name of [...table.keys()]) if (!names.has(name)) table.delete(name);
  const missing = pages.filter(({ name }) => !table.has(name));
  const read = await Promise.all(missing.map((page) => readPage(at, page, bucket)));
  for (const [index, { name }] of missing.entries()) table.set(name, read[index] ?? new Map());
}

/** The answer to a command, if one of the pages has it. */
export function findCommand(table: PageTable, key: string): AppliedCommand | undefined {
  for (const commands of table.values()) {
    const found = commands.get(key);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** A page with its stored form. */
export interface EncodedPage {
  readonly page: CommandPage;
  readonly commands: Commands;
  readonly value: Uint8Array;
}

/** The stored forms of the pages to add. */
export function encodePages({ added }: Pick<Shed, "added">): readonly EncodedPage[] {
  return added.map(({ page, commands }) => {
    const stored = JSON.stringify({ format: 1, applied: Array.from(commands, appliedTuple) });
    return { page, commands, value: utf8.encode(stored) };
  });
}

/** Writes the pages that a document is about to refer to. Rejects with `spine-unavailable`. */
export async function addPages(
  at: RoomAddress,
  pages: readonly EncodedPage[],
  table: PageTable,
  bucket: Pick<KeyValue, "put">,
): Promise<void> {
  await Promise.all(pages.map(async ({ page, commands, value }) => {
    await bucket.put(pageKey(at, page), value);
    table.set(page.name, commands);
  }));
}

/** Removes pages that no document refers to. Never rejects. */
export async function removePages(
  at: RoomAddress,
  pages: readonly CommandPage[],
  bucket: Pick<KeyValue, "delete">,
): Promise<void> {
  // A remaining page is removed with the room.
  await Promise.allSettled(pages.map((page) => bucket.delete(pageKey(at, page))));
}

/** Removes a page whose room has ended, unless the room exists again. Never rejects. */
export async function removeLeftOver(
  [tenant_id = "", room_id = "", name = ""]: KvKey,
  bucket: Pick<KeyValue, "delete" | "get">,
): Promise<void> {
  try {
    const room = await bucket.get([tenant_id, room_id]);
    if (room === undefined) await bucket.delete([tenant_id, room_id, name]);
  } catch {
    // The next sweep finds it again.
  }
}

// A page is cut from the stored document, always at the same positions, so that two Brains that race for one write
// cut the same page under the same name: the loser has changed nothing.

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
interface Shed {
  readonly document: RoomDocument;
  readonly added: readonly { readonly page: CommandPage; readonly commands: Commands }[];
  readonly removed: readonly CommandPage[];
  /** The number of commands that were forgotten before they expired. */
  readonly forgotten: number;
}

/** Command key to its answer, oldest first. */
type Commands = ReadonlyMap<string, AppliedCommand>;

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
  now(document: RoomDocument, { now, monotonic_ms }: Clocks): number {
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
