/**
 * The routes of the client listener that are not single commands, with their descriptions. `start.ts` has the handlers;
 * `commands.ts` the routes of commands.
 */
import { ref } from "../openapi/openapi_parts.ts";
import { ackOf, COMMAND, MESSAGE, RECEIPT } from "./openapi_answers.ts";
import type { DescribedRoute } from "./route.ts";

/** The path of the description, which needs no token. */
export const OPENAPI_PATH = "/v1/openapi.json";

const ROOM_MESSAGES = "/v1/rooms/{room}/messages";

/** The routes of the client API's table, without commands. */
export const OWN_ROUTES = {
  publish: {
    method: "POST",
    template: ROOM_MESSAGES,
    about: {
      ...{ id: "publish", tag: "messages", summary: "Publishes one message" },
      body: { schema: MESSAGE },
      answer: ackOf(RECEIPT, "result"),
      refusals: [408, 409],
    },
  },
  command: {
    method: "POST",
    template: "/v1/rooms/{room}/commands",
    about: {
      ...{ id: "command", tag: "commands", summary: "Runs any command, as over a socket" },
      body: { schema: COMMAND },
      answer: ackOf({ type: "object" }),
      refusals: [408, 409],
    },
  },
} as const satisfies Readonly<Record<string, DescribedRoute>>;

/** The routes that the listener answers itself (`shield/http/http.ts`). */
export const LISTENER_ROUTES: readonly DescribedRoute[] = [
  {
    method: "GET",
    template: "/v1/auth/check",
    about: {
      ...{
        id: "authCheck",
        tag: "client",
        summary: "Shows the identity of the token, or why it is refused",
      },
      answer: ref("Identity"),
    },
  },
  {
    method: "GET",
    template: OPENAPI_PATH,
    about: {
      ...{ id: "openapi", tag: "client", summary: "This description", open: true },
      answer: { type: "object" },
    },
  },
];
