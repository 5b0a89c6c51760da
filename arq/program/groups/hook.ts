/** The command line of `arq hook …` as commander sees it; its commands are plain ones. */
import type { Command } from "commander";
import { asks, from, sentence } from "./asks.ts";
import { examples, id, pastMoment, span, withJson, withTenant } from "./options.ts";
import type { Run } from "./options.ts";
import { usageError } from "../../terminal/exit.ts";

// A command is loaded when it runs.
const texts = () => import("../../answers/hook_text.ts");

const ALL = "/v1/tenants/{tenant}/hooks";
const ONE = `${ALL}/{id}`;
const oneText = from(texts, "hookAnswerText");

const ORDERS = {
  pause: "call it for nothing until it is resumed",
  resume: "call it for everything since it was paused",
} as const;

const withOwner = (command: Command): Command => withJson(withTenant(command));
const withId = (command: Command): Command =>
  withOwner(command).argument("<id>", "the hook", id("hook"));

function addReplay(group: Command, run: Run): void {
  withId(group.command("replay"))
    .description("call it once more for each of its dead letters, or for everything since a time")
    .option("--from <time>", "everything since then: 14:05, 2026-11-22T14:05:00Z", pastMoment)
    .option("--since <time>", "everything of the last 10m, 1h, 7d or seconds", span("--since"))
    .addHelpText(
      "after",
      "\nEverything is what the log still has. Calls keep their previous ids.\n" + examples(
        "arq hook replay billing",
        "arq hook replay billing --since 1h",
        "arq hook replay billing --from 2026-11-22T14:05:00Z",
      ),
    )
    .action(run(asks({
      route: `POST ${ONE}/replay?from_ms`,
      given(given) {
        if (given["from"] === undefined || given["since"] === undefined) return given;
        throw usageError("--from and --since are two words for one thing");
      },
      times: async ({ from, since }, ago) => ({ from_ms: from ?? await ago(since) }),
      text: oneText,
    })));
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
    .action(run(asks({ route: `PUT ${ONE}`, body: "url,events,room", text: oneText })));
  withOwner(group.command("list"))
    .description("the hooks of a tenant, and how many dead letters each has")
    .addHelpText("after", examples("arq hook list", "arq hook list --json | jq .hooks"))
    .action(run(asks({ route: `GET ${ALL}`, text: from(texts, "hooksTable") })));
  withId(group.command("show"))
    .description("one hook, and its dead letters")
    .addHelpText("after", examples("arq hook show billing"))
    .action(run(asks({ route: `GET ${ONE}`, text: from(texts, "hookLettersText") })));
  withId(group.command("test"))
    .description("call it once, from a Shield, with an event hook.test")
    .addHelpText("after", examples("arq hook test billing"))
    .action(
      run(asks({
        route: `POST ${ONE}/test`,
        check: from(texts, "requireTaken"),
        text: sentence(({ status, took_ms }) => `answered ${status} in ${took_ms} ms`),
      })),
    );
  for (const word of ["pause", "resume"] as const) {
    withId(group.command(word))
      .description(ORDERS[word])
      .addHelpText("after", examples(`arq hook ${word} billing`))
      .action(run(asks({ route: `POST ${ONE}/${word}`, text: oneText })));
  }
  addReplay(group, run);
  withId(group.command("remove"))
    .description("remove it, with its dead letters")
    .addHelpText("after", examples("arq hook remove billing"))
    .action(run(asks({ route: `DELETE ${ONE}`, text: sentence((_, { id }) => `removed ${id}`) })));
}
