/**
 * The sources of trees: messages of a durable room, the audit log, and blocks of a tenant. A source is read from the
 * end of its tree, and reports when the record does not continue as the tree recorded it.
 */
import { DecodeError, encodeTextMessage, readRouted } from "@arqon/proto";
import { decodeEntry, NO_HASH } from "../../shared/audit/entry.ts";
import type { AuditLog } from "../../shared/audit/log.ts";
import { isOtherStore, type LastBlock, takenBlock } from "../../shared/blocks/read_blocks.ts";
import { encodeLeaf, payloadHash } from "../../shared/proof/entry.ts";
import type { RecordBreak, RecordEntry } from "../../shared/proof/entry.ts";
import { roomEpoch } from "../../shared/rooms/epoch.ts";
import type { Appended, DurableLog, LogMessage } from "../../shared/spine/contract/durable_log.ts";
import type { StoredBlock } from "../../shared/spine/contract/block_store.ts";
import { lastOf, lifeAt, LIVES_MAX } from "../../shared/spine/contract/lives.ts";
import { readPage } from "../../shared/spine/contract/read_page.ts";
import { slice } from "../../shared/turns/slices.ts";
import type { KeptBlocks } from "../capability.ts";
import type { RecentEntry } from "../message/logs.ts";

/** The end of a tree in its record; before the first entry `{ stream: "", offset: 0 }`. */
export interface Position {
  /** The incarnation of the log. */
  readonly stream: string;
  readonly offset: number;
}

/** The entries after a position. */
export interface Batch {
  readonly entries: readonly (RecordEntry | RecordBreak)[];
  /** The end of the tree with these entries. */
  readonly end: Position;
  readonly more: boolean;
}

/** A record that has a tree. */
export interface RecordSource {
  /** Reads the next entries. Rejects as the record's log does. */
  read(position: Position): Promise<Batch>;
  /** Whether a tree with that end has that last leaf; absent: a leaf does not show it. */
  readonly isEnd?: (end: Position, last: RecordEntry | RecordBreak) => boolean;
}

/** The entries of one batch. Each batch is a write of its tiles, and a checkpoint. */
const BATCH = 2_048;
const BATCH_BYTES = 4_194_304;
/** The messages that are hashed without a pause. */
const MESSAGES_A_PIECE = 64;

/** The hash of a message's text form, as text clients receive it. */
function hashOf(payload: Uint8Array, offset: number): string {
  try {
    const envelope = readRouted(payload);
    envelope.offset = offset;
    return payloadHash(encodeTextMessage(envelope));
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return payloadHash(payload);
  }
}

const entryOf = (epoch: string, { offset, time_ms, payload }: LogMessage): RecordEntry => (
  { epoch, offset, time_ms, sha256: hashOf(payload, offset) }
);

/** The batch of messages in memory, which follow the position in its life. */
async function recentBatch(
  tenant_id: string,
  room_id: string,
  { stream }: Position,
  messages: readonly RecentEntry[],
): Promise<Batch> {
  const epoch = roomEpoch(stream, room_id);
  const entries: RecordEntry[] = [];
  for (const { offset, time_ms, envelope, text } of messages) {
    if (entries.length % MESSAGES_A_PIECE === 0) await slice(tenant_id);
    // Text clients have got it already.
    const sha256 = text === undefined ? hashOf(envelope, offset) : payloadHash(text);
    entries.push({ epoch, offset, time_ms, sha256 });
  }
  const end = { stream, offset: entries.at(-1)!.offset };
  return { entries, end, more: entries.length === BATCH };
}

/** The leaf of a message that was just stored. Rejects if the log no longer shows it, or was replaced. */
export async function leafAt(
  log: DurableLog,
  room_id: string,
  { offset, stream }: Appended,
): Promise<Uint8Array> {
  const first = { after: offset - 1, limit: 1, max_bytes: 1 };
  const { messages: [message] } = await readPage(log, room_id, first, offset);
  // A repeated message may be of an earlier life, and its entry is, too.
  const { name } = lifeAt(log.lives, offset);
  if (message?.offset !== offset || name !== stream) throw new Error("the log does not show it");
  return encodeLeaf(entryOf(roomEpoch(name, room_id), message));
}

/** The break at which a log of another incarnation continues; undefined: it has everything in the tree. */
function lifeBreak(
  { stream, offset }: Position,
  { lives }: Pick<DurableLog, "lives">,
): Pick<RecordBreak, "break" | "offset"> | undefined {
  if (stream === "") return undefined;
  const last = lastOf(lives, stream);
  // A log forgets its oldest lives. Another log would have been noticed in one of the later ones.
  const is_forgotten = lives.length === LIVES_MAX && offset < lives[0]!.first;
  if (last === undefined) return is_forgotten ? undefined : { break: "lost", offset: 0 };
  return last < offset ? { break: "restored", offset: last } : undefined;
}

/** The messages of a room; `recent` has those that are in memory, as `Logs` has them. */
export function roomSource(
  open: () => Promise<DurableLog>,
  room_id: string,
  recent: (after: Position, limit: number) => readonly RecentEntry[] = () => [],
): RecordSource {
  const bounds = { limit: BATCH, max_bytes: BATCH_BYTES };
  return {
    isEnd: ({ stream, offset }, last) =>
      offset === last.offset && roomEpoch(stream, room_id) === last.epoch,
    async read(position) {
      const log = await open();
      const known = recent(position, BATCH);
      if (known.length > 0) return await recentBatch(log.tenant_id, room_id, position, known);
      const first = await log.read(room_id, { ...bounds, after: position.offset });
      const changed = first.stream === position.stream ? undefined : lifeBreak(position, log);
      const after = changed?.offset ?? position.offset;
      const page = after === position.offset
        ? first
        : await log.read(room_id, { ...bounds, after });
      // A third incarnation: the next turn finds it.
      if (page.stream !== first.stream) return { entries: [], end: position, more: true };
      const { messages, stream, complete, erased = 0 } = page;
      const epoch = roomEpoch(stream, room_id);
      // Retention removes the first messages, and an erasure any.
      const behind = complete ? undefined : messages.find(({ offset }) => offset > erased);
      const entries: (RecordEntry | RecordBreak)[] = changed ? [{ ...changed, epoch }] : [];
      let end = changed ? { stream, offset: after } : position;
      let stored: { readonly name: string; readonly epoch: string } | undefined;
      for (const message of messages) {
        const { offset } = message;
        if (entries.length % MESSAGES_A_PIECE === 0) await slice(log.tenant_id);
        // A log that cannot name missing messages may return even the next offset.
        if (message === behind && offset > end.offset + 1) {
          entries.push({ break: "gap", epoch, offset: offset - 1 });
        }
        // A receipt names the epoch in which the message was stored.
        const { name } = lifeAt(log.lives, offset);
        if (name !== stored?.name) stored = { name, epoch: roomEpoch(name, room_id) };
        end = { stream: name, offset };
        entries.push(entryOf(stored.epoch, message));
      }
      return { entries, end, more: page.more };
    },
  };
}

/** The epoch of the audit log, whose offsets have one incarnation. */
const AUDIT_EPOCH = "audit";

/** Whether the entry at the position differs from the tree's. */
async function isOther(
  log: AuditLog,
  { stream, offset }: Position,
  there: StoredBlock | undefined,
): Promise<boolean> {
  if (offset === 0) return false;
  if (there !== undefined) return there.cursor === offset && payloadHash(there.payload) !== stream;
  // Other replicas may lag, but not the one that decides appends.
  const { seq, hash } = await log.head();
  return hash !== NO_HASH && seq < offset;
}

/** The entries of the audit log. Its position has the hash of the last entry instead of an incarnation. */
export function auditSource(open: () => Promise<AuditLog>): RecordSource {
  return {
    isEnd: ({ stream, offset }, last) =>
      offset === last.offset && stream === ("sha256" in last ? last.sha256 : ""),
    async read(position) {
      const log = await open();
      const known = await log.read(Math.max(0, position.offset - 1), BATCH);
      const is_other = await isOther(log, position, known[0]);
      const entries: (RecordEntry | RecordBreak)[] = [];
      const broken = (kind: "lost" | "gap", offset: number) =>
        entries.push({ break: kind, epoch: AUDIT_EPOCH, offset });
      if (is_other) broken("lost", 0);
      const after = is_other ? 0 : position.offset;
      const found = is_other ? await log.read(after, BATCH) : known;
      const page = found.filter(({ cursor }) => cursor > after);
      const [first] = page;
      if (first !== undefined && first.cursor > after + 1) broken("gap", first.cursor - 1);
      let end = is_other ? { stream: "", offset: 0 } : position;
      for (const { cursor: offset, payload } of page) {
        const decoded = decodeEntry(payload);
        const time_ms = "entry" in decoded ? decoded.entry.at_ms : 0;
        end = { stream: payloadHash(payload), offset };
        entries.push({ epoch: AUDIT_EPOCH, offset, time_ms, sha256: end.stream });
      }
      return { entries, end, more: page.length > 0 };
    },
  };
}

const BLOCKS = 64;

/** The blocks of a tenant. Their entries are numbered, and a position has their place instead of a life. */
export function blockSource(
  { name, open, leavesOf }: Required<Pick<KeptBlocks, "name" | "open" | "leavesOf">>,
  tenant_id: string,
): RecordSource {
  return {
    async read(position) {
      const store = await open();
      const [cursor = 0, time_ms = 0, newest_ms = 0] = position.stream.split(".").map(Number);
      const before = cursor === 0 ? undefined : { cursor, time_ms, newest_ms };
      const from = { tenant_id, limit: BLOCKS };
      const known = await store.read({ ...from, after: Math.max(0, cursor - 1) });
      const is_lost = before !== undefined &&
        await isOtherStore(store, tenant_id, before, known.blocks[0]);
      const page = is_lost ? await store.read(from) : known;
      const blocks = page.blocks.filter((block) => is_lost || block.cursor > cursor);
      const entries: (RecordEntry | RecordBreak)[] = is_lost
        ? [{ break: "lost", epoch: name, offset: 0 }]
        : [];
      let last: LastBlock | undefined = is_lost ? undefined : before;
      let taken = 0;
      let offset = position.offset;
      for (const block of blocks) {
        if (entries.length >= BATCH) break;
        for (const leaf of await leavesOf(tenant_id, block)) {
          entries.push({ ...leaf, epoch: name, offset: ++offset, time_ms: block.time_ms });
        }
        last = takenBlock(block, last);
        taken++;
      }
      const more = taken < blocks.length || !page.is_end;
      const stream = last === undefined ? "" : `${last.cursor}.${last.time_ms}.${last.newest_ms}`;
      return { entries, end: { stream, offset }, more };
    },
  };
}
