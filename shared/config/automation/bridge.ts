/** `[bridge.postgres]`: a database whose commits are published. A part of `../schema.ts`. */
import { z } from "zod";
import { isDatabaseUrl, SLOT } from "../values/postgres.ts";
import { always, id, namedFile } from "../values/schema_values.ts";

const Postgres = z.strictObject({
  tenant: id.describe("whose rooms transactions publish to"),
  database: z.string().max(2_048).refine(isDatabaseUrl, {
    error: 'expected a URL such as "postgres://bridge@127.0.0.1:5432/app"',
  }).optional().describe("the database; with a password rather in database_file"),
  database_file: namedFile(
    "instead of database: a file with that URL and its password; read for each connection",
  ),
  slot: z.string().regex(SLOT, { error: "expected 1 to 63 of [a-z0-9_]" }).default("arqon")
    .describe("the replication slot; of several bridges with the same one, one is active"),
  mode: z.enum(["replication", "polling"]).default("replication").describe(
    "how it reads the log: by the replication protocol, or by SQL every poll_ms",
  ),
}).refine(
  ({ database, database_file }) => (database === undefined) !== (database_file === undefined),
  { error: "expected exactly one of database and database_file", ...always },
);

/** `[bridge]`. */
export const Bridge = z.strictObject({
  postgres: Postgres.optional().describe(
    "`arq serve` publishes what a PostgreSQL commits; beside a separate Shield run `arq bridge postgres`",
  ),
});
