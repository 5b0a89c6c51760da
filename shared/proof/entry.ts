/**
 * The entries of a record's tree: what one says of a message or an audit entry, or of a break in the record. They have
 * no payload, only its hash: what is erased or no longer kept stays proven. Pure.
 */
import { hash } from "node:crypto";
import { utf8Size } from "@arqon/proto";
import { canonicalJson } from "../canonical_json.ts";

/** The bucket with heads, tiles and bundles of all trees. */
export const PROOF_BUCKET = "ARQON_PROOF";
/** The bucket with each tenant's key. */
export const PROOF_KEYS_BUCKET = "ARQON_PROOF_KEYS";
/** The tree of the audit log, which is no tenant's. */
export const AUDIT_TREE = "audit";
/** Records of a tenant that are kept in blocks. */
const BLOCK_RECORDS = ["journal", "usage"] as const;
/** One of them. */
export type BlockRecord = typeof BLOCK_RECORDS[number];

/** What a tenant has used in one minute of one process, all of it in one. */
export interface MinuteUse {
  /** Names it: node, life and number. A log that was read anew has it twice. */
  readonly block: string;
  /** In minutes since 1970. */
  readonly minute: number;
  /** What is not 0, by the names of the counts. */
  readonly counts: Readonly<Record<string, number>>;
}

/** One entry of a record. */
export interface RecordEntry {
  /** In another epoch an offset may mean something else. */
  readonly epoch: string;
  readonly offset: number;
  /** When the log took it, Unix ms by the log's clock. */
  readonly time_ms: number;
  /** Hex: of the message's text form, of a decision's canonical JSON, else of the stored bytes. */
  readonly sha256: string;
  /** Of the record of use. */
  readonly use?: MinuteUse | undefined;
}

/** What an entry has that is made of one line of a stored block. */
export type BlockLeaf = Pick<RecordEntry, "sha256" | "use">;

/**
 * Says that the record does not go on as it was. `gap`: entries up to the offset were removed before the tree had them.
 * `restored`: the log is an older copy, whose last entry of the tree's has that offset. `lost`: it is another log, read
 * from its first entry on.
 */
export interface RecordBreak {
  readonly break: "gap" | "restored" | "lost";
  /** What follows is of this epoch. */
  readonly epoch: string;
  readonly offset: number;
}

const utf8 = new TextEncoder();

function leafText(entry: RecordEntry | RecordBreak): string {
  if ("break" in entry || entry.use !== undefined) return canonicalJson(entry);
  // Of each message: the same text, in a third of the time.
  const { epoch, offset, sha256, time_ms } = entry;
  return `{"epoch":${
    JSON.stringify(epoch)
  },"offset":${offset},"sha256":"${sha256}","time_ms":${time_ms}}`;
}

/** The bytes of a leaf: JSON with its members in the order of their names, without white space. */
export const encodeLeaf = (entry: RecordEntry | RecordBreak): Uint8Array =>
  utf8.encode(leafText(entry));

/** As `encodeLeaf`, of several; all of them are parts of one buffer. */
export function encodeLeaves(entries: readonly (RecordEntry | RecordBreak)[]): Uint8Array[] {
  const texts = entries.map(leafText);
  const all = texts.join("");
  const bytes = utf8.encode(all);
  const sizeOf = bytes.length === all.length ? (text: string) => text.length : utf8Size;
  let end = 0;
  return texts.map((text) => bytes.subarray(end, end += sizeOf(text)));
}

/** What the bytes of a leaf say; undefined for bytes that `encodeLeaf` does not make. */
export function decodeLeaf(bytes: Uint8Array): RecordEntry | RecordBreak | undefined {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    const entry = JSON.parse(text);
    const is_placed = typeof entry.epoch === "string" && Number.isSafeInteger(entry.offset);
    const is_known = typeof entry.sha256 === "string"
      ? /^[0-9a-f]{64}$/.test(entry.sha256) && Number.isSafeInteger(entry.time_ms)
      : ["gap", "restored", "lost"].includes(entry.break);
    return is_placed && is_known && canonicalJson(entry) === text ? entry : undefined;
  } catch {
    return undefined;
  }
}

/** The hash of a payload, as a leaf has it. */
export const payloadHash = (payload: Uint8Array | string): string => hash("sha256", payload, "hex");

/** The name of a room's tree. Neither part has a dot. */
export const roomTree = (tenant_id: string, room_id: string): string => `${tenant_id}.${room_id}`;

/** The name of the tree of a tenant's record. */
export const blockTree = (record: BlockRecord, tenant_id: string): string =>
  `${record}@${tenant_id}`;

/** The record and the tenant in such a name; undefined for any other text. */
export function blockTreeOf(
  name: string,
): { readonly record: BlockRecord; readonly tenant_id: string } | undefined {
  const record = BLOCK_RECORDS.find((one) => name.startsWith(`${one}@`));
  return record && { record, tenant_id: name.slice(record.length + 1) };
}
