/** The commands of `arq bridge`. */
import { InvalidArgumentError } from "commander";
import { command, type Definition, group } from "./define.ts";
import { POLL_MAX_MS, POLL_MIN_MS, SLOT } from "../../../shared/config/values/postgres.ts";
import { BUS, calls, matching } from "./options.ts";

// A command is loaded when it runs.
const postgres = () => import("../../commands/bridge/postgres.ts");

const slot = matching(SLOT, "Expected 1 to 63 of [a-z0-9_].");

/** Parses the polling interval, in ms. */
function pollMs(text: string): number {
  const ms = Number(text);
  if (/^\d{2,5}$/.test(text) && ms >= POLL_MIN_MS && ms <= POLL_MAX_MS) return ms;
  throw new InvalidArgumentError(`Expected ${POLL_MIN_MS} to ${POLL_MAX_MS}, in ms.`);
}

/** `arq bridge` */
export const BRIDGE: readonly Definition[] = [
  group`bridge: publish what a database commits`,
  command`bridge postgres: publish what transactions of PostgreSQL put into the log with arqon.publish(…) ${BUS}
    --sql  print the SQL that a database gets once, and do nothing else
    --database <url>  the database: postgres://user:password@host:5432/name
    --database-file <file>  read that from a file; keeps it out of the process list
    --slot <name>  the replication slot; bridges that share one take turns ${slot} ${{
    is: "arqon",
  }}
    --accept-loss  go on where the slot is gone or another one, though something may be missed
    --poll <ms>  read the log so often by plain SQL, not by the replication protocol ${pollMs}
    --json  one JSON object a line for what happens

    The database needs wal_level = logical, and the user the right to replicate. Several bridges may
    run: one is active. What the bus refuses for good is in the table arqon.refused.
    $ arq bridge postgres --sql | psql app
    $ arq bridge postgres --database postgres://bridge:…@127.0.0.1/app`(
    calls(postgres, "bridgePostgres"),
  ),
];
