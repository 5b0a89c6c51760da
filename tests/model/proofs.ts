/** The transparency log of a row's room, and the receipts of its publisher: docs/proof.md. */
import { payloadHash, type RecordEntry, roomTree } from "../../shared/proof/entry.ts";
import type { TreeReader } from "../../shared/proof/reader.ts";
import { openReceipt } from "../../shared/proof/signing.ts";
import type { TestBus } from "../harness/test_bus.ts";
import type { HttpPeer } from "../peers/http_peer.ts";
import { grown, served, verifierOf } from "../proof/served.ts";
import type { Row } from "./factors.ts";
import { takenOf } from "./model.ts";

interface Room {
  readonly bus: TestBus;
  readonly tenant: string;
  readonly room: string;
}

/** A receipt in the acknowledgement of the message at that place. */
export interface Receipted {
  readonly place: number;
  readonly receipt: string;
}

/** A row's room, and what its publisher knows. */
interface Stage extends Room {
  readonly row: Row;
  readonly backend: HttpPeer;
  readonly acked: ReadonlyMap<number, number>;
  readonly receipts: readonly Receipted[];
}

/** Reads the files of the room's log as one of the tenant's users. */
export const filesOf = async ({ bus, tenant, room }: Room) =>
  served(bus, roomTree(tenant, room), await bus.tokenFor({ tenant, user: "verifier" }));

/** Waits for the room's log to have so many entries. */
export async function treeOf(room: Room, size: number): Promise<TreeReader> {
  const files = await filesOf(room);
  return await grown(files, await verifierOf(files), size);
}

/** The hash of each message of the room's history, by its offset. */
async function hashesOf({ backend, room }: Stage): Promise<Map<number, string>> {
  const { messages } = await backend.history(room);
  // As the bus writes it: the members in that order, without white space.
  return new Map(
    messages.map((one: { offset: number }) => [one.offset, payloadHash(JSON.stringify(one))]),
  );
}

type Entries = ReadonlyMap<number, RecordEntry>;

/** "The third line is the entry"; each message that was acknowledged in a room with a log has one. */
async function wrongReceipts(stage: Stage, entries: Entries): Promise<string[]> {
  const { row, acked, receipts } = stage;
  const verifier = await verifierOf(await filesOf(stage));
  const wrong: string[] = [];
  for (const { place, receipt } of receipts) {
    const { entry } = await openReceipt(receipt, verifier);
    const { offset } = entry;
    if (offset !== acked.get(place)) wrong.push(`the receipt of message ${place} is of ${offset}`);
    const kept = JSON.stringify(entries.get(offset));
    const is_kept = kept === JSON.stringify(entry);
    // What a shorter history has removed by then is a gap, and "its receipt stays unkept".
    if (!is_kept && row.log !== "short") {
      wrong.push(`the log has ${kept} in place of the receipt of message ${place}`);
    }
  }
  // Otherwise "the message is stored, and the Shield could not read it back".
  if (row.proof !== "receipt" || row.log === "short") return wrong;
  const silent = takenOf(row).filter((at) => !receipts.some(({ place }) => place === at));
  return [...wrong, ...silent.map((place) => `the ACK of message ${place} has no receipt`)];
}

/** Compares the room's log with its history. Its size: with the entries of messages that were removed; absent: none. */
async function entriesOf(
  stage: Stage,
  wrong: string[],
  size?: number,
): Promise<Entries> {
  const is_whole = stage.row.log !== "short";
  const hashes = await hashesOf(stage);
  const least = size ?? hashes.size;
  const tree = await treeOf(stage, is_whole ? least : 1);
  const entries = new Map<number, RecordEntry>();
  for await (const { entry } of tree.whole()) {
    if ("sha256" in entry) entries.set(entry.offset, entry);
    // "An erasure of what the log has is no break."
    else if (is_whole) wrong.push(`the log has a break: ${JSON.stringify(entry)}`);
  }
  if (is_whole && entries.size !== least) {
    wrong.push(`the log has ${entries.size} entries, the model: ${least}`);
  }
  for (const [offset, sha256] of hashes) {
    const logged = entries.get(offset)?.sha256;
    const is_late = logged === undefined && !is_whole;
    if (logged !== sha256 && !is_late) {
      wrong.push(`the log has ${logged} of the message at ${offset}`);
    }
  }
  return entries;
}

/** Compares the log with the history, and with what receipts promise, once the row's end is stored. */
export async function compareProof(stage: Stage): Promise<string[]> {
  const { row } = stage;
  if (row.proof === "off") return [];
  const wrong: string[] = [];
  const entries = await entriesOf(stage, wrong, takenOf(row).length + 1);
  return [...wrong, ...await wrongReceipts(stage, entries)];
}

/** The same after faults, without receipts. docs/proof.md: "Two Shields never publish two trees." */
export async function judgeProof(stage: Stage): Promise<string[]> {
  const wrong: string[] = [];
  if (stage.row.proof !== "off") await entriesOf(stage, wrong);
  return wrong;
}
