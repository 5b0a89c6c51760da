/**
 * The manifest of a backup: which program made it, of which engine, when, and each part in order, with its sequence
 * numbers and the SHA-256 of its files. Only the form.
 */
import { z } from "zod";

/** The first file of every backup, written before the length is known. */
export const HEAD_PATH = "arqon-backup.json";
/** The last file. A backup without it is incomplete. */
export const MANIFEST_PATH = "manifest.json";
/** The version of the form. */
export const BACKUP_FORMAT = 1;
/** Longest head or manifest, in bytes: some 100,000 parts. */
export const MANIFEST_BYTES = 67_108_864;

const Name = z.string().min(1).max(400);
const Count = z.int().min(0);

/** One file of a part in the archive. */
const StoredFile = z.strictObject({
  path: Name,
  size_bytes: Count,
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

const Facts = {
  /** Unix ms: the part has the state of then, or of a moment later. */
  taken_ms: Count,
  files: z.array(StoredFile),
};

/** A JetStream stream: a bucket, an object store, the log of a tenant, or the audit log. */
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
  name: z.enum(["spine.sqlite", "log.sqlite", "usage.sqlite", "audit.sqlite"]),
  ...Facts,
  /** The last revision of each bucket, and the last offset of the audit log and each tenant's log. */
  sequences: z.record(Name, Count),
});

/** The configuration, a file that it names, or a file the user asked for. */
const FilePart = z.strictObject({
  kind: z.literal("file"),
  /** Its path on the machine of the backup. */
  name: z.string().min(1).max(4_096),
  ...Facts,
  mode: z.int().min(0).max(0o777),
});

/** The facts that precede a database in the archive. */
export const DatabaseFacts = DatabasePart.omit({ files: true });
export type DatabaseFacts = z.output<typeof DatabaseFacts>;

/** One part. */
export const BackupPart = z.discriminatedUnion("kind", [StreamPart, DatabasePart, FilePart]);
/** One part. */
export type BackupPart = z.output<typeof BackupPart>;

/** What is known when a backup begins. */
export const BackupHead = z.strictObject({
  format: z.literal(BACKUP_FORMAT, {
    error: `expected ${BACKUP_FORMAT}: another ArqonBus has made it`,
  }),
  version: z.string().max(100),
  engine: z.enum(["embedded", "nats"]),
  /** Unix ms. */
  begun_ms: Count,
  /** The Shield that provided the data; absent: none did. */
  node_id: z.string().max(100).optional(),
  /** Whether the NATS server is part of a cluster. */
  clustered: z.boolean().optional(),
});
export type BackupHead = z.output<typeof BackupHead>;

/** The whole manifest. */
export const Manifest = BackupHead.extend({
  /** Unix ms. */
  ended_ms: Count,
  /** In backup order. */
  parts: z.array(BackupPart),
});
export type Manifest = z.output<typeof Manifest>;

/** Bytes of all files of a part. */
export const partBytes = ({ files }: Pick<BackupPart, "files">): number =>
  files.reduce((total, { size_bytes }) => total + size_bytes, 0);
