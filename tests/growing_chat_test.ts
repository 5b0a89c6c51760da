/**
 * The chat of Vercel's AI SDK, the unchanged package `ai`, over the bus: two devices, a reload in the middle of an
 * answer, and stop. `growing/chat_child.ts` runs it.
 */
import assert from "node:assert/strict";
import { startBusWith } from "./harness/bus.ts";

const ROOMS = `
[[rooms]]
room = "chat-*"
durable = true
`;
const CHILD = new URL("growing/chat_child.ts", import.meta.url).pathname;
const FLAGS = ["--no-prompt", "--allow-net", "--allow-env", "--allow-read", "--allow-sys"];

Deno.test("the AI SDK's own chat: two devices, a reload in mid-answer, stop", async () => {
  await using bus = await startBusWith(ROOMS);
  const tokens = await Promise.all(["model", "ann"].map((user) => bus.tokenFor({ user })));
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", ...FLAGS, CHILD, bus.url, ...tokens],
  }).output();
  const output = new TextDecoder().decode(stdout);
  assert.ok(success, `${output}${new TextDecoder().decode(stderr)}`);
  assert.equal(output, "all of it went well\n");
});
