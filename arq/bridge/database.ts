/** The client of PostgreSQL, with the types that it does not bring: only what the bridge uses. */
import type { Buffer } from "node:buffer";
import pg from "pg";

/** The package waits for an answer to its goodbye, which may not come from a connection that is broken, in ms. */
const END_MS = 1_000;
const CONNECT_MS = 10_000;
const QUERY_MS = 30_000;

/** PostgreSQL: object_in_use, the slot is another's. */
export const IN_USE = "55006";

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
  /** Never rejects. */
  end(): Promise<void>;
}

/** `patient`: a query may take as long as it does. `replicates`: that, and it takes commands of that protocol. */
type DatabaseKind = "plain" | "patient" | "replicates";

/** What a client of a kind is given: a stream is one query for as long as it goes on. */
const OPTIONS = {
  plain: { query_timeout: QUERY_MS },
  patient: {},
  replicates: { replication: "database" },
} as const;

/** A client that is not connected yet. What breaks it while nobody asks is heard by whoever asks next. */
export function databaseAt(url: string, kind: DatabaseKind = "plain"): Database {
  const client = new pg.Client({
    ...{ connectionString: url, keepAlive: true, connectionTimeoutMillis: CONNECT_MS },
    ...OPTIONS[kind],
  });
  client.on("error", () => {});
  return {
    connection: client.connection,
    connect: () => client.connect(),
    query: (text, values) => client.query(text, values),
    async end() {
      const timeout = Promise.withResolvers<void>();
      const timer = setTimeout(timeout.resolve, END_MS);
      // A connection that is broken has ended.
      await Promise.race([client.end().catch(() => {}), timeout.promise]);
      clearTimeout(timer);
      client.connection.stream.destroy();
    },
  };
}
