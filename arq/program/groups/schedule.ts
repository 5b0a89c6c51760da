/** The command line of `arq schedule …` as commander sees it; its commands are plain ones. */
import type { Command } from "commander";
import { asks, from, sentence } from "./asks.ts";
import type { Given } from "./asks.ts";
import { examples, id, json, moment, room, span, withJson, withTenant } from "./options.ts";
import type { Run } from "./options.ts";
import { usageError } from "../../terminal/exit.ts";

// A command is loaded when it runs.
const texts = () => import("../../answers/schedule_text.ts");

const ALL = "/v1/tenants/{tenant}/schedules";
const ONE = `${ALL}/{id}`;
const oneText = from(texts, "scheduleText");
const ID_BYTES = 6;

/** JSON as it is, and anything else as a text. */
function dataOf(text: string): unknown {
  try {
    return json(text);
  } catch {
    return text;
  }
}

/** What is to be published when. */
function scheduled(given: Given): Given {
  const { every, from, cron, zone } = given;
  const whens = [given["at"], given["in"], every, cron].filter((one) => one !== undefined);
  if (whens.length !== 1) throw usageError("expected one of --at, --in, --every and --cron");
  if (from !== undefined && every === undefined) throw usageError("--from needs --every");
  if (zone !== undefined && cron === undefined) throw usageError("--zone needs --cron");
  return {
    id: crypto.getRandomValues(new Uint8Array(ID_BYTES)).toHex(),
    ...given,
    message: { type: given["type"], data: dataOf(given["data"]) },
    every_ms: every === undefined ? undefined : 1_000 * every,
  };
}

const withOwner = (command: Command): Command => withJson(withTenant(command));
const withId = (command: Command): Command =>
  withOwner(command).argument("<id>", "the schedule", id("schedule"));

function addAdd(group: Command, run: Run): void {
  withOwner(group.command("add"))
    .description("publish to a room at a time or every so often; whoever dies, once for each time")
    .argument("<room>", "the room", room)
    .argument("<data>", "the event's data: JSON, or else text")
    .option(
      "--id <id>",
      "its name; one of that name is replaced (default: a new one)",
      id("schedule"),
    )
    .option("--type <type>", "type of the event", "message")
    .option("--at <time>", "once, then: 2026-11-22T10:00:00Z", moment)
    .option("--in <time>", "once, so much later: 10m, 1h, 7d or seconds", span("--in"))
    .option("--every <time>", "every so often: 10s, 1h, 7d or seconds", span("--every"))
    .option("--from <time>", "with --every: the first time (default: one period from now)", moment)
    .option("--cron <expression>", "minute, hour, day, month, weekday: '30 9 * * 1-5'")
    .option("--zone <zone>", "with --cron: its time zone, as Europe/Berlin (default: UTC)")
    .option("--to <time>", "never after that", moment)
    .option("--user <id>", "in whose name it is published (default: schedule)")
    .addHelpText(
      "after",
      "\nThe message takes the way of every other: schemas, policies and quotas hold. Its message_id is" +
        "\nthe schedule's name, a dot and the time in Unix ms.\n" +
        examples(
          "arq schedule add lobby '{\"text\":\"lunch\"}' --cron '30 12 * * 1-5' --zone Europe/Berlin",
          "arq schedule add auction-7 '{}' --type close --at 2026-12-24T18:00:00Z --id close-7",
          "arq schedule add ticks '{}' --every 10s",
          "arq schedule add lobby 'time is up' --in 25m",
        ),
    )
    .action(run(asks({
      route: `PUT ${ONE}`,
      body: "room,message,user,at_ms,every_ms,from_ms=from,cron,zone,until_ms=to",
      given: scheduled,
      times: async ({ at, in: later }, ago) => ({
        at_ms: later === undefined ? at : await ago(-later),
      }),
      text: oneText,
    })));
}

/** Adds `arq schedule`. */
export function addSchedule(program: Command, run: Run): void {
  const group = program.command("schedule")
    .description("messages that are published at a time: add, list, show, pause, resume, remove");
  addAdd(group, run);
  withOwner(group.command("list"))
    .description("the schedules of a tenant, and when each is due next")
    .addHelpText("after", examples("arq schedule list", "arq schedule list --json | jq .schedules"))
    .action(run(asks({ route: `GET ${ALL}`, text: from(texts, "schedulesTable") })));
  withId(group.command("show"))
    .description("one schedule: when it is due, and the outcome of its last time")
    .addHelpText("after", examples("arq schedule show close-7"))
    .action(run(asks({ route: `GET ${ONE}`, text: oneText })));
  for (const word of ["pause", "resume"] as const) {
    withId(group.command(word))
      .description(
        word === "pause"
          ? "let its times pass until it is resumed"
          : "go on with the next time that is to come",
      )
      .addHelpText("after", examples(`arq schedule ${word} ticks`))
      .action(run(asks({ route: `POST ${ONE}/${word}`, text: oneText })));
  }
  withId(group.command("remove"))
    .description("remove it; what is being published still is")
    .addHelpText("after", examples("arq schedule remove ticks"))
    .action(run(asks({ route: `DELETE ${ONE}`, text: sentence((_, { id }) => `removed ${id}`) })));
}
