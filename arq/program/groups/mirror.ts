/** The command line of `arq mirror …` as commander sees it; what a command does is in `commands/`. */
import type { Command } from "commander";
import { asks, bySubject, from, settles } from "./asks.ts";
import { calls, examples, percentage, someTenant, subjectTenant } from "./options.ts";
import { withJson, withTenant } from "./options.ts";
import type { Run } from "./options.ts";

// A command is loaded when it runs.
const texts = () => import("../../answers/mirror_text.ts");
const mirrorWatch = () => import("../../commands/mirror/mirror_watch.ts");

const PREFIX = "a room or the beginning of one ('vehicles-*'), or a subject ('in.t.acme.*')";

const RULES = "/v1/tenants/{tenant}/mirror";

const withOwner = (command: Command): Command => subjectTenant(withJson(command));

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
    .action(run(settles({
      route: `PUT ${RULES}`,
      body: "prefix,percent=share",
      given: bySubject("prefix"),
      done: from(texts, "mirroredText"),
    })));
  someTenant(withJson(mirror.command("list")), "only those that this tenant has set")
    .description("the rules in force, of the configuration and of all tenants")
    .addHelpText("after", examples("arq mirror list", "arq mirror list --tenant acme --json"))
    .action(
      run(asks({ route: [`GET ${RULES}`, "GET /v1/mirror"], text: from(texts, "rulesText") })),
    );
  withOwner(mirror.command("remove"))
    .description("take a tenant's rule away; those of the configuration stay")
    .argument("<prefix>", PREFIX)
    .addHelpText("after", examples("arq mirror remove 'vehicles-*'"))
    .action(run(settles({
      route: `DELETE ${RULES}?prefix`,
      given: bySubject("prefix"),
      none: [
        ({ prefix }) => `rule for ${prefix}`,
        "arq mirror list shows the rules; those of the configuration stay",
      ],
      done: (_, { prefix }) => `the rule for ${prefix} is removed`,
    })));
  withTenant(withJson(mirror.command("reset")))
    .description("start a tenant's settings anew when the bus cannot read what is stored")
    .addHelpText("after", "\nMirror rules, schema mappings and room classes are none then.\n")
    .addHelpText("after", examples("arq mirror reset --tenant acme"))
    .action(run(settles({
      route: "POST /v1/tenants/{tenant}/reset",
      done: () => "mirror rules, schema mappings and room classes are reset to none",
    })));
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
    .action(run(asks({
      route: "GET /v1/mirror/explain?subject,key",
      given: bySubject("subject"),
      text: from(texts, "explainText"),
    })));
  withTenant(withJson(mirror.command("diff")))
    .description("what candidates would have decided, beside what production decided")
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
