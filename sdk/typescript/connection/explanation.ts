/** How a message or an error is asked about. Pure: knows nothing but the ids. */
import { ArqonError, type Uint64, type Welcome } from "@arqon/proto";
import type { Message } from "../message/message.ts";
import type { Handed, Published } from "../request/room_request.ts";

/** What `explain` takes: a message that came, a publish, or an error. */
export type Explainable =
  | Pick<Message, "id" | "room" | "message_id" | "trace_id" | "offset">
  | Pick<Published | Handed, "room" | "message_id" | "trace_id" | "offset">
  | ArqonError;

/** The user or connection asked about; without one the answer says only which Shields heard the message. */
export interface ExplainOptions {
  /** The outcome of the message for each connection of this user. */
  readonly user?: string;
  /** The same for one connection. */
  readonly connection?: string;
  /** Where the web console is, for `url`: `https://admin.example.com/console/`. */
  readonly console_url?: string | URL;
}

/** The part of a `Connection` that knows who asks. */
export interface Asker {
  readonly welcome: Welcome;
}

/** How to ask; the same question in each. */
export interface Explanation {
  /** For a terminal: `arq why …`, quoted for a POSIX shell. */
  readonly command: string;
  /** Path and query for the admin API: `/v1/why?…`. */
  readonly path: string;
  /** The console's page of it; undefined without `console_url`. */
  readonly url: string | undefined;
}

/** One question: the options of `arq why`, by their names in the admin API. */
type Question = Readonly<Record<string, string | Uint64 | undefined>>;

/** The shortest ids that name one message: an id of the bus before one that others may share. */
function idsOf(what: Exclude<Explainable, ArqonError>): Question {
  const { room, message_id, trace_id: trace, offset } = what;
  const twist = "id" in what && what.id;
  if (twist) return { twist, room };
  if (Number(offset) > 0) return { room, offset };
  if (message_id) return { message_id, room };
  if (trace) return { trace, room };
  throw new TypeError("no id");
}

function questionOf(what: Explainable, options: ExplainOptions, welcome: Welcome): Question {
  const { user, connection } = options;
  if (user && connection) {
    throw new TypeError("user or connection");
  }
  const tenant = welcome.tenant_id;
  if (!(what instanceof ArqonError)) return { tenant, ...idsOf(what), user, connection };
  const { trace_id: trace, connection_id: own } = what;
  if (user ?? connection) return { tenant, trace, user, connection };
  // A refusal before there was a connection is kept with the user.
  return { tenant, trace, connection: own, user: own ? "" : welcome.user_id };
}

/** A value as a shell takes it, behind the name of its option. */
function argument(value: string): string {
  const shown = /^[\w.:=@/-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`;
  // One that begins with a dash must not be taken for an option.
  return (value.startsWith("-") ? "=" : " ") + shown;
}

/**
 * How to ask the bus for the outcome of a message that came, of one that was published (what `publish`
 * resolved with), or why there was this error: a command for a terminal, a path of the admin API,
 * and, with `console_url`, a page. Asks nobody: whoever follows it needs the role admin. Throws
 * TypeError for what has no id to ask for, for two sides at once, and before the first WELCOME.
 *
 * ```ts
 * import { connect, explain } from "@arqon/sdk";
 *
 * await using bus = await connect({ url: "localhost:4000", token: "…" });
 * const sent = await bus.room("lobby").publish("chat", "hello");
 * console.log(explain(bus, sent, { user: "bob" }).command); // arq why --tenant … --trace … --user bob
 * ```
 */
export function explain(
  { welcome }: Asker,
  what: Explainable,
  options: ExplainOptions = {},
): Explanation {
  const { console_url } = options;
  const query = new URLSearchParams();
  let command = "arq why";
  for (const [name, value] of Object.entries(questionOf(what, options, welcome))) {
    if (!value) continue;
    query.set(name, `${value}`);
    command += ` --${name.replace("_", "-")}${argument(`${value}`)}`;
  }
  const url = console_url && new URL(`#/why?${query}`, console_url).href;
  return { command, path: `/v1/why?${query}`, url };
}
