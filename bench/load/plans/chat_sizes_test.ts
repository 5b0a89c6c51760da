/** The bodies of chat, and who hears them. */
import assert from "node:assert/strict";
import { CHAT_SIZES } from "./chat_sizes.ts";
import { chatGroups } from "../scenarios.ts";

Deno.test("large and small sizes take turns, each once, and a frame can have each", () => {
  assert.equal(new Set(CHAT_SIZES).size, 32);
  assert.ok(CHAT_SIZES.every((size_bytes) => size_bytes > 0 && size_bytes < 65_536));
  assert.notDeepEqual(CHAT_SIZES, CHAT_SIZES.toSorted((one, other) => one - other));
});

Deno.test("a chat message goes to 44 members on average", () => {
  const groups = chatGroups(false);
  const connections = groups.reduce((sum, one) => sum + one.connections, 0);
  const heard = groups.reduce((sum, one) => sum + one.connections * one.connections / one.rooms, 0);
  assert.equal(connections, 500);
  assert.equal(Math.round(heard / connections), 44);
});
