/** The commands of `arq schedule`. */
import { command, type Definition, group, rows } from "./define.ts";
import { usageError } from "../../terminal/exit.ts";
import { asks, from, type Given, sentence } from "./asks.ts";
import { ANSWER, id, json, moment, room, span, TENANT } from "./options.ts";

// A command is loaded when it runs.
const texts = () => import("../../answers/settings_text.ts");

const ALL = "/v1/tenants/{tenant}/schedules";
const ONE = `${ALL}/{id}`;
const oneText = from(texts, "scheduleText");
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

const ORDERS = [
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
    route: `PUT ${ONE}`,
    body: "room,message,user,at_ms,every_ms,from_ms=from,cron,zone,until_ms=to",
    given: scheduled,
    times: async ({ at, in: later }, ago) => ({
      at_ms: later === undefined ? at : await ago(-later),
    }),
    text: oneText,
  })),
  command`schedule list: list the schedules of a tenant, with their next due times
    ${TENANT} ${ANSWER}

    $ arq schedule list
    $ arq schedule list --json | jq .schedules`(
    asks({ route: `GET ${ALL}`, text: from(texts, "schedulesTable") }),
  ),
  command`schedule show: show one schedule: its next due time, and its last outcome
    ${ONE_SCHEDULE}

    $ arq schedule show close-7`(asks({ route: `GET ${ONE}`, text: oneText })),
  ...ORDERS.map(([word, about]) =>
    command`schedule ${word}: ${about}
    ${ONE_SCHEDULE}

    $ arq schedule ${word} ticks`(asks({ route: `POST ${ONE}/${word}`, text: oneText }))
  ),
  command`schedule remove: remove it; a publish under way is completed
    ${ONE_SCHEDULE}

    $ arq schedule remove ticks`(
    asks({ route: `DELETE ${ONE}`, text: sentence((_, { id }) => `removed ${id}`) }),
  ),
];
