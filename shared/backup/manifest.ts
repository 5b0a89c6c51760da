/**
 * What a backup says of itself: which program made it, of which engine, when, and each part with its
 * place in the order, its sequence numbers and the SHA-256 of its files. Only the form.
 */
import { z } from "zod";

/** The first file of every backup: what it is, before its length is known. */
export const HEAD_PATH = "arqon-backup.json";
/** The last one: the manifest. Without it a backup is not whole. */
export const MANIFEST_PATH = "manifest.json";
/** What this program writes and reads. */
export const BACKUP_FORMAT = 1;
/** Longest head or manifest, in bytes: some 100,000 parts. */
export const MANIFEST_BYTES = 67_108_864;

const Name = z.string().min(1).max(400);
const Count = z.int().min(0);

/** One file of a part, as it is in the archive. */
const StoredFile = z.strictObject({
  path: Name,
  size_bytes: Count,
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

const Facts = {
  /** Unix ms: the part is as it was then, or a moment later. */
  taken_ms: Count,
  files: z.array(StoredFile),
};

/** A JetStream stream: a bucket, an object store, the log of a tenant, the audit log. */
const StreamPart = z.strictObject({
  kind: z.literal("stream"),
  name: Name,
  ...Facts,
  messages: Count,
  first_sequence: Count,
  last_sequence: Count,
});

/** A database of the embedded engine. */
const DatabasePart = z.strictObject({
  kind: z.literal("database"),
  name: z.enum(["spine.sqlite", "log.sqlite", "usage.sqlite"]),
  ...Facts,
  /** The last revision of each bucket, and the last offset of each ledger and each tenant's log. */
  sequences: z.record(Name, Count),
});

/** The configuration, a file that it names, or one that was asked for. */
const FilePart = z.strictObject({
  kind: z.literal("file"),
  /** Where it was on the machine that made the backup. */
  name: z.string().min(1).max(4_096),
  ...Facts,
  mode: z.int().min(0).max(0o777),
});

/** What stands before a database in the archive. */
export const DatabaseFacts = DatabasePart.omit({ files: true });
/** What stands before a database in the archive. */
export type DatabaseFacts = z.output<typeof DatabaseFacts>;

/** One thing that was saved. */
export const BackupPart = z.discriminatedUnion("kind", [StreamPart, DatabasePart, FilePart]);
/** One thing that was saved. */
export type BackupPart = z.output<typeof BackupPart>;

/** What is known when a backup begins. */
export const BackupHead = z.strictObject({
  format: z.literal(BACKUP_FORMAT, {
    error: `expected ${BACKUP_FORMAT}: another ArqonBus has made it`,
  }),
  /** Version of the program. */
  version: z.string().max(100),
  engine: z.enum(["embedded", "nats"]),
  /** Unix ms. */
  begun_ms: Count,
  /** Of the Shield that handed out its data; absent: nobody was asked. */
  node_id: z.string().max(100).optional(),
  /** Whether the NATS server is part of a cluster. */
  clustered: z.boolean().optional(),
});
/** What is known when a backup begins. */
export type BackupHead = z.output<typeof BackupHead>;

/** All of it. */
export const Manifest = BackupHead.extend({
  /** Unix ms. */
  ended_ms: Count,
  /** In the order in which they were taken. */
  parts: z.array(BackupPart),
});
/** All of it. */
export type Manifest = z.output<typeof Manifest>;

/** Bytes of all files of a part. */
export const partBytes = ({ files }: Pick<BackupPart, "files">): number =>
  files.reduce((total, { size_bytes }) => total + size_bytes, 0);
