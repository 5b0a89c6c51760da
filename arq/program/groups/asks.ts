/**
 * Plain commands: those that only call one route of the admin API and print its answer. The route and its parameters
 * are declared beside the command; `asks_test.ts` compares them with the API's routes.
 */
import { EXIT, failed, printable } from "../../terminal/exit.ts";
import { type Io, note, print } from "../../terminal/io.ts";
import type { Admin, AdminRequest } from "../../bus/admin.ts";
import type { Role } from "../../bus/token.ts";
import type { Action } from "./define.ts";
import { membersFrom, namePairs, pick, subjectArgument } from "../../bus/request_members.ts";
import type { NamePair } from "../../bus/request_members.ts";

/** The options and operands, by name. */
// deno-lint-ignore no-explicit-any
export type Given = Readonly<Record<string, any>>;

/** The answer of the bus, which may have any shape. */
// deno-lint-ignore no-explicit-any
type Answer = Readonly<Record<string, any>>;

type Ago = (seconds: number | undefined) => Promise<number | undefined>;

type FromAnswer<T> = (answer: Answer, given: Given, io: Io) => T | Promise<T>;

/** A request to the admin API, and how its answer is used. */
export interface Asked {
  /**
   * For example `GET /v1/rollouts/{tenant}?limit,since_ms=from`: a route and its parameters, each with the name of the
   * option or operand where that differs. Of several routes, the first whose path parameters are all given is used.
   */
  readonly route: string | readonly string[];
  readonly body?: string;
  /** Changes the options before any request. Throws a usage error for options that form no request. */
  readonly given?: (given: Given) => Given | Promise<Given>;
  /** Adds options that depend on the bus's clock: `ago` returns the time that many seconds ago. */
  readonly times?: (given: Given, ago: Ago) => Promise<Given>;
  /** Runs before the confirmation and the request. */
  readonly before?: (admin: Admin, given: Given, body: Given) => void | Promise<void>;
  /** A question to a person, unless `--yes` is given. */
  readonly confirm?: (given: Given) => string | Promise<string>;
  /** Throws for an answer that means failure. */
  readonly check?: FromAnswer<void>;
  /** The text for people, which ends with a newline. */
  readonly text: FromAnswer<string>;
  /** The exit code; absent: 0. */
  readonly code?: FromAnswer<number>;
}

/** A route that a command calls, parsed. */
interface AskedRoute {
  readonly method: AdminRequest["method"];
  /** `/v1/rollouts/{tenant}` */
  readonly template: string;
  readonly query: readonly NamePair[];
}

/** Parses a route. */
export function askedRoute(text: string): AskedRoute {
  const [, method = "", template = "", query = ""] = /^(\S+) ([^?]+)\??(.*)$/.exec(text) ?? [];
  return { method: method as AskedRoute["method"], template, query: namePairs(query) };
}

const PLACE = /\{(\w+)\}/g;

function requestOf({ route, body }: Asked, given: Given): AdminRequest & { members: Given } {
  const routes = [route].flat().map(askedRoute);
  const { method, template, query } =
    routes.find((one) =>
      [...one.template.matchAll(PLACE)].every(([, name]) => given[name!] !== undefined)
    ) ?? routes[0]!;
  const path = template.replace(PLACE, (_, name) => encodeURIComponent(given[name]));
  const search = String(
    new URLSearchParams(pick(query, given).map(([name, value]) => [name, String(value)])),
  );
  const members = membersFrom(body ?? "", given);
  return {
    method,
    path: search === "" ? path : `${path}?${search}`,
    members,
    ...(body === undefined ? {} : { body: JSON.stringify(members) }),
  };
}

/** The action of a plain command. */
export function asks(asked: Asked): Action & { readonly asked: Asked } {
  const action: Action = async (io, flags, _, named) => {
    const given: Given = { ...flags, ...named };
    let meant = await asked.given?.(given) ?? given;
    const { findAdmin } = await import("../../bus/admin.ts");
    const admin = await findAdmin(io, flags);
    meant = { ...meant, ...await asked.times?.(meant, (seconds) => admin.ago(seconds)) };
    const { members, ...request } = requestOf(asked, meant);
    await asked.before?.(admin, meant, members);
    if (asked.confirm !== undefined && given["yes"] !== true) {
      const { sure } = await import("../../terminal/input.ts");
      if (!await sure(io, printable(await asked.confirm(meant)))) return EXIT.failure;
    }
    const began_ms = io.monotonic_ms();
    const answer = await admin.ask(request);
    const timed = { ...meant, took_ms: io.monotonic_ms() - began_ms };
    await asked.check?.(answer, timed, io);
    const text = given["json"] === true
      ? `${JSON.stringify(answer)}\n`
      : await asked.text(answer, timed, io);
    await print(io.stdout, text);
    return await asked.code?.(answer, timed, io) ?? EXIT.ok;
  };
  return Object.assign(action, { asked });
}

/** The first action when the option is given, else the second. */
export function either(option: string, one: Action, other: Action): Action & { either: Action[] } {
  const action: Action = async (io, flags, ...more) =>
    await (flags[option] === undefined ? other : one)(io, flags, ...more);
  return Object.assign(action, { either: [one, other] });
}

/**
 * The action of a command with which a room's Brain changes the room: `data` is JSON text, and `at` in the sentence is
 * the room's new position.
 */
export function orders(
  { name, role, data, say }: {
    readonly name: string;
    readonly role?: Role;
    readonly data?: (given: Given) => string;
    readonly say: (given: Given, at: string) => string | Promise<string>;
  },
): Action {
  return async (io, flags, _, { room, ...named }) => {
    const given: Given = { ...flags, ...named, room };
    const text = data?.(given);
    const { change, positionText, tell } = await import("../../rooms/room_command.ts");
    const { expectVersion, fence, commandId } = flags;
    const answer = await change(io, flags, {
      expectVersion,
      fence,
      commandId,
      name,
      room: room as string,
      ...(role && { role }),
      ...(text && { data: text }),
    });
    return await tell(io, flags, answer, await say(given, positionText(answer.members)));
  };
}

/** The function `name` of a module that is loaded when the function is called. */
export function from<M>(load: () => Promise<M>, name: string & keyof M) {
  // deno-lint-ignore no-explicit-any
  return async (...given: readonly unknown[]): Promise<any> =>
    await ((await load())[name] as (...given: readonly unknown[]) => unknown)(...given);
}

/** A sentence as one printable line, whatever the answer contains. */
export function sentence(say: (answer: Answer, given: Given) => string): FromAnswer<string> {
  return (answer, given) => `${printable(say(answer, given))}\n`;
}

/** Makes the operand `name` a full subject, and sets `tenant` to the subject's tenant. */
export const bySubject = (name: string) => (given: Given): Given => {
  const { tenant, subject } = subjectArgument(given[name], given["tenant"], given["ownTenant"]);
  return { ...given, tenant, [name]: subject };
};

/** The action of a plain command that changes a tenant's settings: exit code 1 until the node has them in force. */
export function settles(
  { done, none, ...rest }: Omit<Asked, "text" | "code" | "check"> & {
    readonly done: FromAnswer<string>;
    /** What did not exist when nothing changed, and where to look. */
    readonly none?: readonly [what: (given: Given) => string, hint: string];
  },
): ReturnType<typeof asks> {
  const isInForce = ({ here }: Answer) => here?.["in_force"] === true;
  return asks({
    ...rest,
    check({ changed }, given) {
      if (none === undefined || changed !== false) return;
      const [what, hint] = none;
      throw failed(`tenant ${given["tenant"]} has no ${what(given)}`, hint);
    },
    async text(answer, given, io) {
      const { tenant, version } = answer;
      const state = isInForce(answer) ? "in force on this node" : "stored";
      const which = `version ${version} of the settings of tenant ${tenant} is ${state}`;
      return `${printable(`${await done(answer, given, io)}: ${which}`)}\n`;
    },
    async code(answer, _, io) {
      if (isInForce(answer)) return EXIT.ok;
      await note(io, "this node does not have it in force yet");
      return EXIT.failure;
    },
  });
}
