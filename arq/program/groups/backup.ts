/** The command line of `arq backup …` and `arq restore`; what they do is in `commands/`, loaded when it runs. */
import type { Command } from "commander";
import { calls, examples, positive, several, withConnection } from "./options.ts";
import type { Run } from "./options.ts";

function addTake(backup: Command, run: Run): void {
  withConnection(backup.command("take", { isDefault: true }))
    .description("save all that a bus keeps in one file, while it runs")
    .argument(
      "<file>",
      "the new file, with {time} in its name for the UTC time; it is there only once it is whole",
    )
    .option("--config <file>", "the bus's configuration (default: config.toml, if it is here)")
    .option("--recipient <key>", "encrypt for age1…, as age-keygen makes it; repeatable", several)
    .option("--recipients-file <file>", "encrypt for those in this file, one a line")
    .option("--passphrase-file <file>", "encrypt with the passphrase in this file's first line")
    .option(
      "--include <file>",
      "one more file, for example the key of your tokens; repeatable",
      several,
    )
    .option("--no-files", "leave out the configuration and the keys and certificates that it names")
    .option(
      "--keep <count>",
      "then delete the oldest backups of this name, which has {time} in it, so that so many stay",
      positive("a whole number of backups, 1 to 10000", true, 10_000),
    )
    .option("--json", "print the manifest as JSON")
    .addHelpText(
      "after",
      "\nWith [nats] in the configuration: every bucket and log by the server's snapshots, with the login" +
        "\nof that file. Without: a bus that runs hands out its data on the admin API, for a token of an" +
        "\noperator; of one that is stopped the folder is read. Without a configuration the bus options say" +
        "\nwhich bus. The file is a tar; an encrypted one is opened by age as well.\n" +
        examples(
          "arq backup bus-2026-08-01.tar",
          "arq backup /backup/bus.tar.age --config /etc/arqon/backup.toml --recipient age1…",
          "arq backup '/backup/bus-{time}.tar.age' --keep 14 --recipient age1…",
          "arq backup take bus.tar --context prod --json | jq .parts",
        ),
    )
    .action(run(calls(() => import("../../commands/backup/backup.ts"), "backup")));
}

/** Adds the options that open an encrypted backup. */
const opening = (command: Command): Command =>
  command
    .option("--identity <file>", "the key of one that it was encrypted for, as age-keygen makes it")
    .option("--passphrase-file <file>", "the passphrase that it was encrypted with");

function addVerify(backup: Command, run: Run): void {
  opening(backup.command("verify"))
    .description("read all of a backup, check every digest, and say what is in it; 1 is a damage")
    .argument("<file>", "the backup")
    .option("--json", "print the manifest as JSON")
    .addHelpText(
      "after",
      "\nNeeds no bus.\n" +
        examples(
          "arq backup verify bus-2026-08-01.tar",
          "arq backup verify bus.tar.age --identity key.txt --json | jq .begun_ms",
        ),
    )
    .action(run(calls(() => import("../../commands/backup/backup_verify.ts"), "backupVerify")));
}

/** Adds `arq backup` and its commands, and `arq restore`. */
export function addBackup(program: Command, run: Run): void {
  const backup = program.command("backup").description(
    "save all that a bus keeps in one file, and check such a file",
  );
  addTake(backup, run);
  addVerify(backup, run);
  opening(program.command("restore"))
    .description("put a backup back, while no bus runs there")
    .argument("<file>", "the backup; it is read to its end and checked before anything is touched")
    .option("--config <file>", "where to: that bus's configuration (default: ./config.toml)")
    .option("--force", "replace what is there: streams are deleted, databases moved beside")
    .option("--files-to <dir>", "write the files that are in it below this folder")
    .option("--json", "print what was done as JSON")
    .addHelpText(
      "after",
      "\nRefuses while a bus is at work there. What clients know of offsets, versions and fences that were" +
        "\ngiven out after the backup does not count any more, and they are told (GAP epoch-changed).\n" +
        examples(
          "arq restore bus-2026-08-01.tar",
          "arq restore bus.tar.age --identity key.txt --config /etc/arqon/restore.toml --force",
        ),
    )
    .action(run(calls(() => import("../../commands/backup/restore.ts"), "restore")));
}
