/** The command line of `arq proof …` as commander sees it; what a command does is in `commands/`. */
import { Option } from "commander";
import type { Command } from "commander";
import { calls, count, examples, id, several, withConnection } from "./options.ts";
import type { Run } from "./options.ts";

// A command is loaded when it runs.
const proof = () => import("../../commands/proof/proof.ts");

/** Adds `arq proof` and its commands. */
export function addProof(program: Command, run: Run): void {
  const group = program.command("proof").description(
    "transparency logs: checkpoints and proofs of a room or of the audit log, checked on this machine",
  );
  const command = (name: string, about: string, more: string, ...shown: string[]) =>
    withConnection(group.command(name))
      .description(about)
      .argument("<source>", "TENANT.ROOM or audit of the bus, an address, or ./FOLDER")
      .addOption(
        new Option(
          "--vkey <vkey>",
          "who must have signed the log; several: any of them (default: the source's keys)",
        )
          .argParser(several),
      )
      .option("--json", "print what was found as JSON")
      .addHelpText("after", `${more}${examples(...shown)}`);
  command(
    "checkpoint",
    "print the newest checkpoint, to keep it",
    "\nA checkpoint that you keep shows later whether the log still has what it had.\n",
    "arq proof checkpoint acme.bets > monday.checkpoint",
  ).action(run(calls(proof, "checkpoint")));
  command(
    "key",
    "print the keys that check a log, the newest first",
    "\nTake one from somebody whom you trust, and give it with --vkey from then on.\n",
    "arq proof key acme.bets",
  ).action(run(calls(proof, "key")));
  command(
    "inclusion",
    "print the proof that an entry is in the log",
    "\nThe proof has the form of c2sp.org/tlog-proof.\n",
    "arq proof inclusion acme.bets 4711 > 4711.tlog-proof",
  ).argument("<offset>", "the message's offset, or the audit entry's number", count)
    .action(run(calls(proof, "inclusion")));
  command(
    "consistency",
    "check that a log continues a checkpoint that you have kept; 1: it does not",
    "\n",
    "arq proof consistency acme.bets monday.checkpoint",
  ).argument("<file>", "the checkpoint")
    .action(run(calls(proof, "consistency")));
  command(
    "verify",
    "check every entry and tile of a log, and messages beside it; 1: something is wrong",
    "\nA folder of arq proof save needs no bus. A file that ends in .tlog-proof is one entry with its proof, and one that ends in .receipt a receipt.\n",
    'arq proof verify ./bets --vkey "$VKEY" --older monday.checkpoint',
  ).option("--older <file...>", "checkpoints that the log must continue")
    .option("--log <source>", "for a .receipt: the log that must have its entry by now")
    .action(run(calls(proof, "verify")));
  command(
    "save",
    "write a log, and a room's messages beside it, into a new folder that proves itself",
    "\n",
    "arq proof save acme.bets ./bets",
  ).argument("<folder>", "the new folder")
    .action(run(calls(proof, "save")));
  withConnection(group.command("rotate"))
    .description(
      "make a new key for the logs of a tenant; the one before signs, too, until the next time",
    )
    .argument("[tenant]", "whose (default: the audit log)", id("tenant"))
    .addHelpText("after", examples("arq proof rotate acme"))
    .action(run(calls(proof, "rotate")));
}
