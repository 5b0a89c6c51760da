/**
 * A Shield starts, serves and ends without each of its capabilities in turn, and without all of them: then a client
 * publishes, an operator queries, and missing capabilities have no paths.
 */
import assert from "node:assert/strict";
import { words } from "../examples/capability/words.ts";
import { SHIELD_CAPABILITIES } from "../shield/capabilities.ts";
import type { Capability } from "../shield/capability.ts";
import { asking, startWith } from "../shield/testing/lone_shield.ts";

function routesOf({ admin, client }: Capability): [admin: string[], client: string[]] {
  const nameOf = ({ method, template }: { readonly method: string; readonly template: string }) =>
    `${method} ${template}`;
  return [
    (admin?.tables ?? []).flatMap((table) => [...table.list()].map(nameOf)),
    [...client?.described ?? [], ...client?.commands ?? []].map(nameOf),
  ];
}

async function serves(capabilities: readonly Capability[]): Promise<void> {
  const started = await startWith(capabilities);
  const { spine, shield } = started;
  const ask = asking(started);
  const bad = Object.entries(shield.checks()).filter(([, { ok }]) => !ok);
  assert.deepEqual(bad, []);
  const body = JSON.stringify({ type: "t", data: 1 });
  const sent = await ask("client", "/v1/rooms/lobby/messages", { method: "POST", body });
  assert.equal(sent.status, 200, await sent.text());
  const status = await ask("admin", "/v1/status");
  assert.equal(status.status, 200, await status.text());
  const page = await ask("admin", "/console/");
  await page.body?.cancel();
  const has_console = capabilities.some(({ name }) => name === "console");
  assert.equal(page.status, has_console ? 200 : 404);
  const described = await Promise.all((["admin", "client"] as const).map(async (handler) => {
    const { paths } = await (await ask(handler, "/v1/openapi.json")).json();
    return Object.entries<object>(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`)
    );
  }));
  for (const capability of SHIELD_CAPABILITIES) {
    const is_there = capabilities.includes(capability);
    for (const [at, routes] of routesOf(capability).entries()) {
      for (const route of routes) {
        assert.equal(described[at]?.includes(route), is_there, `${capability.name}: ${route}`);
      }
    }
  }
  await shield.drain();
  await spine.drain();
}

Deno.test("a Shield serves with all capabilities, with none, and without each in turn", async (test) => {
  await test.step("all", () => serves(SHIELD_CAPABILITIES));
  await test.step("none", () => serves([]));
  for (const left_out of SHIELD_CAPABILITIES) {
    const others = SHIELD_CAPABILITIES.filter((one) => one !== left_out);
    await test.step(`without ${left_out.name}`, () => serves(others));
  }
});

Deno.test("an external capability works next to them, and changes no file of the Shield", async () => {
  const started = await startWith([...SHIELD_CAPABILITIES, words(2)]);
  const ask = asking(started);
  const post = async (path: string, body: unknown) => {
    const answer = await ask("client", path, { method: "POST", body: JSON.stringify(body) });
    const text = await answer.text();
    assert.equal(answer.status, 200, text);
    return JSON.parse(text);
  };
  for (const room of ["a", "b", "c"]) {
    await post(`/v1/rooms/${room}/messages`, { type: "chat", data: "three words here" });
  }
  await post("/v1/rooms/c/messages", { type: "chat", data: "vier Wörter: größer als drei" });
  const { result } = await post("/v1/rooms/c/commands", { name: "words.count" });
  assert.deepEqual(result, { words: 8 });
  const counted = await (await ask("admin", "/v1/tenants/acme/words")).json();
  assert.deepEqual(counted, { tenant: "acme", rooms: 2, words: 11 });
  const { room_cards: [card] } = await (await ask("admin", "/v1/access")).json();
  assert.equal(card.title, "Words");
  const path = card.path.replace("{tenant}", "acme").replace("{room}", "c");
  assert.deepEqual(await (await ask("admin", path)).json(), { words: 8 });
  assert.match(await started.registry.metrics(), /^shield_words_total 14$/m);
  await started.shield.drain();
  await started.spine.drain();
});
