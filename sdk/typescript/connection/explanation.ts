/** Builds queries about the outcome of a message or an error. Pure: it uses only ids. */
import { ArqonError, type Uint64, type Welcome } from "@arqon/proto";
import type { Message } from "../message/message.ts";
import type { Handed, Published } from "../request/room_request.ts";

/** The subject of `explain`: a received message, a publish, or an error. */
export type Explainable =
  | Pick<Message, "id" | "room" | "message_id" | "trace_id" | "offset">
  | Pick<Published | Handed, "room" | "message_id" | "trace_id" | "offset">
  | ArqonError;

/** The user or connection of the query; without one the answer has only the Shields that received the message. */
export interface ExplainOptions {
  /** The outcome of the message for each connection of this user. */
  readonly user?: string;
  /** The same for one connection. */
  readonly connection?: string;
  /** Base URL of the web console, for `url`: `https://admin.example.com/console/`. */
  readonly console_url?: string | URL;
}

/** The part of a `Connection` that identifies the caller. */
export interface Asker {
  readonly welcome: Welcome;
}

/** The same query in three forms. */
export interface Explanation {
  /** For a terminal: `arq why …`, quoted for a POSIX shell. */
  readonly command: string;
  /** Path and query for the admin API: `/v1/why?…`. */
  readonly path: string;
  /** The page in the console; undefined without `console_url`. */
  readonly url: string | undefined;
}

/** One query: the options of `arq why`, by their names in the admin API. */
type Question = Readonly<Record<string, string | Uint64 | undefined>>;

/** The shortest unambiguous ids of a message: the bus's own id before an id that messages may share. */
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
  // A refusal before the connection existed is recorded for the user.
  return { tenant, trace, connection: own, user: own ? "" : welcome.user_id };
}

/** A quoted value for a shell, after the name of its option. */
function argument(value: string): string {
  const shown = /^[\w.:=@/-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`;
  // A value with a leading dash must not be parsed as an option.
  return (value.startsWith("-") ? "=" : " ") + shown;
}

/**
 * The query for the outcome of a received message, of a publish (the result of `publish`), or for the cause of an
 * error: a command for a terminal, a path of the admin API, and, with `console_url`, a page. It sends nothing; running
 * the query needs the role admin. Throws TypeError if there is no id to query, if both a user and a connection are
 * given, and before the first WELCOME.
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
