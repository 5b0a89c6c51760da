/** Tables of routes: what a route has to declare, and the defaults of a route. */
import assert from "node:assert/strict";
import { type AdminCall, type AdminRoutes, AdminTable, withBody } from "./admin_routes.ts";
import { askPart } from "./testing/admin.ts";
import { keptLog } from "../../testing/spine.ts";

const { log } = keptLog();
const context = { log };
const about = { id: "x", summary: "x", answer: undefined };
const note = (what: string) => () => Response.json({ what });

Deno.test("a route that declares nothing is listed as one for operators, without a body", () => {
  const table = new AdminTable<typeof context>("words", {
    "POST /v1/forgotten": { ...about, handle: note("forgotten") },
  });
  const listed = [...table.list()].map(({ about: { id, tag }, ...route }) => ({
    ...route,
    id,
    tag,
  }));
  const named = { template: "/v1/forgotten", method: "POST", scope: "bus", id: "x", tag: "words" };
  assert.deepEqual(listed, [{ ...named, query: [], body: undefined, audit: undefined }]);
});

Deno.test("every route has a description, and reads only a body that it describes", async () => {
  type Method = AdminRoutes<typeof context>["GET /v1/x"];
  // @ts-expect-error: it has no description.
  const silent: Method = { scope: "bus", handle: note("silent") };
  // @ts-expect-error: its answer is not described.
  const vague: Method = { id: "x", summary: "x", handle: note("vague") };
  // @ts-expect-error: a handler's request has no body.
  const bodyOf = (call: AdminCall) => call.request.text();
  const mute = { read: (request: Request) => request.text() };
  // @ts-expect-error: its body is not described.
  const unknown: Method = { ...about, ...withBody(mute, note("x")) };
  assert.equal(new Set([silent, vague, bodyOf, unknown]).size, 4);
  const body = { schema: { type: "string" }, read: (request: Request) => request.text() };
  const table = new AdminTable<typeof context>("x", {
    "PUT /v1/told": { ...about, ...withBody(body, (_, __, text) => Response.json({ text })) },
  });
  const [listed] = table.list();
  assert.deepEqual([listed?.about.id, listed?.body], ["x", body]);
  const request = new Request("http://admin/v1/told", { method: "PUT", body: "tea" });
  const answer = await askPart(table, context, request);
  assert.deepEqual(await answer.json(), { text: "tea" });
});
