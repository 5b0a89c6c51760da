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
  group`bridge: publish commits of a database`,
  command`bridge postgres: publish messages that PostgreSQL transactions wrote with arqon.publish(…) ${BUS}
    --sql  only print the SQL that prepares a database
    --database <url>  the database: postgres://user:password@host:5432/name
    --database-file <file>  read the URL from a file; keeps it out of the process list
    --slot <name>  the replication slot; of bridges that share one, one is active ${slot} ${{
    is: "arqon",
  }}
    --accept-loss  continue if the slot was deleted or replaced, though messages may be missed
    --poll <ms>  poll the log by plain SQL at this interval, without the replication protocol ${pollMs}
    --json  print events as JSON, one object a line

    The database needs wal_level = logical, and the user the right to replicate. Several bridges may
    run: one is active. Messages that the bus finally refuses are in the table arqon.refused.
    $ arq bridge postgres --sql | psql app
    $ arq bridge postgres --database postgres://bridge:…@127.0.0.1/app`(
    calls(postgres, "bridgePostgres"),
  ),
];
