/** The commands of `arq hook` and `arq schedule`. */
import { command, type Definition, group, NEEDED, rows } from "./define.ts";
import { usageError } from "../../terminal/exit.ts";
import { asks, from, type Given, sentence } from "./asks.ts";
import { ANSWER, id, json, moment, pastMoment, room, span, TENANT } from "./options.ts";

// A command is loaded when it runs.
const texts = () => import("../../answers/settings_text.ts");

const removes = (route: string) =>
  asks({ route: `DELETE ${route}`, text: sentence((_, { id }) => `removed ${id}`) });

const HOOKS = "/v1/tenants/{tenant}/hooks";
const HOOK_ROUTE = `${HOOKS}/{id}`;
const hookText = from(texts, "hookAnswerText");
const hookId = id("hook");

const HOOK_ORDERS = [
  ["pause", "stop its calls until it is resumed"],
  ["resume", "call it for everything since it was paused"],
] as const;

const ONE_HOOK = rows`
    <id>  the hook ${hookId}
    ${TENANT} ${ANSWER}`;

/** `arq hook` */
export const HOOK: readonly Definition[] = [
  group`hook: URLs that are called on events: add, list, show, test, pause, resume, replay, remove`,
  command`hook add: set a hook, or change one; a new one's secret is printed once
    <url>  the URL to call
    ${TENANT} ${ANSWER}
    --id <id>  its name; an existing hook with that name is changed ${hookId} ${NEEDED}
    --events <types...>  the events to call it for ${{ is: ["room.message"] }}
    --room <pattern>  room id or prefix pattern ${{ is: "*" }}

    $ arq hook add https://billing.example.com/arqon --id billing --room 'orders-*'
    $ arq hook add https://example.com/left --id left --events member.joined member.left`(
    asks({ route: `PUT ${HOOK_ROUTE}`, body: "url,events,room", text: hookText }),
  ),
  command`hook list: list the hooks of a tenant, with the number of their dead letters
    ${TENANT} ${ANSWER}

    $ arq hook list
    $ arq hook list --json | jq .hooks`(
    asks({ route: `GET ${HOOKS}`, text: from(texts, "hooksTable") }),
  ),
  command`hook show: show one hook, and its dead letters
    ${ONE_HOOK}

    $ arq hook show billing`(
    asks({ route: `GET ${HOOK_ROUTE}`, text: from(texts, "hookLettersText") }),
  ),
  command`hook test: call it once, from a Shield, with an event hook.test
    ${ONE_HOOK}

    $ arq hook test billing`(asks({
    route: `POST ${HOOK_ROUTE}/test`,
    check: from(texts, "requireTaken"),
    text: sentence(({ status, took_ms }) => `answered ${status} in ${took_ms} ms`),
  })),
  ...HOOK_ORDERS.map(([word, about]) =>
    command`hook ${word}: ${about}
    ${ONE_HOOK}

    $ arq hook ${word} billing`(asks({ route: `POST ${HOOK_ROUTE}/${word}`, text: hookText }))
  ),
  command`hook replay: call it again for each of its dead letters, or for all events since a time
    ${ONE_HOOK}
    --from <time>  all events since this time: 14:05, 2026-11-22T14:05:00Z ${pastMoment}
    --since <time>  all events of the last 10m, 1h, 7d or seconds ${span}

    It reads the events that the log still has. Calls keep their previous ids.
    $ arq hook replay billing
    $ arq hook replay billing --since 1h
    $ arq hook replay billing --from 2026-11-22T14:05:00Z`(asks({
    route: `POST ${HOOK_ROUTE}/replay?from_ms`,
    given(given) {
      if (given["from"] === undefined || given["since"] === undefined) return given;
      throw usageError("--from and --since mean the same; give one");
    },
    times: async ({ from, since }, ago) => ({ from_ms: from ?? await ago(since) }),
    text: hookText,
  })),
  command`hook remove: remove it, with its dead letters
    ${ONE_HOOK}

    $ arq hook remove billing`(removes(HOOK_ROUTE)),
];

const SCHEDULES = "/v1/tenants/{tenant}/schedules";
const SCHEDULE_ROUTE = `${SCHEDULES}/{id}`;
const scheduleText = from(texts, "scheduleText");
const scheduleId = id("schedule");
const ID_BYTES = 6;

/** JSON as it is, any other value as text. */
function dataOf(text: string): unknown {
  try {
    return json(text);
  } catch {
    return text;
  }
}

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

const SCHEDULE_ORDERS = [
  ["pause", "skip its due times until it is resumed"],
  ["resume", "continue with the next due time"],
] as const;

const ONE_SCHEDULE = rows`
    <id>  the schedule ${scheduleId}
    ${TENANT} ${ANSWER}`;

/** `arq schedule` */
export const SCHEDULE: readonly Definition[] = [
  group`schedule: messages that are published at set times: add, list, show, pause, resume, remove`,
  command`schedule add: publish to a room at a time or periodically; exactly once per due time, across crashes
    <room>  the room ${room}
    <data>  the event's data: JSON, otherwise text
    ${TENANT} ${ANSWER}
    --id <id>  its name; an existing schedule with that name is replaced (default: a new name) ${scheduleId}
    --type <type>  type of the event ${{ is: "message" }}
    --at <time>  once, at this time: 2026-11-22T10:00:00Z ${moment}
    --in <time>  once, after 10m, 1h, 7d or seconds ${span}
    --every <time>  periodically, every 10s, 1h, 7d or seconds ${span}
    --from <time>  with --every: the first time (default: one period from now) ${moment}
    --cron <expression>  minute, hour, day, month, weekday: '30 9 * * 1-5'
    --zone <zone>  with --cron: its time zone, as Europe/Berlin (default: UTC)
    --to <time>  not after this time ${moment}
    --user <id>  the user in whose name it is published (default: schedule)

    Schemas, policies and quotas apply as to every message. The message_id is the schedule's name, a
    dot and the time in Unix ms.
    $ arq schedule add lobby '{"text":"lunch"}' --cron '30 12 * * 1-5' --zone Europe/Berlin
    $ arq schedule add auction-7 '{}' --type close --at 2026-12-24T18:00:00Z --id close-7
    $ arq schedule add ticks '{}' --every 10s
    $ arq schedule add lobby 'time is up' --in 25m`(asks({
    route: `PUT ${SCHEDULE_ROUTE}`,
    body: "room,message,user,at_ms,every_ms,from_ms=from,cron,zone,until_ms=to",
    given: scheduled,
    times: async ({ at, in: later }, ago) => ({
      at_ms: later === undefined ? at : await ago(-later),
    }),
    text: scheduleText,
  })),
  command`schedule list: list the schedules of a tenant, with their next due times
    ${TENANT} ${ANSWER}

    $ arq schedule list
    $ arq schedule list --json | jq .schedules`(
    asks({ route: `GET ${SCHEDULES}`, text: from(texts, "schedulesTable") }),
  ),
  command`schedule show: show one schedule: its next due time, and its last outcome
    ${ONE_SCHEDULE}

    $ arq schedule show close-7`(asks({ route: `GET ${SCHEDULE_ROUTE}`, text: scheduleText })),
  ...SCHEDULE_ORDERS.map(([word, about]) =>
    command`schedule ${word}: ${about}
    ${ONE_SCHEDULE}

    $ arq schedule ${word} ticks`(
      asks({ route: `POST ${SCHEDULE_ROUTE}/${word}`, text: scheduleText }),
    )
  ),
  command`schedule remove: remove it; a publish under way is completed
    ${ONE_SCHEDULE}

    $ arq schedule remove ticks`(removes(SCHEDULE_ROUTE)),
];
