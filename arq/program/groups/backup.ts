/** The commands of `arq backup`, `arq restore` and `arq standby`. */
import { command, type Definition, EACH, group, NEEDED, rows } from "./define.ts";
import { BUS, calls, matching, positive } from "./options.ts";

// A command is loaded when it runs.
const backup = () => import("../../commands/backup/backup.ts");
const restore = () => import("../../commands/backup/restore.ts");
const standby = () => import("../../commands/backup/standby.ts");

const domain = matching(
  /^[A-Za-z0-9_-]{1,64}$/,
  "Expected a JetStream domain, as in the servers' configuration.",
);

const OPENING = rows`
    --identity <file>  the key of one that it was encrypted for, as age-keygen makes it
    --passphrase-file <file>  the passphrase that it was encrypted with`;

const SITE = rows`
    --config <file>  a configuration with the [nats] of the second site (default: ./config.toml)`;

/** `arq backup` and `arq restore`. */
export const BACKUP: readonly Definition[] = [
  group`backup: save everything that a bus stores in one file, and check such a file`,
  command`backup [take]: save everything that a bus stores in one file, while it runs ${BUS}
    <file>  the new file, with {time} in its name for the UTC time; it is there only once it is whole
    --config <file>  the bus's configuration (default: config.toml, if it is here)
    --recipient <key>  encrypt for age1…, as age-keygen makes it; repeatable ${EACH}
    --recipients-file <file>  encrypt for those in this file, one a line
    --passphrase-file <file>  encrypt with the passphrase in this file's first line
    --include <file>  one more file, for example the key of your tokens; repeatable ${EACH}
    --no-files  leave out the configuration and the keys and certificates that it names
    --keep <count>  then delete the oldest backups of this name, which has {time} in it, so that so many
      stay ${positive("a whole number of backups, 1 to 10000", true, 10_000)}
    --json  print the manifest as JSON

    With [nats] in the configuration: every bucket and log by the server's snapshots, with the login
    of that file. Without: a bus that runs hands out its data on the admin API, for a token of an
    operator; of one that is stopped the folder is read. Without a configuration the bus options say
    which bus. The file is a tar; an encrypted one is opened by age as well.
    $ arq backup bus-2026-08-01.tar
    $ arq backup /backup/bus.tar.age --config /etc/arqon/backup.toml --recipient age1…
    $ arq backup '/backup/bus-{time}.tar.age' --keep 14 --recipient age1…
    $ arq backup take bus.tar --context prod --json | jq .parts`(calls(backup, "backup")),
  command`backup verify: read a whole backup, check every digest, and list its content; 1: it is damaged
    <file>  the backup
    ${OPENING}
    --json  print the manifest as JSON

    Needs no bus.
    $ arq backup verify bus-2026-08-01.tar
    $ arq backup verify bus.tar.age --identity key.txt --json | jq .begun_ms`(
    calls(restore, "backupVerify"),
  ),
  command`restore: put a backup back, while no bus runs there
    <file>  the backup; it is read to its end and checked before anything is touched
    ${OPENING}
    --config <file>  where to: that bus's configuration (default: ./config.toml)
    --force  replace what is there: streams are deleted, databases moved beside
    --files-to <dir>  write the files that are in it below this folder
    --json  print what was done as JSON

    Refuses while a bus is at work there. What clients know of offsets, versions and fences that were
    given out after the backup does not count any more, and they are told (GAP epoch-changed).
    $ arq restore bus-2026-08-01.tar
    $ arq restore bus.tar.age --identity key.txt --config /etc/arqon/restore.toml --force`(
    calls(restore, "restore"),
  ),
];

/** `arq standby` */
export const STANDBY: readonly Definition[] = [
  group`standby: keep a copy of a bus on the NATS of a second site, and use it when the first is lost`,
  command`standby sync: make a mirror of every stream of the first site that has none yet; again and again
    --domain <name>  the JetStream domain of the first site ${domain} ${NEEDED}
    ${SITE}
    --json  print what was done as JSON

    The servers of the second site reach the first as a leaf node; they copy by themselves, and this
    makes the mirrors. New tenants' logs get theirs when it runs the next time: run it every minute.
    $ arq standby sync --config site-b.toml --domain a`(calls(standby, "standbySync")),
  command`standby status: print how far each mirror lags; 1: there is none
    ${SITE}
    --json  print it as JSON


    $ arq standby status --config site-b.toml --json | jq '[.mirrors[].lag] | max'`(
    calls(standby, "standbyStatus"),
  ),
  command`standby promote: make streams of the mirrors, so that a bus can work at the second site
    ${SITE}
    --json  print what was done as JSON

    What the mirrors have not got is lost. The bus of the first
    site has to be down and to stay down: nobody checks that.
    $ arq standby promote --config site-b.toml`(calls(standby, "standbyPromote")),
];
