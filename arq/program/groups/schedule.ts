/** The command line of `arq schedule …` as commander sees it; what it does is `commands/schedule/schedule.ts`. */
import type { Command } from "commander";
import { DEV_TENANT } from "../../bus/dev_bus.ts";
import { parseSeconds } from "../../bus/token.ts";
import { calls, examples, id, moment, room, value, withConnection } from "./options.ts";
import type { Run } from "./options.ts";

// A command is loaded when it runs.
const schedule = () => import("../../commands/schedule/schedule.ts");

const span = (flag: string) => value((text) => parseSeconds(flag, text));

function withOwner(command: Command): Command {
  return withConnection(command)
    .option("--tenant <id>", "tenant", id("tenant"), DEV_TENANT)
    .option("--json", "print the bus's answer as JSON");
}

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
    .action(run(calls(schedule, "scheduleAdd")));
}

/** Adds `arq schedule`. */
export function addSchedule(program: Command, run: Run): void {
  const group = program.command("schedule")
    .description("messages that are published at a time: add, list, show, pause, resume, remove");
  addAdd(group, run);
  withOwner(group.command("list"))
    .description("the schedules of a tenant, and when each is due next")
    .addHelpText("after", examples("arq schedule list", "arq schedule list --json | jq .schedules"))
    .action(run(calls(schedule, "scheduleList")));
  withId(group.command("show"))
    .description("one schedule: when it is due, and the outcome of its last time")
    .addHelpText("after", examples("arq schedule show close-7"))
    .action(run(calls(schedule, "scheduleShow")));
  for (const word of ["pause", "resume"] as const) {
    withId(group.command(word))
      .description(
        word === "pause"
          ? "let its times pass until it is resumed"
          : "go on with the next time that is to come",
      )
      .addHelpText("after", examples(`arq schedule ${word} ticks`))
      .action(
        run(async (io, flags, [name]) =>
          (await schedule()).schedulePause(io, name as string, word, flags)
        ),
      );
  }
  withId(group.command("remove"))
    .description("remove it; what is being published still is")
    .addHelpText("after", examples("arq schedule remove ticks"))
    .action(run(calls(schedule, "scheduleRemove")));
}
