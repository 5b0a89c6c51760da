/** The client of PostgreSQL, with the types that it does not bring: only what the bridge uses. */
import type { Buffer } from "node:buffer";
import pg from "pg";

/** What a query gives; each row by its columns. */
interface Result {
  // deno-lint-ignore no-explicit-any -- the columns are the query's
  readonly rows: any[];
}

/** The connection below a client, while it replicates. */
export interface Wire {
  on(name: "copyData", listener: (message: { chunk: Uint8Array }) => void): void;
  once(name: "replicationStart", listener: () => void): void;
  sendCopyFromChunk(bytes: Buffer): void;
  readonly stream: { pause(): void; resume(): void };
}

/** A connection to a database. */
export interface Database {
  readonly connection: Wire;
  connect(): Promise<void>;
  /** Rejects with an Error that has the server's `code`. */
  query(text: string, values?: readonly unknown[]): Promise<Result>;
  end(): Promise<void>;
}

/**
 * A client that is not connected yet. What breaks it while nobody asks is heard by whoever asks next. `replicates`: it
 * takes commands of the replication protocol.
 */
export function databaseAt(url: string, replicates = false): Database {
  const mode = replicates ? { replication: "database" } : {};
  const client = new pg.Client({ connectionString: url, keepAlive: true, ...mode });
  client.on("error", () => {});
  return client;
}
