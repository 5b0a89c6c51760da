/** The command line of `arq mirror …` as commander sees it; what a command does is in `commands/`. */
import type { Command } from "commander";
import { calls, examples, id, percentage, subjectTenant, withConnection } from "./options.ts";
import type { Run } from "./options.ts";

// A command is loaded when it runs.
const mirrorRules = () => import("../../commands/mirror/mirror_rules.ts");
const mirrorWatch = () => import("../../commands/mirror/mirror_watch.ts");

const PREFIX = "a room or the beginning of one ('vehicles-*'), or a subject ('in.t.acme.*')";

function withJson(command: Command): Command {
  return withConnection(command).option("--json", "print the bus's answer as JSON");
}

function withOwner(command: Command): Command {
  return subjectTenant(withJson(command));
}

function addRules(mirror: Command, run: Run): void {
  withOwner(mirror.command("set"))
    .description("copy a share of the traffic to shadow.<subject>; the same prefix replaces")
    .argument("<prefix>", PREFIX)
    .argument("<share>", "share of all traces: 10% or 0.01%", percentage)
    .addHelpText(
      "after",
      "\nOf the rules that match a subject the one with the longest prefix counts, alone. A larger" +
        "\nshare holds all of a smaller one. Every Shield has it in force within a second.\n" +
        examples(
          "arq mirror set 'vehicles-*' 10%",
          "arq mirror set 'in.t.acme.*' 0.5%",
          "arq mirror set in.t.acme.r.billing 0",
        ),
    )
    .action(run(calls(mirrorRules, "mirrorSet")));
  withJson(mirror.command("list"))
    .description("the rules in force, of the configuration and of all tenants")
    .option("--tenant <id>", "only those that this tenant has set", id("tenant"))
    .addHelpText("after", examples("arq mirror list", "arq mirror list --tenant acme --json"))
    .action(run(calls(mirrorRules, "mirrorList")));
  withOwner(mirror.command("remove"))
    .description("take a tenant's rule away; those of the configuration stay")
    .argument("<prefix>", PREFIX)
    .addHelpText("after", examples("arq mirror remove 'vehicles-*'"))
    .action(run(calls(mirrorRules, "mirrorRemove")));
  withJson(mirror.command("reset"))
    .description("start a tenant's settings anew when the bus cannot read what is stored")
    .addHelpText("after", "\nMirror rules, schema mappings and room classes are none then.\n")
    .option("--tenant <id>", "tenant", id("tenant"), "default")
    .addHelpText("after", examples("arq mirror reset --tenant acme"))
    .action(run(calls(mirrorRules, "mirrorReset")));
}

/** Adds `arq mirror` and its commands. */
export function addMirror(program: Command, run: Run): void {
  const mirror = program.command("mirror").description("shadow traffic: rules and comparisons");
  addRules(mirror, run);
  withOwner(mirror.command("explain"))
    .description("say which rule is about a subject, and why")
    .argument("<subject>", "a room, or a subject 'in.t.acme.r.lobby'")
    .option("--key <id>", "a trace id, or a connection's: is it mirrored?")
    .addHelpText(
      "after",
      examples(
        "arq mirror explain lobby",
        "arq mirror explain in.t.acme.r.lobby --key 4bf92f3577b34da6a3ce929d0e0e4736",
      ),
    )
    .action(run(calls(mirrorWatch, "mirrorExplain")));
  withJson(mirror.command("diff"))
    .description("what candidates would have decided, beside what production decided")
    .option("--tenant <id>", "tenant", id("tenant"), "default")
    .option("--candidate <name>", "only this one: policy:NAME, schema:ID or a consumer's own name")
    .option("--reset", "forget what was compared")
    .addHelpText(
      "after",
      "\nCandidates are policies and schemas that are bound to observe, and shadow consumers that say" +
        "\nwhat they would have decided. Each Shield compares what it mirrored; --admin-url picks one.\n" +
        examples(
          "arq mirror diff",
          "arq mirror diff --tenant acme --json | jq '.candidates[].would_refuse'",
          "arq mirror diff --candidate policy:next --reset",
        ),
    )
    .action(run(calls(mirrorWatch, "mirrorDiff")));
}
