/**
 * The pages of remembered commands beside the documents of rooms, in the same bucket, so that both are restored or lost
 * together. `command_memory.ts` assigns commands to pages.
 */
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import type { KeyValue, KvKey } from "../../../shared/spine/contract/spine.ts";
import type { RoomAddress } from "../../cluster_view.ts";
import type { Commands, Shed } from "./command_memory.ts";
import type { AppliedCommand, CommandPage, RoomDocument } from "./document.ts";
import { appliedTuple, AppliedTuples, readApplied } from "./stored_document.ts";
import { readStored } from "../../../shared/records/stored.ts";

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
