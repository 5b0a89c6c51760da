/** The command line of `arq hook …` as commander sees it; what it does is `commands/hook/hook.ts`. */
import type { Command } from "commander";
import { DEV_TENANT } from "../../bus/dev_bus.ts";
import { parseSeconds } from "../../bus/token.ts";
import { calls, examples, id, pastMoment, value, withConnection } from "./options.ts";
import type { Run } from "./options.ts";

// A command is loaded when it runs.
const hook = () => import("../../commands/hook/hook.ts");

const ORDERS = {
  pause: "call it for nothing until it is resumed",
  resume: "call it for everything since it was paused",
} as const;

function withOwner(command: Command): Command {
  return withConnection(command)
    .option("--tenant <id>", "tenant", id("tenant"), DEV_TENANT)
    .option("--json", "print the bus's answer as JSON");
}

const withId = (command: Command): Command =>
  withOwner(command).argument("<id>", "the hook", id("hook"));

function addReplay(group: Command, run: Run): void {
  withId(group.command("replay"))
    .description("call it once more for each of its dead letters, or for everything since a time")
    .option("--from <time>", "everything since then: 14:05, 2026-11-22T14:05:00Z", pastMoment)
    .option(
      "--since <time>",
      "everything of the last 10m, 1h, 7d or seconds",
      value((text) => parseSeconds("--since", text)),
    )
    .addHelpText(
      "after",
      "\nEverything is what the log still has. Calls keep their previous ids.\n" + examples(
        "arq hook replay billing",
        "arq hook replay billing --since 1h",
        "arq hook replay billing --from 2026-11-22T14:05:00Z",
      ),
    )
    .action(run(calls(hook, "hookReplay")));
}

/** Adds `arq hook`. */
export function addHook(program: Command, run: Run): void {
  const group = program.command("hook")
    .description(
      "URLs that are called when something has happened: add, list, show, test, pause, resume, replay, remove",
    );
  withOwner(group.command("add"))
    .description("set a hook, or change one; a new one's secret is printed once")
    .argument("<url>", "where it is called")
    .requiredOption("--id <id>", "its name; one of that name is changed", id("hook"))
    .option("--events <types...>", "what it is called for", ["room.message"])
    .option("--room <pattern>", "room id or prefix pattern", "*")
    .addHelpText(
      "after",
      examples(
        "arq hook add https://billing.example.com/arqon --id billing --room 'orders-*'",
        "arq hook add https://example.com/left --id left --events member.joined member.left",
      ),
    )
    .action(run(calls(hook, "hookAdd")));
  withOwner(group.command("list"))
    .description("the hooks of a tenant, and how many dead letters each has")
    .addHelpText("after", examples("arq hook list", "arq hook list --json | jq .hooks"))
    .action(run(calls(hook, "hookList")));
  withId(group.command("show"))
    .description("one hook, and its dead letters")
    .addHelpText("after", examples("arq hook show billing"))
    .action(run(calls(hook, "hookShow")));
  withId(group.command("test"))
    .description("call it once, from a Shield, with an event hook.test")
    .addHelpText("after", examples("arq hook test billing"))
    .action(run(calls(hook, "hookTest")));
  for (const word of ["pause", "resume"] as const) {
    withId(group.command(word))
      .description(ORDERS[word])
      .addHelpText("after", examples(`arq hook ${word} billing`))
      .action(
        run(async (io, flags, [name]) => (await hook()).hookOrder(io, name as string, word, flags)),
      );
  }
  addReplay(group, run);
  withId(group.command("remove"))
    .description("remove it, with its dead letters")
    .addHelpText("after", examples("arq hook remove billing"))
    .action(run(calls(hook, "hookRemove")));
}
