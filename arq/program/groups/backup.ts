/** The commands of `arq backup`, `arq restore`, `arq standby` and `arq bridge`. */
import { command, type Definition, EACH, group, NEEDED, rows } from "./define.ts";
import { BUS, calls, matching, positive } from "./options.ts";
import { InvalidArgumentError } from "commander";
import { POLL_MAX_MS, POLL_MIN_MS, SLOT } from "../../../shared/config/values/postgres.ts";

// A command is loaded when it runs.
const backup = () => import("../../commands/backup/backup.ts");
const restore = () => import("../../commands/backup/restore.ts");

const domain = matching(
  /^[A-Za-z0-9_-]{1,64}$/,
  "Expected a JetStream domain, as in the servers' configuration.",
);

const OPENING = rows`
    --identity <file>  the private key of a recipient, as age-keygen makes it
    --passphrase-file <file>  the passphrase of the encryption`;

const SITE = rows`
    --config <file>  a configuration with the [nats] of the second site (default: ./config.toml)`;

/** `arq backup` and `arq restore`. */
export const BACKUP: readonly Definition[] = [
  group`backup: back up all data of a bus to one file, and verify backups`,
  command`backup [take]: back up all data of a bus to one file, while it runs ${BUS}
    <file>  the new file, with {time} in its name for the UTC time; it appears once it is complete
    --config <file>  the bus's configuration (default: config.toml, if it exists)
    --recipient <key>  encrypt for age1…, as age-keygen makes it; repeatable ${EACH}
    --recipients-file <file>  encrypt for the recipients in this file, one a line
    --passphrase-file <file>  encrypt with the passphrase in this file's first line
    --include <file>  one more file, for example the key of your tokens; repeatable ${EACH}
    --no-files  omit the configuration and the keys and certificates that it names
    --keep <count>  then delete the oldest backups of this name, which contains {time}, and keep this
      many ${positive("a whole number of backups, 1 to 10000", true, 10_000)}
    --json  print the manifest as JSON

    With [nats] in the configuration it saves every bucket and log by the server's snapshots, with
    the login of that file. Without [nats] it reads the data of a running bus from the admin API,
    with an operator's token, and of a stopped bus from its folder. Without a configuration the bus
    options select the bus. The file is a tar; age also opens an encrypted one.
    $ arq backup bus-2026-08-01.tar
    $ arq backup /backup/bus.tar.age --config /etc/arqon/backup.toml --recipient age1…
    $ arq backup '/backup/bus-{time}.tar.age' --keep 14 --recipient age1…
    $ arq backup take bus.tar --context prod --json | jq .parts`(calls(backup, "backup")),
  command`backup verify: read a whole backup, check every digest, and list its content; 1: damaged
    <file>  the backup
    ${OPENING}
    --json  print the manifest as JSON

    Needs no bus.
    $ arq backup verify bus-2026-08-01.tar
    $ arq backup verify bus.tar.age --identity key.txt --json | jq .begun_ms`(
    calls(restore, "backupVerify"),
  ),
  command`restore: restore a backup to a place where no bus runs
    <file>  the backup; it is read to its end and checked before anything is changed
    ${OPENING}
    --config <file>  the configuration of the target bus (default: ./config.toml)
    --force  replace existing data: streams are deleted, databases renamed
    --files-to <dir>  write the files of the backup below this folder
    --json  print what was done as JSON

    It refuses while a bus runs there. Offsets, versions and fences from after the backup become
    invalid, and clients receive a GAP (epoch-changed).
    $ arq restore bus-2026-08-01.tar
    $ arq restore bus.tar.age --identity key.txt --config /etc/arqon/restore.toml --force`(
    calls(restore, "restore"),
  ),
];

/** `arq standby` */
export const STANDBY: readonly Definition[] = [
  group`standby: keep a copy of a bus on the NATS of a second site, for the loss of the first one`,
  command`standby sync: create the missing mirrors of the first site's streams; run it periodically
    --domain <name>  the JetStream domain of the first site ${domain} ${NEEDED}
    ${SITE}
    --json  print what was done as JSON

    The servers of the second site connect to the first as a leaf node and copy automatically; this
    command creates the mirrors, also for the logs of new tenants: run it every minute.
    $ arq standby sync --config site-b.toml --domain a`(calls(restore, "standbySync")),
  command`standby status: print the lag of each mirror; 1: there is none
    ${SITE}
    --json  print it as JSON


    $ arq standby status --config site-b.toml --json | jq '[.mirrors[].lag] | max'`(
    calls(restore, "standbyStatus"),
  ),
  command`standby promote: convert the mirrors to streams, so that a bus can run at the second site
    ${SITE}
    --json  print what was done as JSON

    Messages that the mirrors lack are lost. The bus of the first site must be down and stay down:
    this is not checked.
    $ arq standby promote --config site-b.toml`(calls(restore, "standbyPromote")),
];

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
