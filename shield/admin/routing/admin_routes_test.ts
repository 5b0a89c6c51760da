/** Tables of routes: what a route has to say of itself, and what a route that says nothing is. */
import assert from "node:assert/strict";
import { AdminTable, withBody } from "./admin_routes.ts";
import type { AdminCall, AdminMethod } from "./admin_routes.ts";
import { askPart } from "./testing/admin.ts";
import { keptLog } from "../../testing/spine.ts";

const { log } = keptLog();
const context = { log };
const about = { id: "x", tag: "x", summary: "x", answer: undefined };
const note = (what: string) => () => Response.json({ what });

Deno.test("a route that declares nothing is listed as one for operators, without a body", () => {
  const table = new AdminTable<typeof context>({
    "/v1/forgotten": { POST: { about, handle: note("forgotten") } },
  });
  assert.deepEqual([...table.list()], [{
    template: "/v1/forgotten",
    method: "POST",
    scope: "bus",
    query: [],
    about,
    body: undefined,
  }]);
});

Deno.test("there is no route without a description, and none that reads a body it does not describe", async () => {
  type Method = AdminMethod<typeof context>;
  // @ts-expect-error: it says nothing of itself.
  const silent: Method = { scope: "bus", handle: note("silent") };
  // @ts-expect-error: nobody says what the answer is.
  const vague: Method = { about: { id: "x", tag: "x", summary: "x" }, handle: note("vague") };
  // @ts-expect-error: what a handler is given has no body.
  const bodyOf = (call: AdminCall) => call.request.text();
  // @ts-expect-error: nobody says what the body is.
  const unknown: Method = { about, ...withBody({ read: (request) => request.text() }, note("x")) };
  assert.equal(new Set([silent, vague, bodyOf, unknown]).size, 4);
  const body = { schema: { type: "string" }, read: (request: Request) => request.text() };
  const table = new AdminTable<typeof context>({
    "/v1/told": {
      PUT: { about, ...withBody(body, (_, __, text) => Response.json({ text })) },
    },
  });
  const [listed] = table.list();
  assert.deepEqual([listed?.about, listed?.body], [about, body]);
  const request = new Request("http://admin/v1/told", { method: "PUT", body: "tea" });
  const answer = await askPart(table, context, request);
  assert.deepEqual(await answer.json(), { text: "tea" });
});
