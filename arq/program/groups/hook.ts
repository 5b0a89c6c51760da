/** The commands of `arq hook`. */
import { command, type Definition, group, NEEDED, rows } from "./define.ts";
import { usageError } from "../../terminal/exit.ts";
import { asks, from, sentence } from "./asks.ts";
import { ANSWER, id, pastMoment, span, TENANT } from "./options.ts";

// A command is loaded when it runs.
const texts = () => import("../../answers/settings_text.ts");

const ALL = "/v1/tenants/{tenant}/hooks";
const ONE = `${ALL}/{id}`;
const oneText = from(texts, "hookAnswerText");
const hookId = id("hook");

const ORDERS = [
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
    asks({ route: `PUT ${ONE}`, body: "url,events,room", text: oneText }),
  ),
  command`hook list: list the hooks of a tenant, with the number of their dead letters
    ${TENANT} ${ANSWER}

    $ arq hook list
    $ arq hook list --json | jq .hooks`(
    asks({ route: `GET ${ALL}`, text: from(texts, "hooksTable") }),
  ),
  command`hook show: show one hook, and its dead letters
    ${ONE_HOOK}

    $ arq hook show billing`(asks({ route: `GET ${ONE}`, text: from(texts, "hookLettersText") })),
  command`hook test: call it once, from a Shield, with an event hook.test
    ${ONE_HOOK}

    $ arq hook test billing`(asks({
    route: `POST ${ONE}/test`,
    check: from(texts, "requireTaken"),
    text: sentence(({ status, took_ms }) => `answered ${status} in ${took_ms} ms`),
  })),
  ...ORDERS.map(([word, about]) =>
    command`hook ${word}: ${about}
    ${ONE_HOOK}

    $ arq hook ${word} billing`(asks({ route: `POST ${ONE}/${word}`, text: oneText }))
  ),
  command`hook replay: call it again for each of its dead letters, or for all events since a time
    ${ONE_HOOK}
    --from <time>  all events since this time: 14:05, 2026-11-22T14:05:00Z ${pastMoment}
    --since <time>  all events of the last 10m, 1h, 7d or seconds ${span}

    It reads the events that the log still has. Calls keep their previous ids.
    $ arq hook replay billing
    $ arq hook replay billing --since 1h
    $ arq hook replay billing --from 2026-11-22T14:05:00Z`(asks({
    route: `POST ${ONE}/replay?from_ms`,
    given(given) {
      if (given["from"] === undefined || given["since"] === undefined) return given;
      throw usageError("--from and --since mean the same; give one");
    },
    times: async ({ from, since }, ago) => ({ from_ms: from ?? await ago(since) }),
    text: oneText,
  })),
  command`hook remove: remove it, with its dead letters
    ${ONE_HOOK}

    $ arq hook remove billing`(
    asks({ route: `DELETE ${ONE}`, text: sentence((_, { id }) => `removed ${id}`) }),
  ),
];
