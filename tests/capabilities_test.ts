/** A capability from outside serves next to those of the Shield. `core_test.ts` leaves each of those out. */
import assert from "node:assert/strict";
import { words } from "../examples/capability/words.ts";
import { SHIELD_CAPABILITIES } from "../shield/capabilities.ts";
import { asking, startWith } from "../shield/testing/lone_shield.ts";

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
