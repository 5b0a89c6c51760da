/**
 * The chat of Vercel's AI SDK, the unchanged package `ai`, over the bus: two devices, a reload in the middle of an
 * answer, and stop. `growing/chat_child.ts` runs it.
 */
import assert from "node:assert/strict";
import { deno } from "../tasks/checkout/programs.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const ROOMS = durableRooms("chat-*");
const CHILD = new URL("growing/chat_child.ts", import.meta.url).pathname;
const FLAGS = ["--no-prompt", "--allow-net", "--allow-env", "--allow-read", "--allow-sys"];

Deno.test("the AI SDK's own chat: two devices, a reload in mid-answer, stop", async () => {
  await using bus = await startLocalBus(ROOMS);
  const tokens = await Promise.all(["model", "ann"].map((user) => bus.tokenFor({ user })));
  const { stdout } = await deno(["run", ...FLAGS, CHILD, bus.url, ...tokens]);
  assert.equal(stdout, "all of it went well\n");
});
