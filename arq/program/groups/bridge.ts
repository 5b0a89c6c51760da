/** The command line of `arq bridge …` as commander sees it; what it does is `commands/bridge/postgres.ts`. */
import { InvalidArgumentError } from "commander";
import type { Command } from "commander";
import { POLL_MAX_MS, POLL_MIN_MS, SLOT } from "../../../shared/config/values/postgres.ts";
import { calls, examples, withConnection } from "./options.ts";
import type { Run } from "./options.ts";

// A command is loaded when it runs.
const postgres = () => import("../../commands/bridge/postgres.ts");

/** Reads the name of a replication slot, as PostgreSQL allows it. */
function slot(text: string): string {
  if (SLOT.test(text)) return text;
  throw new InvalidArgumentError("Expected 1 to 63 of [a-z0-9_].");
}

/** Reads how often the log is read, in ms. */
function pollMs(text: string): number {
  const ms = Number(text);
  if (/^\d{2,5}$/.test(text) && ms >= POLL_MIN_MS && ms <= POLL_MAX_MS) return ms;
  throw new InvalidArgumentError(`Expected ${POLL_MIN_MS} to ${POLL_MAX_MS}, in ms.`);
}

/** Adds `arq bridge`. */
export function addBridge(program: Command, run: Run): void {
  const group = program.command("bridge")
    .description("publish what a database commits");
  withConnection(group.command("postgres"))
    .description("publish what transactions of PostgreSQL put into the log with arqon.publish(…)")
    .option("--sql", "print the SQL that a database gets once, and do nothing else")
    .option("--database <url>", "the database: postgres://user:password@host:5432/name")
    .option("--database-file <file>", "read that from a file; keeps it out of the process list")
    .option(
      "--slot <name>",
      "the replication slot; bridges that share one take turns",
      slot,
      "arqon",
    )
    .option(
      "--accept-loss",
      "go on where the slot is gone or another one, though something may be missed",
    )
    .option(
      "--poll <ms>",
      "read the log so often by plain SQL, not by the replication protocol",
      pollMs,
    )
    .option("--json", "one JSON object a line for what happens")
    .addHelpText(
      "after",
      "\nThe database needs wal_level = logical, and the user the right to replicate. Several bridges may" +
        "\nrun: one is active. What the bus refuses for good is in the table arqon.refused.\n" +
        examples(
          "arq bridge postgres --sql | psql app",
          "arq bridge postgres --database postgres://bridge:…@127.0.0.1/app",
        ),
    )
    .action(run(calls(postgres, "bridgePostgres")));
}
